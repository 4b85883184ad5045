"""
What a supervisor is told, as text that passes through an exec. Numbers, paths and words: no secret is in it (law 3).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

__all__ = ["PlanePlan", "SupervisorPlan"]


@dataclass(frozen=True, slots=True)
class PlanePlan:
    """
    One plane's process.

    Attributes:
        words: The program and its arguments.
        assignment: What it is told over its standard input, one line (see `Assignment`).
        listener: The descriptor of the bound socket that it serves on.
    """

    words: list[str]
    assignment: str
    listener: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorPlan:
    """
    A node's two processes and how they are kept.

    Attributes:
        ready: What standard output is told, newline included, when both are ready for the first time.
        end_seconds: How long an orderly end may take before what is left is killed.
        log_level: As in the settings, and `log_format` too.
        as_json: Whether an error is told as JSON.
        lock: The descriptor that holds the right to serve; both processes hold it too, for as long as they live.
        ends_with_input: Whether the end of standard input is an order to end, for whoever started us as a process.
    """

    worker: PlanePlan
    control_plane: PlanePlan
    ready: str
    end_seconds: float
    log_level: str
    as_json: bool
    log_format: str = "human"
    lock: int | None = None
    ends_with_input: bool = False

    @property
    def descriptors(self) -> tuple[int, ...]:
        """
        All that the supervisor must be handed open.
        """
        lock = () if self.lock is None else (self.lock,)
        return (self.worker.listener, self.control_plane.listener, *lock)

    def render(self) -> str:
        """
        As text; `parse` is its inverse.
        """
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> SupervisorPlan:
        """
        What `render` made.
        """
        fields = json.loads(text)
        worker, control_plane = PlanePlan(**fields.pop("worker")), PlanePlan(**fields.pop("control_plane"))
        return cls(worker=worker, control_plane=control_plane, **fields)
