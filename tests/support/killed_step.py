"""
A program that carries out a verb again and again, killed one step later each time.

    killed_step.py rotate|prune|apply FOLDER WORK

`rotate` and `prune` are verbs of `master-key`; `apply` reads FOLDER/document.json and prunes. FOLDER holds an
installation (`data`); each round works on a copy of it, WORK/<number>. A round's process is killed with
SIGKILL before its <number>-th step: a system call that changes a file or makes it durable, or the registry's commit.
Ends when a round came to its end; prints the steps of that last round, one a line. Forks for each round what is
imported once, so a round takes some hundredths of a second.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from admin_office import GLOBAL_KEY, USER_KEY

from gateway.administration import keys
from gateway.administration.declaration import parse_declaration
from gateway.administration.declaration_plan import carry_out as carry_out_plan
from gateway.administration.declaration_plan import make_plan
from gateway.administration.desk import Desk
from gateway.clock import SystemClock
from gateway.registry import store

BOTH_KEYS = {"everything": GLOBAL_KEY, "alice": USER_KEY}
CALLS = ("write", "pwrite", "fsync", "fdatasync", "ftruncate", "replace", "rename", "unlink")


class Steps:
    """
    Counts steps, and kills the process before one of them.
    """

    def __init__(self, last: int) -> None:
        self.names: list[str] = []
        self._last = last
        self._lock = threading.Lock()

    def take(self, name: str) -> None:
        """
        A step is about to be made.
        """
        with self._lock:
            self.names.append(name)
            if len(self.names) == self._last:
                os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """
        From now on every step is counted.
        """
        for name in CALLS:
            if hasattr(os, name):
                setattr(os, name, self._wrap(name, getattr(os, name)))
        store.commit = self._wrap("commit", store.commit)

    def _wrap(self, name: str, call: Any) -> Any:
        def step(*args: Any, **named: Any) -> Any:
            self.take(name)
            return call(*args, **named)

        return step


def carry_out(verb: str, folder: Path, steps: Steps) -> None:
    """
    The verb, with its steps counted.
    """
    data_dir = folder / "data"
    with Desk.open(
        data_dir=data_dir,
        run_dir=folder / "run",
        master_key_file=data_dir / "master.key",
        node="test",
        clock=SystemClock(),
    ) as desk:
        steps.watch()
        if verb == "apply":
            apply_document(desk, folder)
        else:
            getattr(keys, verb)(desk)


def apply_document(desk: Desk, folder: Path) -> None:
    """
    `apply --prune` of the folder's document.
    """
    declaration = parse_declaration(json.loads((folder / "document.json").read_bytes()))
    plan = make_plan(desk, declaration, folder=folder, prune=True)
    carry_out_plan(desk, plan, declaration, BOTH_KEYS, folder=folder, prune=True)


def run_round(verb: str, folder: Path, last: int) -> bool:
    """
    One round in a process of its own. Whether it was killed.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            steps = Steps(last)
            carry_out(verb, folder, steps)
            (folder / "steps").write_text("\n".join(steps.names))
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
        raise SystemExit(f"round {last} failed")
    return os.WIFSIGNALED(status)


def main(verb: str, prepared: Path, work: Path) -> None:
    """
    All rounds.
    """
    number = 0
    while True:
        number += 1
        folder = work / str(number)
        shutil.copytree(prepared, folder)
        if not run_round(verb, folder, number):
            sys.stdout.write((folder / "steps").read_text())
            return


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
