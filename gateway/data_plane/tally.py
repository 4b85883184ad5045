"""
What is counted of calls, for metrics: how many came to what end, why others did not, and how long ours took.

Lives on the event loop. A call passes by once, at its end, and leaves plain numbers: about a microsecond, no lock, and
nothing that grows with what callers send. What the numbers mean stands in `metrics.worker_metrics`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import Reason
from gateway.metrics.histogram import Histogram
from gateway.metrics.worker_metrics import WorkerMetric
from gateway.noojee.catalogue import Effect
from gateway.outcome import Outcome

if TYPE_CHECKING:
    from gateway.clock import Clock
    from gateway.data_plane.call_log import CallLog
    from gateway.data_plane.call_record import CallRecord
    from gateway.data_plane.inbound import Call
    from gateway.data_plane.running import RunningCall
    from gateway.metrics.samples import Samples
    from gateway.noojee.catalogue import Catalogue, Operation

__all__ = ["CALLER_LEFT", "DENIED", "Tally"]

CALLER_LEFT: Final = "caller_left"
"""The reason of a denial nobody heard: the caller went away before its body was whole."""

DENIED: Final = "denied"
"""In place of an outcome, for what was turned away."""

_BY_PATH = "path"
_UNNAMED = "none"
_ENDS = (*Outcome, DENIED)


class _Row:
    """
    The numbers of one operation, found by its name once a call.
    """

    __slots__ = ("ends", "own", "upstream")

    def __init__(self, own: Histogram) -> None:
        self.ends: dict[str, int] = dict.fromkeys(_ENDS, 0)
        self.own = own
        self.upstream: dict[str, Histogram] = {}  # by the upstream's name


class Tally:
    """
    All of them, of one worker.

    Args:
        clock: On which calls were begun.
        catalogue: The operations that are counted by name.
        log: Where each call is told besides; None for nowhere.

    Attributes:
        refusals: By the word of the reason. Every one is there from the start, as every operation is: what appears only
            when it happens has no beginning from which Prometheus could see it grow.
        errors: The same for calls that were allowed.
        second_attempts: How many there were.
        open_intents: Attempts whose intent is on disk, and that have no outcome yet.
        recovered_intents: Those that another worker left open and that this one has closed.
    """

    def __init__(self, clock: Clock, catalogue: Catalogue, log: CallLog | None = None) -> None:
        self._clock = clock
        self._log = log
        self._rows: dict[str, _Row] = {}
        self._rows_by_label: dict[str, _Row] = {}
        self._own = {effect: Histogram(WorkerMetric.OWN_SECONDS) for effect in Effect}
        self._upstream: dict[tuple[str, Effect], Histogram] = {}
        self.refusals = {reason.code: 0 for reason in Reason} | {CALLER_LEFT: 0}
        self.errors = {reason.code: 0 for reason in Reason}
        self.second_attempts = 0
        self.open_intents = 0
        self.recovered_intents = 0
        for operation in catalogue.match("*"):
            self._open_row(operation)
        self._find_row(_BY_PATH, Effect.DIALS)
        self._find_row(_UNNAMED, Effect.READ)

    def end(self, record: CallRecord) -> None:
        """
        Count a call that was allowed and whose last attempt has ended; its answer is out.
        """
        ending, operation, grant = record.ending, record.operation, record.grant
        if ending is None or operation is None or grant is None:
            return  # it was never begun
        row = self._rows.get(operation.name) or self._open_row(operation)
        row.ends[ending.outcome] += 1
        upstream_seconds = record.upstream_seconds
        # Never below 0, whatever a clock does that is not monotonic on two processors.
        own_seconds = max(0.0, record.find_age_seconds(self._clock.monotonic()) - upstream_seconds)
        row.own.observe(own_seconds)
        upstream = grant.credential.upstream.name
        (row.upstream.get(upstream) or self._open_upstream(row, operation, upstream)).observe(upstream_seconds)
        if ending.reason is not None:
            self.errors[ending.reason.code] += 1
        if self._log is not None:
            self._log.tell_end(record, ending, own_seconds)

    def refuse(self, reason: Reason | None, call: Call | None = None, running: RunningCall | None = None) -> None:
        """
        Count a request that was turned away.

        Args:
            reason: Why; None for a caller that went away before its body was whole.
            call: None where it was none yet: the door refused it.
            running: The call of a known caller; None for a stranger's.
        """
        code = reason.code if reason is not None else CALLER_LEFT
        self.refusals[code] += 1
        if call is None or running is None:
            return
        operation = running.operation
        row = self._rows_by_label[_UNNAMED] if operation is None else self._open_row(operation)
        row.ends[DENIED] += 1
        if self._log is not None:
            self._log.tell_denial(call, running, reason, code)

    def tell(self, samples: Samples, worker: str) -> None:
        """
        Put all of it down.

        Args:
            worker: The worker's name.
        """
        for label, row in self._rows_by_label.items():
            for end, count in row.ends.items():
                samples.put(WorkerMetric.CALLS, count, worker, label, end)
        for code, count in self.refusals.items():
            samples.put(WorkerMetric.REFUSALS, count, worker, code)
        for code, count in self.errors.items():
            samples.put(WorkerMetric.CALL_ERRORS, count, worker, code)
        for effect, own in self._own.items():
            samples.put_histogram(WorkerMetric.OWN_SECONDS, own, worker, effect)
        for (upstream, effect), spent in self._upstream.items():
            samples.put_histogram(WorkerMetric.UPSTREAM_SECONDS, spent, worker, upstream, effect)
        samples.put(WorkerMetric.SECOND_ATTEMPTS, self.second_attempts, worker)
        samples.put(WorkerMetric.OPEN_INTENTS, self.open_intents, worker)
        samples.put(WorkerMetric.RECOVERED_INTENTS, self.recovered_intents, worker)

    def _open_row(self, operation: Operation) -> _Row:
        """
        The row of an operation, from now on found by its name, as its first call finds it.
        """
        label = operation.name if operation.is_in_catalogue else _BY_PATH
        row = self._rows[operation.name] = self._find_row(label, operation.effect)
        return row

    def _find_row(self, label: str, effect: Effect) -> _Row:
        return self._rows_by_label.get(label) or self._rows_by_label.setdefault(label, _Row(self._own[effect]))

    def _open_upstream(self, row: _Row, operation: Operation, upstream: str) -> Histogram:
        shared = self._upstream.setdefault((upstream, operation.effect), Histogram(WorkerMetric.UPSTREAM_SECONDS))
        row.upstream[upstream] = shared
        return shared

    def __repr__(self) -> str:
        return f"<Tally: {self.open_intents} open intents>"
