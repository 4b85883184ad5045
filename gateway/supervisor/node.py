"""
The processes of a node, by what each is there for at the moment.

As a rule these are a worker and the control plane. While the worker is replaced there is a successor, which does not
serve yet, and then for a while one that leaves and serves whom it has; for a moment there is who reads the settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.supervisor.backoff import Backoff
from gateway.supervisor.orders import LEAVE
from gateway.supervisor.plan import PlanePlan
from gateway.supervisor.plane import Plane

if TYPE_CHECKING:
    from gateway.supervisor.plan import SupervisorPlan

__all__ = ["LEAVING_LIMIT", "Node"]

LEAVING_LIMIT = 4
"""So many workers may be leaving: each is a whole process, as long as its longest call or idlest connection."""


class Node:
    """
    All of them, and the plan by which they are started.

    Attributes:
        plan: As it is in force.
        worker: Serves callers, or is to be started again.
        control_plane: Serves operators, or is to be started again.
        successor: What is to take the worker's place; None most of the time, as are the next two.
        leaving: Whose place was taken, and who still serve whom they have.
        reader: Who reads the settings.
    """

    def __init__(self, plan: SupervisorPlan) -> None:
        self.plan = plan
        self._held = () if plan.lock is None else (plan.lock,)
        self.worker = Plane("worker", plan.worker, (plan.worker.listener, *self._held), Backoff(0.0))
        self.control_plane = Plane(
            "control plane", plan.control_plane, (plan.control_plane.listener, *self._held), Backoff(1.0)
        )
        self.successor: Plane | None = None
        self.leaving: list[Plane] = []
        self.reader: Plane | None = None

    @property
    def workers(self) -> list[Plane]:
        """
        All of them, whether they run or not; the one that serves first.
        """
        return [self.worker, *([self.successor] if self.successor is not None else []), *self.leaving]

    @property
    def planes(self) -> list[Plane]:
        """
        Everything that may run.
        """
        return [*self.workers, self.control_plane, *([self.reader] if self.reader is not None else [])]

    def create_successor(self, plan: PlanePlan) -> Plane:
        """
        A worker that waits for the present one's place.
        """
        self.successor = Plane("new worker", plan.for_successor(), (plan.listener, *self._held), Backoff(0.0))
        return self.successor

    def adopt_successor(self, now: float) -> Plane | None:
        """
        Let the successor be the worker. Returns who leaves; None when the worker had died meanwhile.
        """
        if self.successor is None:
            raise RuntimeError("there is no successor")
        before, self.worker, self.successor = self.worker, self.successor, None
        self.worker.name, self.worker.killed_at = "worker", None
        before.due_at = None
        if not before.is_running:
            return None
        before.name, before.killed_at = "leaving worker", now + self.plan.leave_seconds
        before.tell(LEAVE)
        self.leaving.append(before)
        return before

    def take_plan(self, plan: SupervisorPlan) -> None:
        """
        Start by this plan from now on.
        """
        self.plan = plan
        self.worker.plan, self.control_plane.plan = plan.worker, plan.control_plane

    def create_reader(self, request: str, now: float, patience_seconds: float) -> Plane:
        """
        Who reads the settings, and is told so what for.
        """
        self.reader = Plane("reader of the settings", PlanePlan(self.plan.reader, request, -1), ())
        self.reader.killed_at = now + patience_seconds
        return self.reader

    def __repr__(self) -> str:
        return f"<Node {self.planes!r}>"
