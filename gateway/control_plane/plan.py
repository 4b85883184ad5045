"""
What a control plane is told: plain values, no settings object, and a form of them that passes between processes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.upstream.request import Timeouts

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ControlPlanePlan", "ProbePlan"]


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """
    Where the prober finds its things, and how often it looks at every upstream.
    """

    data_dir: Path
    master_key_file: Path
    interval_seconds: float
    timeouts: Timeouts = field(default_factory=Timeouts)

    def render(self) -> dict[str, Any]:
        """
        As values that JSON has; `parse` is its inverse.
        """
        return asdict(self) | {"data_dir": str(self.data_dir), "master_key_file": str(self.master_key_file)}

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> ProbePlan:
        """
        What `render` made.
        """
        return cls(
            data_dir=Path(fields["data_dir"]),
            master_key_file=Path(fields["master_key_file"]),
            interval_seconds=fields["interval_seconds"],
            timeouts=Timeouts(**fields["timeouts"]),
        )


@dataclass(frozen=True, slots=True)
class ControlPlanePlan:
    """
    Where the workers' sockets and the journal are, and what the node is called.

    Attributes:
        node: A name under which the operators' port may be asked for, beside `localhost` and any IP address.
        probe: How upstreams are probed; None for not at all.
    """

    run_dir: Path
    node: str
    data_dir: Path
    probe: ProbePlan | None = None

    def render(self) -> dict[str, Any]:
        """
        As values that JSON has; `parse` is its inverse.
        """
        return {
            "run_dir": str(self.run_dir),
            "node": self.node,
            "data_dir": str(self.data_dir),
            "probe": self.probe.render() if self.probe is not None else None,
        }

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> ControlPlanePlan:
        """
        What `render` made.
        """
        probe = ProbePlan.parse(fields["probe"]) if fields["probe"] is not None else None
        return cls(Path(fields["run_dir"]), fields["node"], Path(fields["data_dir"]), probe)
