"""
What a metric is: its name, kind, labels and sentence; the catalogue of all of them stands in two files beside this one.
"""

from __future__ import annotations

from enum import Enum, StrEnum

__all__ = ["PREFIX", "Kind", "Metric"]

PREFIX = "noojee_gateway_"


class Kind(StrEnum):
    """
    How a metric's values are to be read (Prometheus' exposition format, `# TYPE`).
    """

    COUNTER = "counter"
    """Only grows, from 0 at its process's start."""

    GAUGE = "gauge"
    """What is so now."""

    HISTOGRAM = "histogram"
    """How many were at most so much, for each bound; their number and their sum."""


class Metric(Enum):
    """
    A metric. Names are never used again for something else.

    Each member: `full_name` (what Prometheus calls it), `kind`, `labels` (their names, in order), `sentence` (what is
    told of it) and `bounds` (the upper bounds of a histogram, the unbounded one left out).
    """

    full_name: str
    kind: Kind
    labels: tuple[str, ...]
    sentence: str
    bounds: tuple[float, ...]

    def __init__(
        self, name: str, kind: Kind, labels: tuple[str, ...], sentence: str, bounds: tuple[float, ...] = ()
    ) -> None:
        self.full_name = f"{PREFIX}{name}"
        self.kind = kind
        self.labels = labels
        self.sentence = sentence
        self.bounds = bounds
