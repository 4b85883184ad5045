"""
What the gateway was built to reach, and whether a run did. The numbers were set before it was made fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TARGETS", "Target", "Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Target:
    """
    A figure to reach.

    Attributes:
        name: The figure's, as measurements give it.
        says: What it is, for people.
        least: What must be reached; `aim` what is hoped for.
        unit: Behind a number.
        more_is_better: Whether it must be at least that, or at most.
    """

    name: str
    says: str
    least: float
    aim: float
    unit: str
    more_is_better: bool
    digits: int = 2


TARGETS = (
    Target("throughput_ratio", "throughput as a ratio to nginx, 32 connections", 0.30, 0.50, "x", True),
    Target("one_pager_ratio", "the same against the FastAPI + httpx2 one-pager without audit", 12, 25, "x", True, 1),
    Target("cpu_ratio", "CPU us per call as a ratio to nginx", 3.5, 2.0, "x", False),
    Target("added_p50_ms", "added p50 at 1 connection over direct, beyond one fdatasync", 0.35, 0.22, "ms", False, 3),
    Target("half_load_p99_ms", "p99 at half load over 60 s", 10, 5, "ms", False),
    Target("poll_kb", "9,000 held long polls in one process: memory each", 70, 55, "kB", False, 1),
    Target("rest_mb", "memory at rest, the whole node (PSS)", 160, 110, "MB", False, 0),
    Target("tokens_ratio", "throughput with 100,000 tokens against 10", 0.95, 1.0, "x", True),
    Target("start_seconds", "start to ready with 100,000 tokens", 5, 1, "s", False),
    Target("token_list_ratio", "`noojee-gateway token list` as a ratio to `python -c pass`", 40, 20, "x", False, 1),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    A target and what was found.

    Attributes:
        found: None when it was not measured.
        word: `aim` or `least` for what was reached, `missed`, or `not measured`.
    """

    target: Target
    found: float | None
    word: str

    def render(self) -> tuple[str, str, str, str, str]:
        """
        The cells of its row.
        """

        def number(value: float) -> str:
            return f"{value:.{self.target.digits}f} {self.target.unit}"

        target = self.target
        found = "" if self.found is None else number(self.found)
        return (target.says, found, f"{target.least:g} {target.unit}", f"{target.aim:g} {target.unit}", self.word)


def judge(figures: Mapping[str, float]) -> list[Verdict]:
    """
    Each target beside the figure of its name.
    """
    return [
        Verdict(target, found, _compare(target, found)) for target in TARGETS for found in [figures.get(target.name)]
    ]


def _compare(target: Target, found: float | None) -> str:
    if found is None:
        return "not measured"
    sign = 1 if target.more_is_better else -1
    if sign * found >= sign * target.aim:
        return "aim"
    return "least" if sign * found >= sign * target.least else "missed"
