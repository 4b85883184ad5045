"""
All metrics, and what their labels may be.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from gateway.metrics.node_metrics import NodeMetric
from gateway.metrics.worker_metrics import WorkerMetric

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.metrics.metric import Metric

__all__ = ["LABELS", "METRICS"]

_ALL: tuple[Metric, ...] = (*NodeMetric, *WorkerMetric)

METRICS: Mapping[str, Metric] = MappingProxyType({metric.full_name: metric for metric in _ALL})
"""By what Prometheus calls them, in the order in which they are shown."""

LABELS: Mapping[str, str] = MappingProxyType(
    {
        "credential": "The name that the operator gave a credential.",
        "effect": "What the operation does: `read`, `write`, `dials` (also every operation that was granted by its "
        "path) or `long-poll`.",
        "how": "`answered` with 503 `connections_exhausted`, or, when too many wait for that, `closed`.",
        "kind": "`poll` for a long poll, `call` for every other.",
        "operation": "`Family/method` as in the catalogue (`noojee-gateway operations`); `path` for all that were "
        "granted by their path; `none` where the request had not been found to name one.",
        "outcome": "Of what was sent, or was about to be: `succeeded`, `refused` (by Noojee), `failed`, `not_sent`, "
        "`unknown`, `abandoned`. `denied` for what the gateway turned away.",
        "pool": "`calls`, or `polls` for long polls, which have connections of their own.",
        "process": "`control_plane`, or a worker's name.",
        "python": "The version of Python.",
        "reason": "A reason code of the error catalogue; for a refusal also `caller_left`: it went away before its "
        "body was whole. For the journal `disk_full`, `read_only`, `file_changed`, `disk_stalled` or `disk_error`.",
        "result": "`done`, or `failed`: it was broken off, or could not be begun.",
        "state": "`busy` with a call, `idle`, or `opening`.",
        "upstream": "The name that the operator gave an upstream.",
        "version": "The gateway's version.",
        "worker": "The worker's stream of the journal: `worker-0`, `worker-1`.",
    }
)
"""Every label, with all values that it can have. None of them is anything that a caller sends, and no caller's name."""
