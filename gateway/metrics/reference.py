"""
`docs/metrics.md`, made from the catalogue: `python -m gateway.metrics.reference > docs/metrics.md`.

A test compares the two, so that no metric exists that is not documented.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gateway.metrics.catalogue import LABELS
from gateway.metrics.node_metrics import NodeMetric
from gateway.metrics.worker_metrics import WorkerMetric

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.metrics.metric import Metric

__all__ = ["render_reference"]

_INTRODUCTION = """\
# Metrics

<!-- Made by `python -m gateway.metrics.reference > docs/metrics.md`; a test compares. -->

`GET /metrics` on the operators' port (`GATEWAY_ADMIN_PORT`), in the text format 0.0.4 of Prometheus, without
authentication. It names upstreams and credentials, and no caller; nothing that a caller sends becomes a label, so the
number of series is bounded. Alarms and a dashboard stand in `deploy/prometheus/` and `deploy/grafana/`.

- The control plane answers, and asks each worker over its socket, for at most a second. A worker that is dead or does
  not answer is left out; without any, `noojee_gateway_up` is 0. What the control plane knows by itself is told always.
- The port is asked for by an IP address, `localhost` or the node's name (`GATEWAY_NODE`); another `Host` gets 400.
- While one worker takes over from another both are told, each with its name in `worker`. Add over it:
  `sum without (worker) (rate(...))`. A counter begins at 0 with each process.
- A long poll is a call with the effect `long-poll`; leave it out where times are looked at.
- The metrics are for watching. Who called what, and what became of it, the journal alone says for certain.

"""


def render_reference() -> str:
    """
    The whole text of `docs/metrics.md`.
    """
    labels = "".join(f"| `{name}` | {text} |\n" for name, text in sorted(LABELS.items()))
    return (
        f"{_INTRODUCTION}## Of the node\n\n{_render_table(NodeMetric)}\n"
        f"## Of each worker\n\n{_render_table(WorkerMetric)}\n"
        f"## Labels\n\nAll values that a label can have.\n\n| label | values |\n|---|---|\n{labels}"
    )


def _render_table(metrics: Iterable[Metric]) -> str:
    rows = "".join(f"{_render_row(metric)}\n" for metric in metrics)
    return f"| metric | type | labels | meaning |\n|---|---|---|---|\n{rows}"


def _render_row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    bounds = f" Up to {', '.join(f'{bound:g}' for bound in metric.bounds)}, and above." if metric.bounds else ""
    return f"| `{metric.full_name}` | {metric.kind} | {labels} | {metric.sentence}{bounds} |"


if __name__ == "__main__":
    sys.stdout.write(render_reference())
