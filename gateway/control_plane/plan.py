"""
What a control plane is told: plain values, no settings object, and a form of them that passes between processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ControlPlanePlan"]


@dataclass(frozen=True, slots=True)
class ControlPlanePlan:
    """
    Where the workers' sockets are, and what the node is called.

    Attributes:
        node: A name under which the operators' port may be asked for, beside `localhost` and any IP address.
    """

    run_dir: Path
    node: str

    def render(self) -> dict[str, Any]:
        """
        As values that JSON has; `parse` is its inverse.
        """
        return {"run_dir": str(self.run_dir), "node": self.node}

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> ControlPlanePlan:
        """
        What `render` made.
        """
        return cls(Path(fields["run_dir"]), fields["node"])
