"""
What changes in a node that runs: settings that are read again, and another worker in the place of the one that serves.

One at a time, in the order in which they were asked for:

    reload: reader -> settings -> told to every plane -> in force when they have said so
    restart: reader -> settings -> successor -> ready -> the worker leaves

Nothing is lost by what fails on the way: the old settings and the old worker stay, and it is said why. The reader is a
process of its own, because what reads settings is more than the supervisor may load.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.errors import OperatorReason
from gateway.logs import configure_logging, find_more_talkative
from gateway.supervisor.node import LEAVING_LIMIT
from gateway.supervisor.orders import RELOAD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.supervisor.node import Node
    from gateway.supervisor.notifier import Notifier
    from gateway.supervisor.plan import SupervisorPlan
    from gateway.supervisor.plane import Plane
    from gateway.supervisor.post import Visitor

__all__ = ["Renewal", "Renewals"]

_READING_SECONDS = 30.0
_WAITING_LIMIT = 8

_logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Renewal:
    """
    One reload, or one restart.

    Attributes:
        is_restart: Which of the two.
        visitor: Who is told what came of it, beside the log.
        told: What the reader has said of the settings.
        failure: Reason and sentence of what went wrong.
        awaited: The planes that have not said yet that they have reloaded.
        given_up_at: When they are not waited for any longer.
    """

    is_restart: bool
    visitor: Visitor | None = None
    told: Mapping[str, Any] = field(default_factory=dict)
    failure: tuple[str, str] | None = None
    awaited: set[Plane] = field(default_factory=set)
    given_up_at: float | None = None


class Renewals:
    """
    All that were asked for and are not over.

    Args:
        node: Whose processes they are.
        start: Starts a process and sees to it that it is heard.
        notifier: Is told of a reload.
    """

    def __init__(self, node: Node, start: Callable[[Plane], None], notifier: Notifier) -> None:
        self._node = node
        self._start = start
        self._notifier = notifier
        self._waiting: deque[Renewal] = deque()
        self._present: Renewal | None = None

    # --- from asking to its end ---------------------------------------------------------------------------------------

    def ask(self, renewal: Renewal) -> bool:
        """
        Begin it, now or when those before it are over. Returns False when too many wait.
        """
        if len(self._waiting) >= _WAITING_LIMIT:
            return False
        self._waiting.append(renewal)
        if self._present is None:
            self._begin_next()
        return True

    @property
    def due_at(self) -> float | None:
        """
        When something is to be done that nobody will call for; None for never.
        """
        return self._present.given_up_at if self._present is not None else None

    def do_what_is_due(self, now: float) -> None:
        """
        Give up who has not answered.
        """
        if self._present is not None and self._present.given_up_at is not None and self._present.given_up_at <= now:
            names = " and the ".join(sorted(plane.name for plane in self._present.awaited))
            self._tell_partly(f"the {names} did not answer")

    def give_up(self) -> None:
        """
        The node ends: nothing will come of any of them.
        """
        waiting = ([self._present] if self._present is not None else []) + list(self._waiting)
        self._present = None
        self._waiting.clear()
        for renewal in waiting:
            _answer(renewal, {"failed": OperatorReason.RESTART_FAILED, "detail": "The gateway is ending."})

    def _begin_next(self) -> None:
        while self._present is None and self._waiting:
            renewal = self._present = self._waiting.popleft()
            if not renewal.is_restart:
                self._notifier.tell_reloading()
            if renewal.is_restart and len(self._node.leaving) >= LEAVING_LIMIT:
                self._fail(
                    OperatorReason.RESTART_FAILED,
                    f"{LEAVING_LIMIT} workers are leaving still. Wait until one has ended.",
                )
            elif self._node.plan.reader:
                self._read()
            else:
                self._go_on(self._node.plan)

    def _finish(self) -> Renewal:
        renewal, self._present = self._get_present(), None
        if not renewal.is_restart:
            self._notifier.tell_ready()
        return renewal

    def _fail(self, reason: str, detail: str) -> None:
        renewal = self._finish()
        if renewal.is_restart:
            _logger.error("the worker was not replaced and goes on serving: %s", detail)
        else:
            _logger.error("the settings were not reloaded, the old ones stay in force: %s", detail)
        _answer(renewal, {"failed": reason, "detail": detail})
        self._begin_next()

    # --- the settings -------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        plan = self._node.plan
        request = {
            "is_restart": self._get_present().is_restart,
            "settings": dict(plan.settings),
            "callers": plan.worker.listener,
            "admin": plan.control_plane.listener,
        }
        self._start(self._node.create_reader(json.dumps(request), time.monotonic(), _READING_SECONDS))

    def take_reading(self, word: Mapping[str, Any]) -> None:
        """
        What the reader says.
        """
        if self._present is not None and "failed" in word:
            self._present.failure = (str(word["failed"]), str(word.get("detail", "It did not say why.")))
        elif self._present is not None:
            self._present.told = word

    def note_reader_ended(self, how: str) -> None:
        """
        The reader has said what it had to say.
        """
        self._node.reader = None
        if self._present is None:
            return
        if self._present.failure is not None:
            self._fail(*self._present.failure)
        elif not self._present.told:
            self._fail(OperatorReason.INTERNAL, f"The reader of the settings {how}.")
        else:
            self._take_told(self._present.told)

    def _take_told(self, told: Mapping[str, Any]) -> None:
        try:
            _tell_kept(told["kept"])
            self._go_on(self._node.plan.renew(told))
        except Exception:  # the edge: what another release's reader says must not end the node
            _logger.exception("what the reader of the settings has said was not understood")
            if self._present is not None:
                self._fail(
                    OperatorReason.INTERNAL,
                    "What the reader of the settings has said was not understood. If another version was installed "
                    "since the start, stop the gateway and start it.",
                )

    def _go_on(self, plan: SupervisorPlan) -> None:
        if self._get_present().is_restart:
            successor = self._node.create_successor(plan.worker)
            successor.killed_at = time.monotonic() + plan.start_seconds
            self._start(successor)
        else:
            self._bring_into_force(plan)

    def _bring_into_force(self, plan: SupervisorPlan) -> None:
        """
        Tell every process what it can change, and start the next ones by it.
        """
        node, renewal = self._node, self._get_present()
        self._let_news_be_seen(plan)
        node.take_plan(plan)
        renewal.awaited = {each for each in (node.worker, node.control_plane) if each.is_running}
        renewal.given_up_at = time.monotonic() + plan.start_seconds  # one that stands still must not stop all others
        for plane in (*node.workers, node.control_plane):
            assignment = plan.control_plane if plane is node.control_plane else plan.worker
            plane.tell(RELOAD + assignment.assignment)
        self._see_awaited()

    def note_reloaded(self, plane: Plane, failure: str | None) -> None:
        """
        A plane has said that what it was told is in force, or why not.
        """
        if self._present is None or plane not in self._present.awaited:
            if failure is not None:
                _logger.error("the %s did not reload: %s", plane.name, failure)
            return
        if failure is not None:
            self._present.failure = (OperatorReason.TLS_UNUSABLE, f"in the {plane.name}: {failure}")
        self._present.awaited.discard(plane)
        self._see_awaited()

    def _see_awaited(self) -> None:
        renewal = self._get_present()
        if renewal.awaited or renewal.is_restart:
            return
        if renewal.failure is not None:
            self._tell_partly(renewal.failure[1])
            return
        self._finish()
        changed = ", ".join(renewal.told.get("applied", ())) or "none"
        _logger.info("reloaded: certificates and keys were read again; settings changed: %s", changed)
        self._log_as_planned()
        self._begin_next()

    def _tell_partly(self, detail: str) -> None:
        """
        The reader has found nothing wrong, and yet a plane has not done as it was told. The next reload may help.
        """
        self._finish()
        _logger.error("reloaded, but not everywhere: %s", detail)
        self._log_as_planned()
        self._begin_next()

    # --- what is said of it -------------------------------------------------------------------------------------------

    def _let_news_be_seen(self, plan: SupervisorPlan) -> None:
        """
        What comes of a renewal is for whoever saw what went before it, and for whoever is to see what follows.

        A level that shows less begins after it: it would hide that it has come into force.
        """
        level = find_more_talkative(self._node.plan.log_level, plan.log_level)
        configure_logging(level, form=plan.log_format)

    def _log_as_planned(self) -> None:
        configure_logging(self._node.plan.log_level, form=self._node.plan.log_format)

    # --- the worker ---------------------------------------------------------------------------------------------------

    def install_successor(self) -> None:
        """
        The successor is ready: from now on it is the worker.
        """
        renewal, node = self._get_present(), self._node
        if renewal.failure is not None:
            return  # it was overdue, and a signal that kills it is on its way
        # Whatever may be wrong with what was told shows before the old worker is told to leave.
        plan = node.plan.renew(renewal.told) if renewal.told else node.plan
        applied, kept = list(renewal.told.get("applied", ())), dict(renewal.told.get("kept", {}))
        self._let_news_be_seen(plan)
        left = node.adopt_successor(time.monotonic())
        node.take_plan(plan)
        node.control_plane.tell(RELOAD + plan.control_plane.assignment)
        self._finish()
        told: dict[str, object] = {
            "worker": node.worker.pid,
            "leaving": left.pid if left is not None else None,
            "applied": applied,
            "kept": kept,
        }
        _logger.info("the worker was replaced: process %s serves, %s leaves", told["worker"], told["leaving"])
        self._log_as_planned()
        _answer(renewal, told)
        self._begin_next()

    def note_successor_failed(self, reason: str, detail: str) -> None:
        """
        The successor says why it cannot serve; its end follows.
        """
        if self._present is not None:
            self._present.failure = (reason, detail)

    def note_successor_ended(self, how: str) -> None:
        """
        It is gone before it was ready.
        """
        self._node.successor = None
        if self._present is not None:
            failure = self._present.failure or (OperatorReason.RESTART_FAILED, f"The new worker {how}.")
            self._fail(*failure)

    def note_overdue(self, plane: Plane) -> None:
        """
        A reader or a successor takes too long, and is killed.
        """
        if self._present is not None:
            reason = OperatorReason.RESTART_FAILED if self._present.is_restart else OperatorReason.INTERNAL
            self._present.failure = (reason, f"The {plane.name} was not ready in time.")

    def note_ended(self, plane: Plane) -> None:
        """
        A plane that may still have had to say something is gone.
        """
        if self._present is not None and plane in self._present.awaited:
            self._present.awaited.discard(plane)  # who takes its place is started by the new plan
            self._see_awaited()

    def _get_present(self) -> Renewal:
        if self._present is None:
            raise RuntimeError("nothing is being renewed")
        return self._present


def _answer(renewal: Renewal, told: Mapping[str, object]) -> None:
    if renewal.visitor is not None:
        renewal.visitor.answer(told)


def _tell_kept(kept: Mapping[str, str]) -> None:
    """
    Say which settings have changed and are not in force now, and what would do that.
    """
    for name, remedy in kept.items():
        _logger.warning("%s was changed and stays as it is until %s", name, remedy)
