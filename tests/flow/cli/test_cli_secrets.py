"""
How a key comes in, and that it comes out nowhere.
"""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from command_line import KEY

if TYPE_CHECKING:
    from command_line import CommandLine, Done

OTHER_KEY = "11111111-d9cb-469f-a165-70867728950e"


def add(cli: CommandLine, stdin: bytes) -> Done:
    """
    Add a credential with this on standard input.
    """
    return cli.run("credential add fresh --upstream noojee --kind global --json", stdin=stdin)


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_one_trailing_newline_is_dropped(cli: CommandLine, ending: bytes) -> None:
    """
    A key from a file, from `echo`, or from a file written on Windows is the same key.
    """
    done = add(cli, KEY.encode() + ending)

    assert {"name": "fresh", "upstream": "noojee", "kind": "global", "owner": None, "state": "active"} == done.value


@pytest.mark.parametrize(
    ("stdin", "told"),
    [
        (b"", "Standard input was empty."),
        (b"\n", "Standard input was empty."),
        (b"\r\n", "Standard input was empty."),
        (KEY.encode() + b"\n\n", "Standard input held several lines."),
        (KEY.encode() + b"\n" + OTHER_KEY.encode(), "Standard input held several lines."),
        (b"\xff\xfe" + KEY.encode(), "Standard input held something that is no text"),
        (KEY.encode() * 2000, "Standard input held more than 64 KiB"),
        (KEY.encode() + b" x", ""),
    ],
)
def test_what_is_no_key_is_refused_and_not_repeated(cli: CommandLine, stdin: bytes, told: str) -> None:
    """
    Refused with exit 1, and no part of it in any output.
    """
    done = add(cli, stdin)

    assert (1, "invalid") == (done.code, done.error["reason"])
    assert done.error["detail"].startswith(told)
    assert KEY not in done.err


def type_into(cli: CommandLine, words: list[str], answers: list[str]) -> tuple[int, str]:
    """
    Run a verb on a terminal of its own and answer its prompts; gives the exit code and everything the terminal showed.
    """
    terminal, inner = pty.openpty()
    # In a session without a terminal of its own, getpass finds this one on standard input.
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", *words],
        cwd=cli.folder,
        env=cli.environment(),
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
    ) as process:
        os.close(inner)
        shown = b""
        pending = list(answers)
        while piece := _read_piece(terminal):
            shown += piece
            if pending and shown.endswith(b": "):
                os.write(terminal, pending.pop(0).encode() + b"\n")
    os.close(terminal)
    return process.returncode, shown.decode()


def _read_piece(terminal: int) -> bytes:
    ready, _, _ = select.select([terminal], [], [], 20)
    assert ready, "the verb neither asked nor ended"
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux tells the end of a terminal in this way
        return b""


def test_a_person_is_asked_and_the_key_is_not_shown(cli: CommandLine) -> None:
    """
    On a terminal a prompt asks, and what is typed is not echoed.
    """
    words = ["credential", "add", "fresh", "--upstream", "noojee", "--kind", "global"]
    code, shown = type_into(cli, words, [KEY])
    empty_code, empty = type_into(cli, [*words[:2], "second", *words[3:]], [""])

    assert 0 == code
    assert "Noojee API key: " in shown
    assert "credential fresh added" in shown
    assert KEY not in shown
    assert 1 == empty_code
    assert "The Noojee API key was empty. Nothing was changed." in empty


def test_a_new_origin_asks_for_every_key_again(cli: CommandLine) -> None:
    """
    One line a credential in the order of names; fewer, more or an empty one, and nothing is changed.
    """
    line = "upstream set noojee --url https://noojee2.example.com --json"
    refused = [
        cli.run(line, stdin=stdin) for stdin in ("", KEY, f"{KEY}\n\n", f"{KEY}\n{OTHER_KEY}\n{OTHER_KEY}\n", "\n\n")
    ]
    before = cli.run("upstream show noojee --json").value
    done = cli.run(line, stdin=f"{KEY}\n{OTHER_KEY}\n")

    assert [(1, "invalid")] * 5 == [(each.code, each.error["reason"]) for each in refused]
    assert "is needed again for each of: everything, maria." in refused[0].error["detail"]
    assert "1 came. Nothing was changed." in refused[1].error["detail"]
    assert KEY not in "".join(each.err for each in refused)
    assert "https://noojee.example.com" == before["url"]
    assert "https://noojee2.example.com" == done.value["url"]


def test_a_new_origin_asks_a_person_for_each_key_by_name(cli: CommandLine) -> None:
    """
    At a terminal each credential has its own prompt.
    """
    words = ["upstream", "set", "noojee", "--url", "https://noojee2.example.com:8443"]
    code, shown = type_into(cli, words, [KEY, OTHER_KEY])

    assert 0 == code
    assert shown.index("Noojee API key of everything: ") < shown.index("Noojee API key of maria: ")
    assert KEY not in shown
    assert OTHER_KEY not in shown


def test_the_same_origin_asks_for_nothing(cli: CommandLine) -> None:
    """
    Another prefix on the same host and port keeps the seals good.
    """
    done = cli.run("upstream set noojee --url https://noojee.example.com/contact --json")
    nothing = cli.run("upstream set noojee --json")

    assert "https://noojee.example.com/contact" == done.value["url"]
    assert (2, "usage") == (nothing.code, nothing.error["reason"])


def test_a_key_is_found_in_no_file(cli: CommandLine) -> None:
    """
    Sealed in the registry, absent from the journal: its bytes stand nowhere.
    """
    files = [path for path in cli.folder.rglob("*") if path.is_file()]

    assert files
    assert [] == [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_key_is_not_in_the_process_list(cli: CommandLine) -> None:
    """
    While a verb waits for its key, its command line and environment, which others may read, hold none.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", "credential", "add", "fresh", "--upstream", "noojee", "--kind", "global"],
        cwd=cli.folder,
        env=cli.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        seen = subprocess.run(
            ["ps", "-o", "args=", "-p", str(process.pid)], capture_output=True, timeout=10, check=True
        ).stdout
        process.communicate(KEY.encode(), timeout=20)

    assert b"credential add fresh" in seen
    assert KEY.encode() not in seen
    assert 0 == process.returncode
