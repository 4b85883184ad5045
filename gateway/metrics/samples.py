"""
The values of metrics at one instant: put together by whoever knows them, passed between processes, merged and shown.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from gateway.metrics.catalogue import METRICS
from gateway.metrics.metric import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.metrics.histogram import Histogram
    from gateway.metrics.metric import Metric

__all__ = ["LIMIT_BYTES", "Observed", "Samples"]

LIMIT_BYTES = 1024 * 1024
"""More than a worker's samples can ever take: some 300 of 100 bytes, and for each upstream a few hundred more."""

_Number = int | float


class Observed(NamedTuple):
    """
    A histogram's values.

    Attributes:
        counts: As in `Histogram`.
        total: As in `Histogram`.
    """

    counts: list[int]
    total: float


class Samples:
    """
    Each metric's values, by the values of its labels.
    """

    def __init__(self) -> None:
        self._found: dict[str, dict[tuple[str, ...], _Number | Observed]] = {}

    def put(self, metric: Metric, value: float, *labels: str) -> None:
        """
        One value of a counter or a gauge.

        Args:
            labels: The values of its labels, in their order. Put twice with the same ones, the values add up: an
                upstream that was just changed has two pools for a moment.
        """
        values = self._found.setdefault(metric.full_name, {})
        known = values.get(labels, 0)
        if len(labels) != len(metric.labels) or metric.kind is Kind.HISTOGRAM or isinstance(known, Observed):
            raise ValueError(f"this is no value of {metric.full_name}")
        values[labels] = known + value

    def put_histogram(self, metric: Metric, histogram: Histogram, *labels: str) -> None:
        """
        A histogram's values; they are copied.
        """
        observed = Observed(histogram.counts.copy(), histogram.total)
        if not _fits(metric, labels, observed):
            raise ValueError(f"this is no value of {metric.full_name}")
        self._found.setdefault(metric.full_name, {})[labels] = observed

    def find(self, metric: Metric) -> Iterator[tuple[tuple[str, ...], _Number | Observed]]:
        """
        A metric's values, each with the values of its labels.
        """
        yield from self._found.get(metric.full_name, {}).items()

    def merge(self, other: Samples) -> None:
        """
        Take in what another process told. Its labels say whose it is; what is known here already stays.
        """
        for name, values in other._found.items():
            self._found[name] = {**values, **self._found.get(name, {})}

    def render(self) -> bytes:
        """
        As one line; `parse` is its inverse.
        """
        found = {name: [[labels, value] for labels, value in values.items()] for name, values in self._found.items()}
        return json.dumps(found, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Samples:
        """
        What `render` made, perhaps in a process of another version: what is not in our catalogue is left out.

        Raises:
            ValueError: It is not that, or not all of it.
        """
        samples = cls()
        found = json.loads(line)
        if not line.endswith(b"\n") or not isinstance(found, dict):
            raise ValueError("these are no samples")
        for name, values in found.items():
            metric = METRICS.get(name)
            if metric is not None:
                samples._found[name] = dict(_parse_value(metric, value) for value in values)
        return samples

    def __repr__(self) -> str:
        return f"<Samples of {len(self._found)} metrics>"


def _parse_value(metric: Metric, pair: object) -> tuple[tuple[str, ...], _Number | Observed]:
    match pair:
        case [[*labels], [[*counts], int() | float() as total]]:
            value: object = Observed(counts, total)  # type: ignore[arg-type] # `_fits` looks at them
        case [[*labels], value]:
            pass
        case _:
            raise ValueError(f"this is no value of {metric.full_name}")
    texts = tuple(each for each in labels if isinstance(each, str))
    if len(texts) != len(labels) or not _fits(metric, texts, value):
        raise ValueError(f"this is no value of {metric.full_name}")
    return texts, value  # type: ignore[return-value] # `_fits` has looked


def _fits(metric: Metric, labels: tuple[str, ...], value: object) -> bool:
    if len(labels) != len(metric.labels):
        return False
    if isinstance(value, Observed):
        is_counted = len(value.counts) == len(metric.bounds) + 1 and all(isinstance(each, int) for each in value.counts)
        return metric.kind is Kind.HISTOGRAM and is_counted
    return metric.kind is not Kind.HISTOGRAM and isinstance(value, int | float)
