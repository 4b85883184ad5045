"""
One plane's process, as the supervisor holds it: started, heard, told, ended.

Two pipes lead to it. Its standard input is its lifeline: what it is told comes there, and when that ends, because we
ended it or because we are gone, it drains and ends. Its standard output is how it tells that it is ready, or why it
cannot be; the end of that is its death. It shares our standard error, where it logs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

from gateway.supervisor.orders import END
from gateway.supervisor.signals import block_signals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.supervisor.backoff import Backoff
    from gateway.supervisor.plan import PlanePlan

__all__ = ["Plane"]

_READ_BYTES = 65536

_UNTOLD_LIMIT_BYTES = 1024 * 1024
"""What may wait for one that does not listen; beyond it orders are dropped, each as a whole. Ours."""


class Plane:
    """
    At most one process at a time.

    Args:
        name: For the log.
        plan: What to start.
        descriptors: What it is handed open.
        backoff: How long it is left dead; None for what is not started again.

    Attributes:
        plan: What is started the next time.
        due_at: When it is to be started again; None while it runs, and when it is not to be.
        killed_at: By when the process that runs must have done what it is there for, or have ended; None for never.
        is_ready: Whether the process that runs has said so.
    """

    def __init__(self, name: str, plan: PlanePlan, descriptors: Iterable[int], backoff: Backoff | None = None) -> None:
        self.name = name
        self.plan = plan
        self.due_at: float | None = None
        self.killed_at: float | None = None
        self.is_ready = False
        self._descriptors = tuple(descriptors)
        self._backoff = backoff
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._untold = bytearray()
        self._started_at = 0.0

    @property
    def is_running(self) -> bool:
        """
        Whether there is a process, ready or not.
        """
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """
        The process's number; None when there is none.
        """
        return self._process.pid if self._process is not None else None

    def start(self, now: float) -> int:
        """
        Start a process. Returns the descriptor on which it is heard.

        Raises:
            OSError: The system has no room for another process, or the program is not there: it is being replaced.
        """
        self.due_at, self._started_at, self._unread, self._untold = None, now, b"", bytearray()
        # Blocked from its first instant: it takes its orders over its lifeline, and what a terminal or a service
        # manager sends to all processes at once reaches it through us.
        with block_signals():
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                self.plan.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=self._descriptors
            )
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("its standard streams are not piped")
        os.set_blocking(self._process.stdin.fileno(), False)
        self.tell(self.plan.assignment)
        return self._process.stdout.fileno()

    def tell(self, line: str) -> None:
        """
        Say something to it; to nobody, when it is not there. What its pipe does not hold now waits for `tell_on`.
        """
        if self._process is not None and len(self._untold) < _UNTOLD_LIMIT_BYTES:
            self._untold += line.encode() + b"\n"
            self.tell_on()

    @property
    def has_untold(self) -> bool:
        """
        Whether something waits to be told.
        """
        return bool(self._untold)

    def tell_on(self) -> None:
        """
        Tell what waits, as far as its pipe holds it: an assignment may be larger, or it has been stopped for hours.
        """
        if self._process is None or self._process.stdin is None or self._process.stdin.closed:
            self._untold.clear()
            return
        try:
            while self._untold:
                del self._untold[: os.write(self._process.stdin.fileno(), self._untold)]
        except BlockingIOError:
            pass
        except BrokenPipeError:  # it has just died, and will be heard of
            self._untold.clear()

    def hear(self) -> Iterator[dict[str, Any]]:
        """
        What it says next. What is no word of ours is passed over: something printed what it should not have.

        Raises:
            EOFError: It will say nothing more, for it has ended: `bury` it.
        """
        if self._process is None or self._process.stdout is None:
            raise EOFError
        data = os.read(self._process.stdout.fileno(), _READ_BYTES)
        if not data:
            raise EOFError
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            try:
                word = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(word, dict):
                yield word

    def bury(self) -> int:
        """
        After its last word: leave no zombie. Returns its exit code, negative for a signal.
        """
        if self._process is None:
            raise RuntimeError(f"the {self.name} does not run")
        with self._process:  # closes both pipes and waits
            pass
        code = self._process.returncode
        self._process, self.is_ready, self.killed_at = None, False, None
        return code

    def rest(self, now: float) -> str:
        """
        Be started again when it is due. Returns when that is, in words.
        """
        if self._backoff is None:
            raise RuntimeError(f"the {self.name} is not started again")
        pause_seconds = self._backoff.find_pause(now - self._started_at)
        self.due_at = now + pause_seconds
        return f"in {pause_seconds:.0f} s" if pause_seconds else "at once"

    def end(self) -> None:
        """
        Tell it to drain and end. Again, or to nobody, it does nothing.
        """
        self.due_at = None
        if self._process is not None and self._process.stdin is not None:
            self.tell(END)
            self._process.stdin.close()

    def kill(self) -> None:
        """
        End it at once.
        """
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)

    def __repr__(self) -> str:
        if self._process is None:
            return f"<Plane {self.name}: dead>"
        return f"<Plane {self.name}: {self._process.pid}, {'ready' if self.is_ready else 'not ready'}>"
