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

_ORPHAN_SECONDS = 5.0
"""How long a child may outlive its parent."""


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
        line = output.readline() if _is_readable(output.fileno(), seconds) else b""
        if not line:
            raise RuntimeError(
                f"{self.process.args!r} said nothing within {seconds} s:\n{self.log.read_text()[-2000:]}"
            )
        return line

    def end(self) -> None:
        """
        SIGTERM to the process, which ends its children itself; SIGKILL to whichever of the tree is there after all.
        """
        handles = [handle for pid in self.tree.pids() if (handle := _open_handle(pid)) is not None]
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_END_SECONDS)
        for handle in handles:
            if not _has_ended(handle, _ORPHAN_SECONDS):
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)
        self.process.wait(_ORPHAN_SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()


def _open_handle(pid: int) -> int | None:
    """
    A descriptor that stands for a process, and never for a later one with the same id.
    """
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _has_ended(handle: int, seconds: float) -> bool:
    return _is_readable(handle, seconds)


def _is_readable(descriptor: int, seconds: float) -> bool:
    # Not `select`, which knows no number beyond 1023: whoever holds thousands of connections has those.
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(seconds * 1000))


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
        time.sleep(0.02)  # often enough for starts that take a second
