"""
The processes that a run starts: pinned to a core, ended by their id whatever happens.

Each is in a session of its own, so that Ctrl-C reaches this program alone, which then ends them in order; and each gets
SIGTERM from the kernel when this program is killed.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from typing import IO, TYPE_CHECKING

from benchmarks.process_tree import ProcessTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["Child", "pin", "running", "wait_for"]

_END_SECONDS = 40.0
"""The gateway drains for 10 seconds, and then has a journal to close."""


class Child:
    """
    A running process and its descendants.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.tree = ProcessTree(process.pid)
        self.log = log

    def read_line(self, seconds: float) -> bytes:
        """
        The next line of its standard output.

        Raises:
            RuntimeError: None came in that time, or it has ended; with the end of its log.
        """
        output: IO[bytes] | None = self.process.stdout
        if output is None:
            raise RuntimeError("standard output is not piped")
        readable, _, _ = select.select([output], [], [], seconds)
        line = output.readline() if readable else b""
        if not line:
            raise RuntimeError(
                f"{self.process.args!r} said nothing within {seconds} s:\n{self.log.read_text()[-2000:]}"
            )
        return line

    def end(self) -> None:
        """
        SIGTERM, and SIGKILL to all of the tree when that was not enough.
        """
        pids = self.tree.pids()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_END_SECONDS)
        if self.process.poll() is None:
            self.kill(pids)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def kill(self, pids: Sequence[int] | None = None) -> None:
        """
        SIGKILL to all of the tree, the root first so that it cannot start another.
        """
        for pid in pids or self.tree.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)


def pin(core: int) -> list[str]:
    """
    What stands before a command line so that it runs on one core, and ends when we are killed.
    """
    return ["setpriv", "--pdeathsig", "TERM", "taskset", "--cpu-list", str(core)]


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    *,
    core: int,
    log: Path,
    environment: Mapping[str, str] | None = None,
    speaks: bool = False,
) -> Iterator[Child]:
    """
    A process on a core, ended when the block is left. What it prints is in `log`; when it `speaks`, we read its output.
    """
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [*pin(core), *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if speaks else errors,
            stderr=errors,
            env=None if environment is None else dict(environment),
            start_new_session=True,
        )
    child = Child(process, log)
    try:
        yield child
    finally:
        child.end()


def wait_for(condition: Callable[[], object], what: str, seconds: float) -> None:
    """
    Ask until it gives something true.

    Raises:
        RuntimeError: It did not in that time.
    """
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise RuntimeError(f"did not happen within {seconds} s: {what}")
        time.sleep(0.02)
