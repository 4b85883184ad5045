"""
What a worker is told: plain values, no settings object, and a form of them that passes between processes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.data_plane.bounds import Bounds
from gateway.upstream.pair_book import LONGEST_LIFETIME_SECONDS
from gateway.upstream.request import CONNECTIONS_LIMIT, POLLS_LIMIT, Timeouts

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["WorkerPlan"]

_PATHS = ("data_dir", "run_dir", "master_key_file")


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """
    Where a worker finds its things, and every number that can be set. Holds no secret.
    """

    data_dir: Path
    run_dir: Path
    master_key_file: Path
    node: str
    number_country: str
    bounds: Bounds = field(default_factory=Bounds)
    timeouts: Timeouts = field(default_factory=Timeouts)
    hash_pair_seconds: float = LONGEST_LIFETIME_SECONDS
    upstream_connections: int = CONNECTIONS_LIMIT
    upstream_polls: int = POLLS_LIMIT
    drain_seconds: float = 90.0
    journal_reserve_bytes: int = 0
    snapshot_max_age_seconds: float = 24 * 3600.0
    trusted_proxies: tuple[str, ...] = ()
    forwarded_header: str = "x-forwarded-for"
    logs_calls: bool = False

    def render(self) -> dict[str, Any]:
        """
        As values that JSON has; `parse` is its inverse.
        """
        return asdict(self) | {name: str(getattr(self, name)) for name in _PATHS}

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> WorkerPlan:
        """
        What `render` made.
        """
        paths = {name: Path(fields[name]) for name in _PATHS}
        proxies = {"trusted_proxies": tuple(fields["trusted_proxies"])}
        parts = {"bounds": Bounds(**fields["bounds"]), "timeouts": Timeouts(**fields["timeouts"])}
        return cls(**{**fields, **paths, **parts, **proxies})
