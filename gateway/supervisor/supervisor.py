"""
The supervisor itself: one loop that starts, hears, replaces and ends the two planes.

- Whoever dies is started again: the worker at once, the control plane after a second, and in a row of deaths ever
  later. The listening sockets are ours, so meanwhile connections wait in the kernel and none is refused.
- A start that fails before the node was ever ready ends the node, with the plane's own sentence.
- The worker is told whether there is a control plane: it serves without one and says `degraded` (law 8).
- An order to end reaches the worker first. While it drains, the operators' port still tells of it.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

from gateway.errors import OperatorError, OperatorReason
from gateway.supervisor.backoff import Backoff
from gateway.supervisor.orders import CONTROL_PLANE_DOWN, CONTROL_PLANE_UP
from gateway.supervisor.plane import Plane
from gateway.supervisor.signals import hear_ending_signals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.supervisor.plan import SupervisorPlan

__all__ = ["Supervisor"]

_STDIN, _STDOUT = 0, 1

_logger = logging.getLogger(__name__)


class Supervisor:
    """
    A node's life, from two processes to none.
    """

    def __init__(self, plan: SupervisorPlan) -> None:
        held = () if plan.lock is None else (plan.lock,)
        self._plan = plan
        self._worker = Plane("worker", plan.worker, held, Backoff(0.0))
        self._control_plane = Plane("control plane", plan.control_plane, held, Backoff(1.0))
        self._selector = selectors.DefaultSelector()
        self._was_ready = False
        self._killed_at: float | None = None  # set once we end: when what is left is killed
        self._failure: OperatorError | None = None

    def run(self) -> None:
        """
        Start both; return when both have ended after an order to end.

        Raises:
            OperatorError: The node could not be started, or not be ended in an orderly way; `internal` for an error of
                ours.
        """
        with self._selector, hear_ending_signals() as signals:
            self._selector.register(signals, selectors.EVENT_READ, partial(self._hear_order, signals))
            if self._plan.ends_with_input:
                self._selector.register(_STDIN, selectors.EVENT_READ, partial(self._hear_order, _STDIN))
            self._start(self._worker)
            if not self._is_ending:
                self._start(self._control_plane)
            while not self._is_over():
                for key, _ in self._selector.select(self._find_patience()):
                    key.data()
                self._do_what_is_due()
        if self._failure is not None:
            raise self._failure

    @property
    def _is_ending(self) -> bool:
        return self._killed_at is not None

    def _is_over(self) -> bool:
        return self._is_ending and not self._worker.is_running and not self._control_plane.is_running

    def _find_patience(self) -> float | None:
        """
        Seconds until something is due; None when nothing is.
        """
        due = [at for at in (self._worker.due_at, self._control_plane.due_at, self._killed_at) if at is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        for plane in (self._worker, self._control_plane):
            if plane.due_at is not None and plane.due_at <= now:
                self._start(plane)
        if self._killed_at is not None and self._killed_at <= now:
            for plane in (self._worker, self._control_plane):
                if plane.is_running:
                    self._fail(f"the {plane.name} did not end in time and was killed")
                    plane.kill()
            self._killed_at = now + self._plan.end_seconds

    def _start(self, plane: Plane) -> None:
        now = time.monotonic()
        try:
            heard = plane.start(now)
        except OSError as error:
            self._meet_death(plane, f"cannot be started: {error.strerror}", now)
            return
        self._selector.register(heard, selectors.EVENT_READ, partial(self._hear, plane, heard))
        if plane is self._worker and self._was_ready and not self._control_plane.is_ready:
            plane.tell(CONTROL_PLANE_DOWN)

    def _hear_order(self, descriptor: int) -> None:
        if not os.read(descriptor, 1024):  # standard input has ended; a signal is never the end of its pipe
            self._selector.unregister(descriptor)
        self._begin_end()

    def _hear(self, plane: Plane, descriptor: int) -> None:
        try:
            for word in plane.hear():
                self._take(plane, word)
        except EOFError:
            self._selector.unregister(descriptor)
            code = plane.bury()
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            if self._is_ending and code == 0:
                how = ""
            self._meet_death(plane, how, time.monotonic())

    def _take(self, plane: Plane, word: Mapping[str, object]) -> None:
        if "failed" in word:
            self._take_failure(plane, word)
        elif "ready" in word:
            plane.is_ready = True
            self._take_readiness(plane)

    def _take_readiness(self, plane: Plane) -> None:
        if self._was_ready:
            _logger.info("the %s is ready again", plane.name)
            if plane is self._control_plane:
                self._worker.tell(CONTROL_PLANE_UP)
        elif self._worker.is_ready and self._control_plane.is_ready and not self._is_ending:
            self._was_ready = True
            self._print_ready()

    def _print_ready(self) -> None:
        try:
            os.write(_STDOUT, self._plan.ready.encode())
        except OSError as error:
            self._fail(f"the ready line cannot be printed: {error.strerror}")
            self._begin_end()

    def _take_failure(self, plane: Plane, word: Mapping[str, object]) -> None:
        reason, detail = OperatorReason(str(word["failed"])), str(word["detail"])
        if self._was_ready and not self._is_ending:
            _logger.error("the %s cannot serve: %s", plane.name, detail)
        elif self._failure is None:
            self._failure = OperatorError(reason, detail)

    def _meet_death(self, plane: Plane, how: str, now: float) -> None:
        if self._is_ending:
            if how:
                self._fail(f"the {plane.name} {how}")
            self._control_plane.end()  # the worker is gone: nobody is left to be told of
        elif not self._was_ready:
            self._fail(f"the node cannot start: the {plane.name} {how}")
            self._begin_end()
        else:
            _logger.error("the %s %s; it is started again %s", plane.name, how, plane.rest(now))
            if plane is self._control_plane:
                self._worker.tell(CONTROL_PLANE_DOWN)

    def _fail(self, what: str) -> None:
        """
        Remember the first thing that went wrong; a plane's own sentence has come before its death.
        """
        if self._failure is None:
            self._failure = OperatorError(OperatorReason.INTERNAL, what)

    def _begin_end(self) -> None:
        """
        Begin an orderly end. Another order changes nothing: the drain is bounded by itself.
        """
        if self._is_ending:
            return
        self._killed_at = time.monotonic() + self._plan.end_seconds
        # From now on the sockets are the planes' alone, so that nobody can wait at a port that nobody serves any more.
        for descriptor in (self._plan.worker.listener, self._plan.control_plane.listener):
            os.close(descriptor)
        self._control_plane.due_at = None
        self._worker.end()
        if not self._worker.is_running:
            self._control_plane.end()
