"""
What a supervisor is told, as text that passes through an exec. Numbers, paths and words: no secret is in it (law 3).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.run_folder import SUPERVISOR_SOCKET

if TYPE_CHECKING:
    from collections.abc import Mapping

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

    def for_successor(self) -> PlanePlan:
        """
        The same for a process that is to take another's place.
        """
        # Not parsed: it may be of the release that was installed since, whose worker knows more of it than we do.
        return replace(self, assignment=json.dumps({**json.loads(self.assignment), "is_successor": True}))


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorPlan:
    """
    A node's two processes and how they are kept.

    Attributes:
        ready: What standard output is told, newline included, when both are ready for the first time.
        end_seconds: How long an orderly end may take before what is left is killed.
        keep_alive_seconds: How much longer a worker may take to leave: a call may begin on a connection until then.
        log_level: As in the settings, and `log_format` too.
        as_json: Whether an error is told as JSON.
        lock: The descriptor that holds the right to serve; both processes hold it too, for as long as they live.
        ends_with_input: Whether the end of standard input is an order to end, for whoever started us as a process.
        run_dir: Where the supervisor's own socket is; empty for none.
        reader: The program that reads the settings again, and its arguments; empty where there are none to read.
        settings: Those that are in force, for the reader. No secret is among them.
        start_seconds: How long a worker that is to take another's place may take to get ready, and a plane to reload.
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
    run_dir: str = ""
    reader: list[str] = field(default_factory=list)
    settings: Mapping[str, Any] = field(default_factory=dict)
    start_seconds: float = 60.0
    keep_alive_seconds: float = 0.0

    @property
    def post(self) -> Path | None:
        """
        The supervisor's own socket.
        """
        return Path(self.run_dir) / SUPERVISOR_SOCKET if self.run_dir else None

    @property
    def leave_seconds(self) -> float:
        """
        How long a worker whose place was taken may take to leave before it is killed.
        """
        return self.keep_alive_seconds + self.end_seconds

    @property
    def descriptors(self) -> tuple[int, ...]:
        """
        All that the supervisor must be handed open.
        """
        lock = () if self.lock is None else (self.lock,)
        return (self.worker.listener, self.control_plane.listener, *lock)

    def renew(self, told: Mapping[str, Any]) -> SupervisorPlan:
        """
        The same with what the reader has told (see `gateway.cli.reread`).

        Raises:
            KeyError: It has not told all of it.
        """
        return replace(
            self,
            worker=replace(self.worker, assignment=told["worker"]),
            control_plane=replace(self.control_plane, assignment=told["control_plane"]),
            end_seconds=told["end_seconds"],
            keep_alive_seconds=told["keep_alive_seconds"],
            log_level=told["log_level"],
            log_format=told["log_format"],
            settings=told["settings"],
        )

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
