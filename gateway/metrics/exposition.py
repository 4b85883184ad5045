"""
Samples as Prometheus reads them: its text format, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/ is the source of every rule here. The library of Prometheus
would bring its own registry, locks and servers for what is sixty lines; its parser reads these lines in the tests.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING

from gateway.metrics.catalogue import METRICS
from gateway.metrics.samples import Observed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.metrics.metric import Metric
    from gateway.metrics.samples import Samples

__all__ = ["MEDIA_TYPE", "render"]

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(samples: Samples) -> str:
    """
    Every metric of the catalogue, in its order, also those that have no value now.
    """
    return "".join(f"{line}\n" for metric in METRICS.values() for line in _render_metric(metric, samples))


def _render_metric(metric: Metric, samples: Samples) -> Iterator[str]:
    name = metric.full_name
    yield f"# HELP {name} {_escape(metric.sentence)}"
    yield f"# TYPE {name} {metric.kind}"
    for labels, value in samples.find(metric):
        pairs = [_render_pair(*pair) for pair in zip(metric.labels, labels, strict=True)]
        if isinstance(value, Observed):
            yield from _render_histogram(metric, pairs, value)
        else:
            yield f"{_render_name(name, pairs)} {_render_number(value)}"


def _render_histogram(metric: Metric, pairs: Sequence[str], observed: Observed) -> Iterator[str]:
    """
    The buckets, each with all that are below it, then the sum and the number.
    """
    name = metric.full_name
    counts = list(accumulate(observed.counts))
    for bound, count in zip((*metric.bounds, math.inf), counts, strict=True):
        yield f"{_render_name(f'{name}_bucket', [*pairs, _render_pair('le', _render_number(bound))])} {count}"
    yield f"{_render_name(f'{name}_sum', pairs)} {_render_number(observed.total)}"
    yield f"{_render_name(f'{name}_count', pairs)} {counts[-1]}"


def _render_name(name: str, pairs: Sequence[str]) -> str:
    return f"{name}{{{','.join(pairs)}}}" if pairs else name


def _render_pair(label: str, value: str) -> str:
    quoted = _escape(value).replace('"', '\\"')
    return f'{label}="{quoted}"'


def _render_number(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'+' if value > 0 else '-'}Inf"
    return str(int(value)) if value == int(value) else repr(float(value))


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
