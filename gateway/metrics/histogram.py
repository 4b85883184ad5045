"""
A histogram: how many values were at most so much.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.metrics.metric import Metric

__all__ = ["Histogram"]


class Histogram:
    """
    Plain numbers, because a call passes by here twice: a tenth of a microsecond each, and no lock.

    One thread observes; others may look, and see at worst a sum that is one value ahead of the counts.

    Attributes:
        counts: For each bound, and for what is above the last, how many values fell there and into none before.
        total: The sum of all values.
    """

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, metric: Metric) -> None:
        self._bounds = metric.bounds
        self.counts = [0] * (len(metric.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """
        Take one value in.
        """
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def __repr__(self) -> str:
        return f"<Histogram of {sum(self.counts)} values>"
