"""
The leak test's own test: a secret that was planted is found, in each form and in each kind of output.
"""

from __future__ import annotations

import base64
import html
import http.server
import json
import os
import random
import socket
import sqlite3
import subprocess
import sys
import threading
import uuid
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from installation import call
from leak_scanner import Scanner, render_base64
from outputs import Outputs

from gateway.access.token import create_token_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "1EAced00-5eED-4bAD-8Ace-c0ffEE00Dead"
ODD_KEY = "Odd\"Key\\'<&%41+/=~:marked{}"
TOKEN = create_token_text()[1].reveal()
SECRETS: dict[str, str | bytes] = {"key": KEY, "odd key": ODD_KEY, "token": TOKEN, "master key": bytes(range(200, 232))}
SCANNER = Scanner(SECRETS)

FORMS: dict[str, Callable[[str], bytes]] = {
    "as it is": str.encode,
    "upper case": lambda text: text.upper().encode(),
    "lower case": lambda text: text.lower().encode(),
    "reversed case": lambda text: text.swapcase().encode(),
    "a part": lambda text: text[-24:].encode(),
    "quoted for a URL": lambda text: quote(text, safe="").encode(),
    "every character percent-encoded": lambda text: "".join(f"%{ord(each):02x}" for each in text).encode(),
    "the same in capitals": lambda text: "".join(f"%{ord(each):02X}" for each in text).encode(),
    "some characters percent-encoded": lambda text: text.replace("a", "%61").replace("e", "%65").encode(),
    "percent-encoded twice": lambda text: "".join(f"%25{ord(each):02x}" for each in text).encode(),
    "hex": lambda text: text.encode().hex().encode(),
    "hex in capitals": lambda text: text.encode().hex().upper().encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 behind one byte": lambda text: base64.b64encode(b"x" + text.encode() + b"y"),
    "base64 behind two bytes": lambda text: base64.b64encode(b"xx" + text.encode() + b"yy"),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(b"xyz?>" + text.encode()),
    "base64 over several lines": lambda text: base64.encodebytes(bytes(45) + text.encode() * 3),
    "a JSON string": lambda text: json.dumps(text).encode(),
    "a JSON string of a JSON string": lambda text: json.dumps(json.dumps({"text": text})).encode(),
    "JSON's escapes": lambda text: "".join(f"\\u{ord(each):04x}" for each in text).encode(),
    "a Python literal": lambda text: repr(text).encode(),
    "a literal of bytes": lambda text: "".join(f"\\x{ord(each):02x}" for each in text).encode(),
    "HTML": lambda text: html.escape(text).encode(),
    "HTML's numbers": lambda text: "".join(f"&#{ord(each)};" for each in text).encode(),
    "UTF-16": lambda text: text.encode("utf-16-be"),
}
UUID_FORMS: dict[str, Callable[[str], bytes]] = {
    "base64 of reversed case": lambda text: base64.b64encode(text.swapcase().encode()),
    "hex of capitals": lambda text: text.upper().encode().hex().encode(),
    "without dashes": lambda text: text.replace("-", "").encode(),
    "without dashes, reversed case": lambda text: text.replace("-", "").swapcase().encode(),
    "without dashes in base64": lambda text: base64.b64encode(b"x" + text.replace("-", "").encode()),
    "without dashes in hex": lambda text: text.replace("-", "").encode().hex().encode(),
    "the number's bytes": lambda text: uuid.UUID(text).bytes,
    "the number's bytes in base64": lambda text: base64.b64encode(uuid.UUID(text).bytes),
    "as a URN": lambda text: uuid.UUID(text).urn.encode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", ["key", "odd key", "token"])
def test_a_secret_is_found_in_each_form(secret: str, form: str) -> None:
    """
    Amid other things, and no other secret with it.
    """
    text = SECRETS[secret]
    assert isinstance(text, str)

    found = SCANNER.find("place", b"before=\n" + FORMS[form](text) + b"\n&after")

    assert {secret} == {finding.secret for finding in found}


@pytest.mark.parametrize("form", UUID_FORMS)
def test_a_uuid_is_found_however_it_is_written(form: str) -> None:
    """
    It is a number too, and its dashes are ornament.
    """
    found = SCANNER.find("place", b"before " + UUID_FORMS[form](KEY) + b" after")

    assert {"key"} == {finding.secret for finding in found}


def test_bytes_are_found_raw_and_encoded() -> None:
    """
    A key that is no text: the ring's.
    """
    data = SECRETS["master key"]
    assert isinstance(data, bytes)

    for written in (data, data.hex().encode(), base64.b64encode(b"x" + data), base64.b64encode(data)):
        assert {"master key"} == {finding.secret for finding in SCANNER.find("place", b"before " + written)}


def test_what_is_no_secret_is_not_found() -> None:
    """
    A token's public id, other keys and tokens, and a megabyte of chance.
    """
    chance = random.Random(1)  # noqa: S311 - any bytes do
    innocent = [
        TOKEN.rsplit("_", 2)[0],
        str(uuid.UUID(int=chance.getrandbits(128))),
        create_token_text()[1].reveal(),
        base64.b64encode(chance.randbytes(300_000)).decode(),
        chance.randbytes(300_000).decode("latin-1"),
        chance.randbytes(300_000).hex(),
    ]

    assert [] == SCANNER.find("place", "\n".join(innocent).encode("latin-1"))


def test_base64_shows_the_same_whatever_stands_around() -> None:
    """
    The part of it that neighbours have no share in.
    """
    for shift, before in enumerate((b"abc", b"abcd", b"abcde")):
        core = render_base64(KEY.encode(), shift, is_urlsafe=False)

        assert core in base64.b64encode(before + KEY.encode() + b"after")
        assert len(core) >= 44


# Kinds of output: each gives what was gathered of it with a text planted there.


@contextmanager
def _plant_in_file(folder: Path, text: str) -> Iterator[Outputs]:
    (folder / "deep").mkdir()
    (folder / "deep" / "00000001.jsonl").write_text(json.dumps({"tag": "call.intended", "parameters": {"x": text}}))
    outputs = Outputs()
    outputs.add_files(folder)
    yield outputs


@contextmanager
def _plant_in_file_name(folder: Path, text: str) -> Iterator[Outputs]:
    (folder / quote(text, safe="")).touch()
    outputs = Outputs()
    outputs.add_files(folder)
    yield outputs


@contextmanager
def _plant_in_write_ahead_log(folder: Path, text: str) -> Iterator[Outputs]:
    with closing(sqlite3.connect(folder / "gateway.db")) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA wal_autocheckpoint=0")
        database.execute("CREATE TABLE t (x)")
        database.execute("INSERT INTO t VALUES (?)", (text,))
        database.commit()
        outputs = Outputs()
        outputs.add_files(folder, aside=[folder / "gateway.db"])
        assert f"file {folder / 'gateway.db-wal'}" in outputs.places
        yield outputs


@contextmanager
def _plant_in_socket_name(folder: Path, text: str) -> Iterator[Outputs]:
    fd = os.open(folder, os.O_RDONLY)
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(f"/proc/self/fd/{fd}/{quote(text, safe='')}"[:100])  # the folder's own path is too long
        os.close(fd)
        outputs = Outputs()
        outputs.add_files(folder)
        yield outputs


@contextmanager
def _plant_in_process(words: list[str], environment: dict[str, str], code: str = "") -> Iterator[Outputs]:
    script = f"{code}\nprint('ready', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        outputs = Outputs()
        outputs.add_process("a child", process.pid)
        process.communicate(b"\n", timeout=10)
    yield outputs


@contextmanager
def _plant_in_command_line(_folder: Path, text: str) -> Iterator[Outputs]:
    with _plant_in_process([f"--key={text}"], {}) as outputs:
        yield outputs


@contextmanager
def _plant_in_environment(_folder: Path, text: str) -> Iterator[Outputs]:
    with _plant_in_process([], {"NOOJEE_KEY": text}) as outputs:
        yield outputs


@contextmanager
def _plant_in_open_file(folder: Path, text: str) -> Iterator[Outputs]:
    path = folder / quote(text, safe="")
    with _plant_in_process([], {}, f"import os; f = open({str(path)!r}, 'w'); os.unlink({str(path)!r})") as outputs:
        yield outputs


@contextmanager
def _plant_in_output(_folder: Path, text: str) -> Iterator[Outputs]:
    done = subprocess.run([sys.executable, "-c", f"print({text!r})"], capture_output=True, check=True)
    outputs = Outputs()
    outputs.add("standard output of a verb", done.stdout)
    yield outputs


@contextmanager
def _plant_in_reply(_folder: Path, text: str, *, in_header: bool = False) -> Iterator[Outputs]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("X-Echo", quote(text) if in_header else "nothing")
            self.end_headers()
            self.wfile.write(b"" if in_header else json.dumps({"Message": text}).encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        outputs = Outputs()
        outputs.add_response("a call", call(server.server_port, "/"))
        answering.join()
    yield outputs


@contextmanager
def _plant_in_header(folder: Path, text: str) -> Iterator[Outputs]:
    with _plant_in_reply(folder, text, in_header=True) as outputs:
        yield outputs


@contextmanager
def _plant_in_hidden_exception(_folder: Path, text: str) -> Iterator[Outputs]:
    outputs = Outputs()
    try:
        try:
            raise ValueError(f"https://noojee.example/?apiKey={quote(text)}")
        except ValueError:
            raise RuntimeError("harmless") from None
    except RuntimeError as error:
        outputs.add_error("a call", error)
    yield outputs


KINDS = {
    "journal, log or any file": _plant_in_file,
    "name of a file": _plant_in_file_name,
    "database's write-ahead log": _plant_in_write_ahead_log,
    "name of a socket": _plant_in_socket_name,
    "command line": _plant_in_command_line,
    "environment": _plant_in_environment,
    "open files": _plant_in_open_file,
    "standard output": _plant_in_output,
    "body of a reply": _plant_in_reply,
    "header of a reply": _plant_in_header,
    "exception that is not shown": _plant_in_hidden_exception,
}
PROC = {"command line", "environment", "open files", "name of a socket"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("secret", ["key", "odd key", "token"])
def test_a_secret_is_found_in_each_kind_of_output(tmp_path: Path, kind: str, secret: str) -> None:
    """
    Each way of gathering brings what is there before the scanner, and nothing is found where nothing is.
    """
    if kind in PROC and not sys.platform.startswith("linux"):
        pytest.skip("there is no /proc here")
    text = SECRETS[secret]
    assert isinstance(text, str)

    planted, harmless = tmp_path / "planted", tmp_path / "harmless"
    planted.mkdir()
    harmless.mkdir()

    with KINDS[kind](planted, text) as outputs:
        assert {secret} == {finding.secret for finding in SCANNER.search(outputs)}
    with KINDS[kind](harmless, "harmless") as outputs:
        assert [] == SCANNER.search(outputs)


def test_what_may_show_is_told_of_no_other_place_and_secret() -> None:
    """
    A token may stand where `token issue` prints it.
    """
    outputs = Outputs()
    outputs.add("standard output of token issue", TOKEN, allowed=["token"])
    outputs.add("standard output of another verb", TOKEN)
    outputs.add("standard output of a third", KEY, allowed=["token"])

    found = SCANNER.search(outputs)

    assert {("standard output of another verb", "token"), ("standard output of a third", "key")} == {
        (finding.place, finding.secret) for finding in found
    }
