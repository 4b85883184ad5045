"""
The thread that writes a stream: when it writes, what it writes together, and what becomes of it on a bad disk.

Group commit needs no tuning: while one group is being synced the next gathers. A record that somebody waits for is
written at once when nothing is being written; what nobody waits for rides along, or waits a moment for company.

Three things can be wrong with a disk. It *fails*: nothing is written, and it is tried again now and then. Its room is
*low*: the reserve is not whole any more, so what begins something new is turned away, while what ends something, an
outcome or a revocation, is still written, into the reserve. Or it *stalls*, which this thread cannot notice, because it
is the one that hangs: those who wait for it do, and it learns of that when the disk answers again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from gateway.audit.backlog import is_turned_away
from gateway.audit.bench import settle
from gateway.audit.ending import GROUP_LIMIT_BYTES
from gateway.audit.event import Tag, render_draft
from gateway.audit.stream import ReserveMissingError, StalledError, StreamWriteError
from gateway.metrics.histogram import Histogram
from gateway.metrics.worker_metrics import WorkerMetric

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.audit.backlog import Backlog
    from gateway.audit.entry import Entry
    from gateway.audit.event import Draft, Event
    from gateway.audit.stream import Stream
    from gateway.clock import Clock

__all__ = ["Writer"]

_COMPANY_SECONDS = 0.02
"""
How long a record that nobody waits for may wait for company. An outcome is promised durable within 50 ms, and a slow
disk takes 10 of them.
"""

_log = logging.getLogger(__name__)


class Writer:
    """
    Takes what comes into a backlog to the stream's disk, on a thread of its own, until the backlog is closed.

    Args:
        probe_seconds: How often a failing disk is tried again.

    Attributes:
        group_records: How many records were written together.
        write_seconds: How long it took to write and sync them.
    """

    def __init__(self, stream: Stream, backlog: Backlog, clock: Clock, probe_seconds: float) -> None:
        self._stream = stream
        self._backlog = backlog
        self._clock = clock
        self._probe_seconds = probe_seconds
        self._probe_at = 0.0
        self._waiting: deque[Entry] = deque()
        self._awaited = 0  # how many of these somebody waits for
        self._oldest_at = 0.0  # when the first of these came, in monotonic seconds
        self._rests_at = 0.0  # until when it stays half awake, so that what comes soon needs not wake it
        self._closing = False
        self.group_records = Histogram(WorkerMetric.JOURNAL_GROUP_RECORDS)
        self.write_seconds = Histogram(WorkerMetric.JOURNAL_WRITE_SECONDS)
        self._thread = threading.Thread(target=self._run, name=f"journal-{stream.name}", daemon=True)
        self._thread.start()

    def join(self, seconds: float) -> bool:
        """
        Wait for the end that the backlog's close begins. Returns whether it came.
        """
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """
        How many entries were taken from the backlog and are not with the disk yet.
        """
        return len(self._waiting)

    def _run(self) -> None:
        """
        Gather and write, until closed.
        """
        try:
            while not self._closing:
                self._gather()
                if self._is_due():
                    self._write_groups()
        except Exception:  # noqa: BLE001 - the edge of a thread: nobody may wait for ever, whatever happened
            _log.exception("the journal's stream %s stopped", self._stream.name)
            self._backlog.close()
            self._note(StreamWriteError(f"the journal's stream {self._stream.name} stopped", "disk_error"))
            self._take()
        if self._waiting:
            _log.error("the journal's stream %s was closed without %d records", self._stream.name, len(self._waiting))
            settle(self._waiting, f"the journal's stream {self._stream.name} is closed")

    def _gather(self) -> None:
        """
        Return when something must be written now, with all that wait.

        That is at once when somebody waits for a record; else when those that nobody waits for have had time for
        company, or a bad disk is to be probed.
        """
        while True:
            self._take()
            if self._closing or self._awaited:
                return
            seconds = self._find_rest()
            if seconds is not None and seconds <= 0:
                return
            self._backlog.sleep(seconds)

    def _find_rest(self) -> float | None:
        """
        How long nothing needs to be done if nothing more comes; None for ever.
        """
        failure = self._backlog.failure
        due_at = []
        if failure is not None:
            due_at.append(0.0 if isinstance(failure, StalledError) else self._probe_at)
        if self._waiting and not _is_failing(failure):
            due_at.append(self._oldest_at + _COMPANY_SECONDS)
        now = time.monotonic()
        if not due_at and self._rests_at > now:
            due_at.append(self._rests_at)
        return min(due_at) - now if due_at else None

    def _is_due(self) -> bool:
        """
        Whether the disk may be touched: always on a good one, now and then on a failing one, and once before the end.
        """
        failure = self._backlog.failure
        return not _is_failing(failure) or self._probes(failure)

    def _probes(self, failure: StreamWriteError | None) -> bool:
        """
        Whether it is time to find out if the disk is good again.
        """
        return failure is not None and (
            isinstance(failure, StalledError)  # it has answered, or we would hang still
            or time.monotonic() >= self._probe_at
            or (self._closing and _is_failing(failure))
        )

    def _take(self) -> None:
        """
        Add what has come to what waits for the next group.
        """
        taken = self._backlog.take()
        self._closing = taken.is_last
        if not self._waiting:
            self._oldest_at = taken.oldest_at
        failure = self._backlog.failure
        if failure is None or isinstance(failure, StalledError):
            self._waiting.extend(taken.entries)
            self._awaited += taken.awaited
        else:
            self._turn_away(taken.entries, failure)  # some were handed in while the group that failed was under way

    def _write_groups(self) -> None:
        """
        Write all that wait, a group at a time; stop at the first that fails.
        """
        while True:
            failure = self._backlog.failure
            probes = self._probes(failure)
            if probes:
                self._take()  # what came while the disk hung goes with the proof that it no longer does
            elif not self._waiting:
                return
            self._rests_at = time.monotonic() + _COMPANY_SECONDS
            group, drafts, keeps_reserve = self._form_group(failure if probes else None)
            try:
                if drafts:
                    began_at = time.monotonic()
                    self._stream.append(drafts, keeps_reserve=keeps_reserve)
                    self.write_seconds.observe(time.monotonic() - began_at)
                    self.group_records.observe(len(drafts))
            except ReserveMissingError as error:
                self._fail(group, error)  # nothing was written yet, and the rest may use the reserve
                continue
            except StreamWriteError as error:
                self._fail(group, error)
                return
            except Exception:
                self._waiting.extendleft(reversed(group))  # a mistake of ours: nobody may wait for ever
                raise
            # The group is on the disk. A crash from here on leaves records whose writers were not told: an intent
            # among them was not acted on, and recovery closes it as `unknown`, the cautious word.
            self._backlog.release(group)
            if probes:
                self._recover()
            self._awaited -= settle(group)
            self._keep_reserve()

    def _form_group(self, failure: StreamWriteError | None) -> tuple[list[Entry], list[Draft], bool]:
        """
        The oldest entries, as many as one sync may carry; what to write for them; whether the reserve must stay whole.

        Void ones are among them and write nothing.

        Args:
            failure: What this group is to show to be over, with `journal.resumed` as its first record; None otherwise.
        """
        group: list[Entry] = []
        drafts = [] if failure is None else [self._draft_resumed(failure)]
        room_bytes = GROUP_LIMIT_BYTES - sum(draft.size_bytes for draft in drafts)
        keeps_reserve = failure is not None
        waiting = self._waiting
        with self._backlog.gate:
            while waiting:
                entry = waiting[0]
                if not entry.is_void:
                    room_bytes -= entry.size_bytes
                    if room_bytes < 0:
                        break
                    entry.is_taken = True
                    drafts += entry.drafts
                    keeps_reserve = keeps_reserve or not entry.may_use_reserve
                group.append(waiting.popleft())
        return group, drafts, keeps_reserve

    def _draft_resumed(self, failure: StreamWriteError) -> Draft:
        counts = {"refused": self._backlog.refused}
        if self._backlog.lost:
            counts["lost"] = self._backlog.lost
        resumed: Event = {"tag": Tag.JOURNAL_RESUMED, "counts": counts, "reason": failure.reason}
        return render_draft(resumed, self._clock.now())

    def _keep_reserve(self) -> None:
        """
        Behind a group, and in nobody's way: hold what the next one will need.
        """
        if self._backlog.failure is None:
            try:
                self._stream.hold_reserve()
            except StreamWriteError as failure:
                self._fail([], failure)

    def _fail(self, group: list[Entry], failure: StreamWriteError) -> None:
        """
        Turn away those who are not to be served on such a disk, and keep the others in their order.
        """
        self._note(failure)
        self._probe_at = time.monotonic() + self._probe_seconds
        entries = [*group, *self._waiting]
        self._waiting.clear()
        self._awaited = 0
        self._turn_away(entries, failure)

    def _turn_away(self, entries: Iterable[Entry], failure: StreamWriteError) -> None:
        """
        Tell those who wait in vain that their records are not on the disk; the others wait on.
        """
        refused = []
        with self._backlog.gate:
            for entry in entries:
                entry.is_taken = False  # none of them is on the disk, or counts there if it is
            for entry in entries:
                if entry.is_void or is_turned_away(entry, failure):
                    self._backlog.refused += entry.waiter is not None and not entry.is_refused
                    entry.is_refused = True
                    refused.append(entry)
                else:
                    self._waiting.append(entry)
                    self._awaited += entry.waiter is not None
        self._backlog.release(refused)
        settle(refused, failure.detail)

    def _note(self, failure: StreamWriteError) -> None:
        with self._backlog.gate:
            known, self._backlog.failure = self._backlog.failure, failure
            if known is None:
                self._backlog.failures[failure.reason] += 1
        if known is None:
            _log.error("the journal cannot be written: %s; calls are refused until it can", failure.detail)

    def _recover(self) -> None:
        """
        The disk is good again: a durable record says so.
        """
        _log.warning("the journal's stream %s can be written again", self._stream.name)
        with self._backlog.gate:
            self._backlog.failure = None
            self._backlog.refused = self._backlog.lost = 0

    def __repr__(self) -> str:
        return f"<Writer of {self._stream!r} waiting={len(self._waiting)}>"


def _is_failing(failure: StreamWriteError | None) -> bool:
    """
    Whether nothing at all can be written, as far as is known.
    """
    return failure is not None and not isinstance(failure, (ReserveMissingError, StalledError))
