"""
Every verb of the command line, and every way to say one wrongly with a secret in it.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from leak_story import KEYS

from gateway.administration import credentials

if TYPE_CHECKING:
    from pathlib import Path

    from leak_story import Story

    from gateway.secret import Secret

__all__ = [
    "damage_the_registry",
    "err_unexpectedly",
    "say_every_verb",
    "say_secrets_in_wrong_places",
    "wait_for_a_key",
    "write_secrets_into_wrong_files",
]

_KEY = KEYS["key in a wrong place"]


def say_every_verb(story: Story) -> None:
    """
    Each verb once, plain and as JSON where it shows something; what is made is taken away again.
    """
    for line in (
        "init",
        "upstream list",
        "upstream show noojee",
        "credential list",
        "caller list",
        "caller show all",
        "grant list all",
        "token list",
        "token list all",
        "operations",
        "operations --caller campaigner",
        "explain all CallManagementAPI/stop extenOrUniqueId=410",
        "audit tail -n 1000",
        "audit verify",
    ):
        story.run(line)
        story.run(f"{line} --json")
    token_id = story.tokens["all"].split("_")[1]
    story.run("explain recorder CallManagementAPI/dial --json", code=1)
    story.run("caller set all --no-query-token")
    story.run("caller set all --query-token")
    story.run("caller disable all")
    story.run("caller enable all --json")
    story.run("caller add short-lived --from 10.0.0.0/8")
    story.run("credential add short-lived --upstream noojee --kind global", stdin=f"{KEYS['global key']}\r\n")
    granted = story.run("grant add short-lived --credential short-lived --operations * --json").value
    story.run(f"grant remove {granted['grant_id']}")
    story.run("grant add short-lived --credential short-lived --operations *")
    story.run("credential remove short-lived --json")
    story.run("caller remove short-lived --json")
    story.issue("all", "--expires", "90d", "--json")
    story.rotate("all")
    story.rotate("all", "--overlap", "1h", "--json")
    story.run("credential rotate everything", stdin=KEYS["global key"])
    story.run("credential rotate campaigns --json", stdin=f"{KEYS['user key']}\n")
    story.run(f"token revoke {token_id}")
    story.run(f"token revoke {token_id} --json")
    story.run("upstream add short-lived --url https://noojee.example.com:8443/contact")
    story.run("upstream set short-lived --url https://noojee.example.org --json")
    story.run("upstream remove short-lived")
    story.run(f"upstream set noojee --url {story.noojee.simulator.url}/")


def say_secrets_in_wrong_places(story: Story) -> None:
    """
    A key or a token for each word, and what is no key on standard input. All are refused.
    """
    token = story.tokens["all"]
    for secret in (_KEY, token, KEYS["user key"].replace(" ", "")):
        for line in (
            "{}",
            "caller {}",
            "caller add {}",
            "caller add web {}",
            "caller add web --key {}",
            "caller add web --key={}",
            "caller add web --from {}",
            "caller show {}",
            "caller disable {}",
            "credential add {} --upstream noojee --kind global",
            "credential add web --upstream {} --kind global",
            "credential add web --upstream noojee --kind {}",
            "credential remove {}",
            "grant add {} --credential everything --operations *",
            "grant add all --credential {} --operations *",
            "grant add all --credential everything --operations {}",
            "grant list {}",
            "grant remove {}",
            "token issue {}",
            "token issue all --expires {}",
            "token list {}",
            "token revoke {}",
            "explain {} CallManagementAPI/stop",
            "explain all {}",
            "explain all CallManagementAPI/stop {}",
            "operations --caller {}",
            "upstream add {} --url https://noojee.example.com",
            "upstream add web --url {}",
            "upstream add web --url http://noojee.example.com/?apiKey={}",
            "upstream add web --url https://{}@noojee.example.com",
            "upstream add web --url https://noojee.example.com/?apiKey={}",
            "upstream add web --url https://noojee.example.com --auth {}",
            "upstream set noojee --api-key {}",
            "audit tail -n {}",
            "audit tail --json={}",
            "simulate --port {}",
            "demo --token {}",
            "serve {}",
        ):
            _say_wrongly(story, line.format(secret.replace("=", "")))  # else it is a parameter to `explain`
    add = "credential add web --upstream noojee --kind global"
    for stdin in (
        f"{_KEY}\n{_KEY}\n",
        f"{_KEY} {token}",
        token,
        f"apiKey={_KEY}\u00e4",
        _KEY.encode() + b"\xff",
        _KEY * 2000,
        f"{_KEY}\0",
    ):
        story.run(add, stdin=stdin, code=1)
        story.run(f"{add} --json", stdin=stdin, code=1)
    story.run("credential add everything --upstream noojee --kind global", stdin=_KEY, code=1)
    story.run("upstream set noojee --url https://noojee.example.com", stdin=_KEY, code=1)
    story.run("explain all CallManagementAPI/stop", f"apiKey={_KEY}", f"extenOrUniqueId={token}")
    story.run("explain recorder CallManagementAPI/dial", f"number={_KEY}", f"tag={token}", "--json", code=1)


def _say_wrongly(story: Story, line: str) -> None:
    done = story.command_line.run(line, log_level="debug")
    name = f"wrong words {' '.join(word for word in line.split()[:2] if word.isalpha())}"
    story.outputs.add(f"standard output of {name}", done.out)
    story.outputs.add(f"standard error of {name}", done.err)
    assert done.code in {1, 2}, f"{name}: {done.code}, {done.err}"


def write_secrets_into_wrong_files(story: Story, folder: Path) -> None:
    """
    A key in the environment, in the file of settings, and where the ring, an authority or a private key should stand.
    """
    wrong = folder / "wrong"
    wrong.write_text(f"{_KEY}\n")
    wrong.chmod(0o600)
    config = folder / "gateway.toml"
    story.run(f"upstream set noojee --ca-file {wrong}", code=1)
    story.run(f"upstream add web --url https://noojee.example.com --ca-file {wrong} --json", code=1)
    for settings in (
        {"master_key_file": str(wrong)},
        {"api_key": _KEY},
        {"port": _KEY},
        {"node": f"{_KEY} {_KEY}"},
        {"log_level": _KEY},
        {"host": _KEY},
        {"drain_timeout": _KEY},
        {"tls_cert_file": str(wrong), "tls_key_file": str(wrong)},
        {"config": str(config)},
    ):
        for text in (
            ('port = "{}"', 'api_key = "{}"', "port = {}", '"{}" = 1', '["{}"]') if "config" in settings else ("",)
        ):
            config.write_text(text.format(_KEY))
            story.run("serve --json", code=1, **settings)
            story.run("serve", code=1, **settings)
    copy = story.command_line.copy(folder / "other-ring")
    other = folder / "another"
    other.mkdir()
    story.run("init --json", data_dir=str(other / "data"))
    shutil.copy(other / "data" / "master.key", copy.data_dir / "master.key")
    done = copy.run("credential add web --upstream noojee --kind global", stdin=_KEY, log_level="debug")
    story.outputs.add("a verb with another ring", done.out + done.err)
    assert 1 == done.code


def damage_the_registry(story: Story, folder: Path) -> None:
    """
    A table that is missing: the statement that fails has a sealed key and a digest among its parameters.
    """
    copy = story.command_line.copy(folder / "damaged")
    with closing(sqlite3.connect(copy.data_dir / "gateway.db")) as database:
        database.execute("PRAGMA foreign_keys=OFF")
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if table in {"credential", "credentials", "token", "tokens"}:
                database.execute(f"ALTER TABLE {table} RENAME TO gone_{table}")
        database.commit()
    for line, stdin in (
        ("credential add web --upstream noojee --kind global", KEYS["global key"]),
        ("token issue all", ""),
        ("credential list", ""),
    ):
        done = copy.run(line, stdin=stdin, log_level="debug")
        story.outputs.add("a verb on a damaged registry", done.out + done.err)
        assert 1 == done.code, done.err


def err_unexpectedly(story: Story) -> None:
    """
    A mistake of ours in a verb, with the key in the exception's text and in a log record.
    """

    def explode(*_: object, key: Secret, **__: object) -> None:
        try:
            raise RuntimeError(f"https://noojee/?apiKey={key.reveal()}")
        except RuntimeError:
            logging.getLogger("gateway.audit").warning("apiKey=...", exc_info=True)
            raise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(credentials, "add", explode)
        story.run("credential add web --upstream noojee --kind global", stdin=_KEY, code=70)
        story.run("credential add web --upstream noojee --kind global --json", stdin=_KEY, code=70, log_level="info")


def wait_for_a_key(story: Story) -> None:
    """
    A verb that waits for a key on standard input, as other processes see it.
    """
    words = ["credential", "add", "awaited", "--upstream", "noojee", "--kind", "global"]
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", *words],
        cwd=story.command_line.folder,
        env=story.command_line.environment({"GATEWAY_LOG_LEVEL": "debug"}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        story.outputs.add_process("a verb that waits", process.pid)
        out, err = process.communicate(KEYS["global key"].encode(), timeout=20)
    story.outputs.add("standard output of a verb that waited", out)
    story.outputs.add("standard error of a verb that waited", err)
    assert 0 == process.returncode, err
