"""
The command line as an operator runs it, in a folder of its own, with nothing of this environment's settings.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VERBS = [
    "init",
    *(f"upstream {verb}" for verb in ("add", "list", "show", "set", "remove")),
    *(f"credential {verb}" for verb in ("add", "list", "rotate", "remove")),
    *(f"caller {verb}" for verb in ("add", "list", "show", "set", "disable", "enable", "remove")),
    *(f"grant {verb}" for verb in ("add", "list", "remove")),
    *(f"token {verb}" for verb in ("issue", "list", "rotate", "revoke")),
    "explain",
    "operations",
    "serve",
    "demo",
    "simulate",
    "audit tail",
    "audit verify",
    "check",
    "master-key rotate",
    "master-key prune",
    "apply",
    "export-config",
    "migrate",
    "restart",
]
"""
Every verb there is.
"""

KEY = "0f8fad5b-d9cb-469f-a165-70867728950e"
"""
A Noojee key, marked so that it can be looked for.
"""


@dataclass(frozen=True)
class Done:
    """
    What became of one command line.
    """

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """
        The one JSON value on standard output of a verb that was done.
        """
        assert self.code == 0, self.err
        assert self.out.count("\n") == 1
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """
        The error of a refused verb, which leaves standard output empty; `serve` may have logged before it.
        """
        assert self.out == ""
        error: dict[str, str] = json.loads(self.err.splitlines()[-1])["error"]
        assert set(error) == {"reason", "detail"}
        return error


class CommandLine:
    """
    Runs verbs on one data folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """
        Our environment without its settings, and `extra`.
        """
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("GATEWAY_")}
        kept.pop("CREDENTIALS_DIRECTORY", None)
        return kept | dict(extra or {})

    def spawn(self, line: str, *more: str, stdin: str | bytes = b"", **settings: str) -> Done:
        """
        One command line as a process, split at spaces, then `more` as words of their own.

        Args:
            stdin: What stands on standard input, which is never a terminal here.
            settings: GATEWAY_* settings, without the prefix in lower case.
        """
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *line.split(), *more],
            input=_encode(stdin),
            capture_output=True,
            cwd=self.folder,
            env=self.environment(_name_settings(settings)),
            timeout=30,
            check=False,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def run(self, line: str, *more: str, stdin: str | bytes = b"", **settings: str) -> Done:
        """
        The same in this process, where the half second of imports is paid once: for transcripts of many verbs.
        """
        streams = [
            io.TextIOWrapper(io.BytesIO(content), "utf-8", newline="\n") for content in (_encode(stdin), b"", b"")
        ]
        environment, umask = dict(os.environ), os.umask(0o022)
        kept = sys.stdin, sys.stdout, sys.stderr
        sys.stdin, sys.stdout, sys.stderr = streams
        try:
            os.environ.clear()
            os.environ.update(self.environment(_name_settings(settings)))
            with contextlib.chdir(self.folder):
                code = main([*line.split(), *more])
        finally:
            sys.stdin, sys.stdout, sys.stderr = kept
            os.environ.clear()
            os.environ.update(environment)
            os.umask(umask)
        out, err = (_read_back(stream) for stream in streams[1:])
        return Done(code, out, err)

    def copy(self, folder: Path) -> CommandLine:
        """
        The same on a copy of everything.
        """
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return CommandLine(folder)


def _encode(stdin: str | bytes) -> bytes:
    return stdin.encode() if isinstance(stdin, str) else stdin


def _name_settings(settings: Mapping[str, str]) -> dict[str, str]:
    return {f"GATEWAY_{name.upper()}": value for name, value in settings.items()}


def _read_back(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()
