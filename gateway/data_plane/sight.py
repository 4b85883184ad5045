"""
What a worker tells of itself in numbers: asks each of its parts, at the instant when somebody wants to know.

Touches no disk and waits for nothing: a scrape takes the event loop for less than a millisecond.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from gateway.audit.stream import FAILURES
from gateway.data_plane.hall import Admission
from gateway.metrics.process import put_process
from gateway.metrics.samples import Samples
from gateway.metrics.worker_metrics import WorkerMetric
from gateway.upstream.certificate import CertificateError, find_validity

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.audit.journal import Journal
    from gateway.data_plane.hall import Hall
    from gateway.data_plane.running import Running
    from gateway.data_plane.snapshots import Snapshots
    from gateway.data_plane.tally import Tally
    from gateway.data_plane.token_expiry import TokenExpiry
    from gateway.readiness import Readiness
    from gateway.tls import ServerTls
    from gateway.upstream.client import PooledUpstreams

__all__ = ["Sight"]


class Sight:
    """
    A worker's numbers.

    Args:
        journal: Its stream is the worker's name.
        readiness: Whether calls are served.

    Attributes:
        tls: What callers are shown; None for plain HTTP.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        tally: Tally,
        running: Running,
        hall: Hall,
        upstreams: PooledUpstreams,
        snapshots: Snapshots,
        tokens: TokenExpiry,
        readiness: Callable[[], Readiness],
    ) -> None:
        self._worker = journal.stream
        self._journal = journal
        self._tally = tally
        self._running = running
        self._hall = hall
        self._upstreams = upstreams
        self._snapshots = snapshots
        self._tokens = tokens
        self._readiness = readiness
        self._started_at = time.time()
        self.tls: ServerTls | None = None

    def look(self) -> Samples:
        """
        All of them, now.
        """
        samples = Samples()
        put_process(samples, self._worker, self._started_at)
        self._put_state(samples)
        self._tally.tell(samples, self._worker)
        self._put_calls(samples)
        self._put_pools(samples)
        self._put_journal(samples)
        self._put_registry(samples)
        return samples

    def _put_state(self, samples: Samples) -> None:
        worker = self._worker
        samples.put(WorkerMetric.READY, self._readiness().is_ready, worker)
        samples.put(WorkerMetric.DRAINING, self._running.draining or self._hall.leaving, worker)
        if self.tls is not None:
            with contextlib.suppress(CertificateError):
                samples.put(WorkerMetric.CERTIFICATE, find_validity(self.tls.certificate).ends_at.timestamp(), worker)

    def _put_calls(self, samples: Samples) -> None:
        worker, hall = self._worker, self._hall
        polls = self._running.count_polls()
        samples.put(WorkerMetric.RUNNING_CALLS, len(self._running) - polls, worker, "call")
        samples.put(WorkerMetric.RUNNING_CALLS, polls, worker, "poll")
        samples.put(WorkerMetric.CONNECTIONS, hall.admitted, worker)
        samples.put(WorkerMetric.CONNECTIONS_LIMIT, hall.bounds.connections, worker)
        samples.put(WorkerMetric.CONNECTIONS_ACCEPTED, hall.admissions[Admission.SERVED], worker)
        for how, admission in (("answered", Admission.REFUSED), ("closed", Admission.CLOSED)):
            samples.put(WorkerMetric.CONNECTIONS_REFUSED, hall.admissions[admission], worker, how)

    def _put_pools(self, samples: Samples) -> None:
        for upstream, pool, now in self._upstreams.iterate_figures():
            whose = (self._worker, upstream, pool)
            for state, count in (("busy", now.busy), ("idle", now.idle), ("opening", now.opening)):
                samples.put(WorkerMetric.UPSTREAM_CONNECTIONS, count, *whose, state)
            samples.put(WorkerMetric.UPSTREAM_CONNECTIONS_LIMIT, now.limit, *whose)
            samples.put(WorkerMetric.UPSTREAM_CONNECTIONS_OPENED, now.opened, *whose)
            samples.put(WorkerMetric.UPSTREAM_WAITING, now.waiting, *whose)

    def _put_journal(self, samples: Samples) -> None:
        worker, now = self._worker, self._journal.figures
        samples.put(WorkerMetric.JOURNAL_WRITABLE, now.is_writable, worker)
        for reason in FAILURES:
            samples.put(WorkerMetric.JOURNAL_FAILURES, now.failures.get(reason, 0), worker, reason)
        samples.put_histogram(WorkerMetric.JOURNAL_GROUP_RECORDS, now.group_records, worker)
        samples.put_histogram(WorkerMetric.JOURNAL_WRITE_SECONDS, now.write_seconds, worker)
        samples.put(WorkerMetric.JOURNAL_BACKLOG_RECORDS, now.backlog_records, worker)
        samples.put(WorkerMetric.JOURNAL_BACKLOG_BYTES, now.backlog_bytes, worker)
        samples.put(WorkerMetric.JOURNAL_RESERVE, now.reserve_bytes, worker)
        samples.put(WorkerMetric.JOURNAL_RESERVE_HELD, now.reserve_held_bytes, worker)

    def _put_registry(self, samples: Samples) -> None:
        worker, snapshots = self._worker, self._snapshots
        samples.put(WorkerMetric.SNAPSHOT_AGE, snapshots.age_seconds, worker)
        samples.put(WorkerMetric.SNAPSHOT_AGE_LIMIT, snapshots.max_age_seconds, worker)
        samples.put(WorkerMetric.SNAPSHOT_VERSION, snapshots.current.version, worker)
        samples.put(WorkerMetric.REGISTRY_READABLE, snapshots.readable, worker)
        samples.put(WorkerMetric.TOKENS, self._tokens.total, worker)
        samples.put(WorkerMetric.TOKENS_EXPIRING, self._tokens.expiring, worker)

    def __repr__(self) -> str:
        return f"<Sight of {self._worker}>"
