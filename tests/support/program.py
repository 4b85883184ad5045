"""
A program as a person starts it: a process in a terminal of its own, its words in files.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_BOUND_SECONDS = 30.0
_LOOK_SECONDS = 0.02


class Program:
    """
    A process in a session of its own, as in a terminal of its own; what it writes goes to files.
    """

    def __init__(self, words: Sequence[str], *, folder: Path, logs: Path, environment: Mapping[str, str]) -> None:
        logs.mkdir(exist_ok=True)
        self._output, self._errors = logs / "stdout", logs / "stderr"
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                words,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """
        What it wrote to standard output so far.
        """
        return self._output.read_text()

    @property
    def errors(self) -> str:
        """
        What it wrote to standard error so far.
        """
        return self._errors.read_text()

    def wait_for(self, text: str) -> None:
        """
        Return when it has written a text, to standard output or standard error.
        """
        self._wait_until(lambda: text in self.output or text in self.errors)

    def interrupt(self, number: int = signal.SIGINT) -> int:
        """
        What Ctrl-C does: the signal goes to every process of the session. Returns the exit code.
        """
        os.killpg(self.process.pid, number)
        return self.process.wait(_BOUND_SECONDS)

    def wait_for_group(self) -> None:
        """
        Return when no process of the session is left.
        """
        self._wait_until(lambda: not self.has_processes(), ends=False)

    def has_processes(self) -> bool:
        """
        True while a process of the session is there.
        """
        self.process.poll()
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> None:
        """
        End what is left of the session.
        """
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(_BOUND_SECONDS)

    def _wait_until(self, holds: Callable[[], bool], *, ends: bool = True) -> None:
        bound = time.monotonic() + _BOUND_SECONDS
        while not holds():
            ended = ends and self.process.poll() is not None
            if time.monotonic() > bound or ended:
                raise AssertionError(f"{self.process.args!r} wrote {self.output!r} and {self.errors!r}")
            time.sleep(_LOOK_SECONDS)
