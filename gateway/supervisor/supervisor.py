"""
The supervisor itself: one loop that starts, hears, replaces and ends a node's processes.

- Whoever dies is started again: the worker at once, the control plane after a second, and in a row of deaths ever
  later. The listening sockets are ours, so meanwhile connections wait in the kernel and none is refused.
- A start that fails before the node was ever ready ends the node, with the plane's own sentence.
- The worker is told whether there is a control plane: it serves without one and says `degraded` (law 8).
- A worker that ends beside another has left something to see to: that other is told (law 2).
- An order to end reaches the workers first. While they drain, the operators' port still tells of it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.errors import OperatorError, OperatorReason
from gateway.run_folder import RESTART
from gateway.supervisor.node import Node
from gateway.supervisor.notifier import Notifier
from gateway.supervisor.orders import CONTROL_PLANE_DOWN, CONTROL_PLANE_UP, RECOVER
from gateway.supervisor.post import Post
from gateway.supervisor.renewals import Renewal, Renewals
from gateway.supervisor.signals import Terminal, hear_signals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.supervisor.plan import SupervisorPlan
    from gateway.supervisor.plane import Plane
    from gateway.supervisor.post import Visitor

__all__ = ["Supervisor"]

_STDIN, _STDOUT = 0, 1

_TELLING_SECONDS = 0.05
"""How soon it is tried again to tell what a pipe had no room for: rare, and not worth a place in the selector."""

_SILENCE = "It did not say why."

_logger = logging.getLogger(__name__)


class Supervisor:
    """
    A node's life, from its first process to its last.
    """

    def __init__(self, plan: SupervisorPlan) -> None:
        self._node = Node(plan)
        self._selector = selectors.DefaultSelector()
        self._terminal = Terminal()
        self._notifier = Notifier.find()
        self._renewals = Renewals(self._node, self._start, self._notifier)
        self._was_ready = False
        self._is_ending = False
        self._failure: OperatorError | None = None

    def run(self) -> None:
        """
        Start the planes; return when all have ended after an order to end.

        Raises:
            OperatorError: The node could not be started, or not be ended in an orderly way; `internal` for an error of
                ours.
        """
        with self._selector, hear_signals() as signals, self._open_post():
            self._selector.register(signals, selectors.EVENT_READ, partial(self._hear_signals, signals))
            if self._node.plan.ends_with_input:
                self._selector.register(_STDIN, selectors.EVENT_READ, self._hear_input)
            self._start(self._node.worker)
            if not self._is_ending:
                self._start(self._node.control_plane)
            while not self._is_over():
                for key, _ in self._selector.select(self._find_patience()):
                    key.data()
                self._do_what_is_due()
        if self._failure is not None:
            raise self._failure

    # --- time ---------------------------------------------------------------------------------------------------------

    def _is_over(self) -> bool:
        return self._is_ending and not any(plane.is_running for plane in self._node.planes)

    def _find_patience(self) -> float | None:
        """
        Seconds until something is due; None when nothing is.
        """
        ats = [self._renewals.due_at, *(at for plane in self._node.planes for at in (plane.due_at, plane.killed_at))]
        due = [at for at in ats if at is not None]
        if any(plane.has_untold for plane in self._node.planes):
            due.append(time.monotonic() + _TELLING_SECONDS)
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        self._renewals.do_what_is_due(now)
        for plane in self._node.planes:
            plane.tell_on()
            if plane.due_at is not None and plane.due_at <= now:
                self._start(plane)
            if plane.killed_at is not None and plane.killed_at <= now:
                plane.killed_at = None
                self._kill(plane)

    def _kill(self, plane: Plane) -> None:
        if self._is_ending:
            self._fail(f"the {plane.name} did not end in time and was killed")
        elif plane in self._node.leaving:
            _logger.error("the %s did not end in time and is killed", plane.name)
        else:
            self._renewals.note_overdue(plane)
        plane.kill()

    # --- what the outside asks for ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _open_post(self) -> Iterator[None]:
        path = self._node.plan.post
        if path is None:
            yield
            return
        post = Post(path, self._selector, self._take_visitor)
        post.open()
        try:
            yield
        finally:
            post.close()

    def _take_visitor(self, line: bytes, visitor: Visitor) -> bool:
        if line != RESTART:
            return False
        if not self._was_ready or self._is_ending:
            visitor.answer({"failed": OperatorReason.RESTART_FAILED, "detail": "The gateway is starting or ending."})
        elif not self._renewals.ask(Renewal(is_restart=True, visitor=visitor)):
            visitor.answer({"failed": OperatorReason.RESTART_FAILED, "detail": "Too many restarts wait already."})
        return True

    def _hear_signals(self, descriptor: int) -> None:
        for number in os.read(descriptor, 1024):
            if number != signal.SIGHUP or self._terminal.is_gone() or not self._node.plan.reader:
                self._begin_end()
            elif self._was_ready and not self._is_ending:
                self._renewals.ask(Renewal(is_restart=False))  # where many wait, one more would read the same

    def _hear_input(self) -> None:
        if not os.read(_STDIN, 1024):
            self._selector.unregister(_STDIN)
        self._begin_end()

    # --- what the planes tell -----------------------------------------------------------------------------------------

    def _start(self, plane: Plane) -> None:
        now = time.monotonic()
        try:
            heard = plane.start(now)
        except OSError as error:
            self._meet_death(plane, f"cannot be started: {error.strerror}", now)
            return
        self._selector.register(heard, selectors.EVENT_READ, partial(self._hear, plane, heard))
        if plane in self._node.workers and self._was_ready and not self._node.control_plane.is_ready:
            plane.tell(CONTROL_PLANE_DOWN)

    def _hear(self, plane: Plane, descriptor: int) -> None:
        try:
            for word in plane.hear():
                self._try_to_take(plane, word)
        except EOFError:
            self._selector.unregister(descriptor)
            code = plane.bury()
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            self._meet_death(plane, "" if code == 0 and self._may_end(plane) else how, time.monotonic())

    def _try_to_take(self, plane: Plane, word: Mapping[str, Any]) -> None:
        """
        Take it; what is not understood costs who said it, and not the node.
        """
        try:
            self._take(plane, word)
        except Exception:
            _logger.exception("the %s said what was not understood, and is killed", plane.name)
            plane.kill()

    def _may_end(self, plane: Plane) -> bool:
        return self._is_ending or plane in self._node.leaving

    def _take(self, plane: Plane, word: Mapping[str, Any]) -> None:
        if plane is self._node.reader:
            self._renewals.take_reading(word)
        elif "failed" in word:
            self._take_failure(plane, _find_reason(word["failed"]), str(word.get("detail", _SILENCE)))
        elif "ready" in word:
            plane.is_ready = True
            self._take_readiness(plane)
        elif "reloaded" in word:
            self._renewals.note_reloaded(plane, None if word["reloaded"] else str(word.get("detail", _SILENCE)))

    def _take_readiness(self, plane: Plane) -> None:
        if self._is_ending:
            return
        if plane is self._node.successor:
            self._renewals.install_successor()
        elif self._was_ready:
            _logger.info("the %s is ready again", plane.name)
            if plane is self._node.control_plane:
                self._tell_workers(CONTROL_PLANE_UP)
        elif self._node.worker.is_ready and self._node.control_plane.is_ready:
            self._was_ready = True
            self._print_ready()

    def _print_ready(self) -> None:
        try:
            os.write(_STDOUT, self._node.plan.ready.encode())
        except OSError as error:
            self._fail(f"the ready line cannot be printed: {error.strerror}")
            self._begin_end()
        else:
            self._notifier.tell_ready()

    def _take_failure(self, plane: Plane, reason: OperatorReason, detail: str) -> None:
        if plane is self._node.successor:
            self._renewals.note_successor_failed(reason, detail)
        elif self._was_ready and not self._is_ending:
            _logger.error("the %s cannot serve: %s", plane.name, detail)
        elif self._failure is None:
            self._failure = OperatorError(reason, detail)

    # --- deaths -------------------------------------------------------------------------------------------------------

    def _meet_death(self, plane: Plane, how: str, now: float) -> None:
        """
        See to what is to come of it.

        Args:
            plane: Which; it is buried, or could not be started.
            how: In words, behind the plane's name; empty when it ended as it was told to.
            now: On the monotonic clock.
        """
        if self._is_ending:
            if how and plane is not self._node.reader:
                self._fail(f"the {plane.name} {how}")
            self._end_control_plane()
        elif plane is self._node.reader:
            self._renewals.note_reader_ended(how or "said nothing")
        elif not self._was_ready:
            self._fail(f"the node cannot start: the {plane.name} {how}")
            self._begin_end()
        else:
            self._replace(plane, how, now)
            self._renewals.note_ended(plane)

    def _replace(self, plane: Plane, how: str, now: float) -> None:
        node = self._node
        if plane in node.leaving:
            node.leaving.remove(plane)
            if how:
                _logger.error("the %s %s", plane.name, how)
            self._tell_workers(RECOVER)
        elif plane is node.successor:
            self._renewals.note_successor_ended(how)
            if node.worker.pid is None and node.worker.due_at is None:  # it died meanwhile, and this was to replace it
                _logger.error("the worker is started again %s", node.worker.rest(now))
            self._tell_workers(RECOVER)
        elif plane is node.worker and node.successor is not None:
            _logger.error("the worker %s; the new one takes its place", how)
            node.successor.tell(RECOVER)
        else:
            _logger.error("the %s %s; it is started again %s", plane.name, how, plane.rest(now))
            if plane is node.control_plane:
                self._tell_workers(CONTROL_PLANE_DOWN)

    def _tell_workers(self, order: str) -> None:
        workers = self._node.workers if order != RECOVER else [self._node.worker]
        for worker in workers:
            worker.tell(order)

    def _fail(self, what: str) -> None:
        """
        Remember the first thing that went wrong; a plane's own sentence has come before its death.
        """
        if self._failure is None:
            self._failure = OperatorError(OperatorReason.INTERNAL, what)

    # --- the end ------------------------------------------------------------------------------------------------------

    def _begin_end(self) -> None:
        """
        Begin an orderly end. Another order changes nothing: the drain is bounded by itself.
        """
        if self._is_ending:
            return
        self._is_ending = True
        self._notifier.tell_stopping()
        self._renewals.give_up()
        # From now on the sockets are the planes' alone, so that nobody can wait at a port that nobody serves any more.
        for descriptor in (self._node.plan.worker.listener, self._node.plan.control_plane.listener):
            os.close(descriptor)
        killed_at = time.monotonic() + self._node.plan.end_seconds
        for plane in self._node.planes:
            plane.due_at, plane.killed_at = None, killed_at if plane.is_running else None
        for worker in self._node.workers:
            worker.end()
        if self._node.reader is not None:
            self._node.reader.kill()
        self._end_control_plane()

    def _end_control_plane(self) -> None:
        """
        Once the last worker is gone: nobody is left to be told of.
        """
        if not any(worker.is_running for worker in self._node.workers):
            self._node.control_plane.end()


def _find_reason(word: object) -> OperatorReason:
    """
    A plane's word for why; another release's may have words that we do not know.
    """
    try:
        return OperatorReason(str(word))
    except ValueError:
        return OperatorReason.INTERNAL
