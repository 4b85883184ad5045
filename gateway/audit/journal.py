"""
The journal: many tasks hand in events, one thread writes them, and whoever must know is told when they are on disk.

Holds law 1 for the rest of the house: `record` returns when the event is durable and raises when it is not. Group
commit needs no tuning: while one group is being synced the next gathers. Knows when events must be written and what
becomes of them on a bad disk; knows nothing of bytes and files, which are `stream`'s.

Two things can be wrong with a disk. It *fails*: nothing is written, and it is tried again now and then. Or its room is
*low*: the reserve is not whole any more, so what begins something new is turned away, while what ends something, an
outcome or a revocation, is still written, into the reserve.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import logging
import queue
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from gateway.audit.ending import GROUP_LIMIT_BYTES
from gateway.audit.event import Tag, render_draft
from gateway.audit.group import Entry, settle
from gateway.audit.stream import ReserveMissingError, Stream, StreamBusyError, StreamWriteError
from gateway.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.audit.event import Draft, Event
    from gateway.audit.group import Waiter
    from gateway.clock import Clock

__all__ = ["Journal", "StreamBusyError"]

SEGMENT_LIMIT_BYTES = 64 * 1024 * 1024

_COMPANY_SECONDS = 0.02
"""
How long a record that nobody waits for may wait for company. An outcome is promised durable within 50 ms, and a slow
disk takes 10 of them.
"""

_PROBE_SECONDS = 1.0
"""How often a failing disk is tried again: a probe creates a file, and a full disk is not helped by that."""

_BATCH = 32
"""How many events `record_now` hands in as one entry: so many of the longest fit a group with room to spare."""

_CLOSE_SECONDS = 5.0
"""How long `close` waits for a disk that hangs."""

_log = logging.getLogger(__name__)


class Journal:
    """
    One stream of the journal, and the thread that writes it.

    Open it after any fork: neither the thread nor the right to the lock passes to a child. All methods are safe to call
    from any thread. Events are written in the order in which they were handed in.
    """

    def __init__(self, stream: Stream, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._queue: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()  # None: close
        self._gate = threading.Lock()  # what is handed in is before the close or refused, never lost behind it
        self._closed = False
        self._refused = 0  # awaited records turned away since the disk failed; for `journal.resumed`
        self._failure: StreamWriteError | None = None  # set and cleared by the thread alone
        # The rest belongs to the thread.
        self._waiting: deque[Entry] = deque()
        self._awaited = 0  # how many of these somebody waits for
        self._probe_at = 0.0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"journal-{stream.name}", daemon=True)
        self._thread.start()

    @classmethod
    def open(
        cls,
        root: Path,
        stream: str,
        *,
        node: str,
        clock: Clock,
        reserve_bytes: int = 0,
        lock_wait_seconds: float = 0.0,
        segment_limit_bytes: int = SEGMENT_LIMIT_BYTES,
    ) -> Journal:
        """
        Hold a stream, for as long as the journal is open.

        Args:
            root: The folder of all streams; created (0700) when missing, its parent not.
            stream: `worker-N`, `control` or `admin`.
            node: This machine's name, for each segment's first record.
            clock: For `at`.
            reserve_bytes: How much of the disk to hold for what ends something; 0 for none, which gives back what an
                earlier process held.
            lock_wait_seconds: How long to try for the lock.
            segment_limit_bytes: A new segment is begun when the last has so many; it may end 1 MiB later.

        Raises:
            StreamBusyError: Another process holds the stream.
            StorageError: The stream cannot be opened or read.
        """
        return cls(
            Stream.open(
                root,
                stream,
                node=node,
                segment_limit_bytes=segment_limit_bytes,
                reserve_bytes=reserve_bytes,
                lock_wait_seconds=lock_wait_seconds,
            ),
            clock,
        )

    @classmethod
    def open_lowest_worker(
        cls,
        root: Path,
        *,
        node: str,
        clock: Clock,
        reserve_bytes: int = 0,
        segment_limit_bytes: int = SEGMENT_LIMIT_BYTES,
    ) -> Journal:
        """
        Hold `worker-N` with the lowest N whose lock is free; otherwise as `open`.
        """
        for number in itertools.count():
            try:
                return cls.open(
                    root,
                    f"worker-{number}",
                    node=node,
                    clock=clock,
                    reserve_bytes=reserve_bytes,
                    segment_limit_bytes=segment_limit_bytes,
                )
            except StreamBusyError:
                continue
        raise AssertionError("unreachable")  # pragma: no cover - count() does not end

    @property
    def stream(self) -> str:
        """
        The stream's name.
        """
        return self._stream.name

    @property
    def path(self) -> Path:
        """
        The stream's folder.
        """
        return self._stream.path

    @property
    def node(self) -> str:
        """
        The machine's name, as it stands in each segment's first record.
        """
        return self._stream.node

    @property
    def writable(self) -> bool:
        """
        Whether something new can be recorded: the last group reached the disk, and the reserve is whole.

        False until both are true again, which the journal finds out by itself, within about a second.
        """
        return self._failure is None

    async def record(self, event: Event) -> None:
        """
        Append an event; durable when it returns.

        A task that is cancelled while it waits does not learn which: the record may be there. Shield the call where
        that matters.

        Raises:
            StorageError: It is not on record. At once, without touching the disk, while the journal is not writable.
            ValueError: The event is malformed: a mistake in our own code.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hand_in((event,), future, may_use_reserve=False)
        await future

    def record_soon(self, event: Event) -> None:
        """
        Append an event that nobody waits for: an outcome. Durable within 50 ms on a good disk.

        On a bad one it is kept in memory, in its place, and written when the disk is good again, or at `close` at the
        latest. When even that fails it is lost, and recovery closes its intent as `unknown`, which is true.

        Raises:
            StorageError: The journal is closed. Never for the disk's sake.
            ValueError: As for `record`.
        """
        self._hand_in((event,), None, may_use_reserve=True)

    def record_now(self, *events: Event, may_use_reserve: bool = False) -> None:
        """
        Append events in order, from a thread without an event loop; all durable when it returns.

        Args:
            events: What happened.
            may_use_reserve: True for what ends something, or ends access: it is recorded on a full disk too.

        Raises:
            StorageError: Not all of them are on record; of many, the first ones may be.
            ValueError: As for `record`.
        """
        for first in range(0, len(events), _BATCH):
            future: concurrent.futures.Future[None] = concurrent.futures.Future()
            self._hand_in(events[first : first + _BATCH], future, may_use_reserve=may_use_reserve)
            future.result()

    def close(self) -> None:
        """
        Write what is pending, stop the thread, let go of the lock. Idempotent; waits 5 s at most.

        When the disk hangs for longer the lock stays held until the process ends: whoever took it now could append
        beside a write that is still under way.
        """
        with self._gate:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join(_CLOSE_SECONDS)
        if self._thread.is_alive():
            _log.error("the journal's stream %s could not be closed: its disk does not answer", self.stream)
            return
        self._stream.close()

    def _hand_in(self, events: tuple[Event, ...], waiter: Waiter | None, *, may_use_reserve: bool) -> None:
        """
        Queue events for the thread, as one entry, or refuse them.
        """
        now = self._clock.now()
        entry = Entry(tuple(render_draft(event, now) for event in events), waiter, may_use_reserve)
        with self._gate:
            if self._closed:
                raise StorageError(f"the journal's stream {self.stream} is closed")
            failure = self._failure
            if failure is not None and _is_refused(entry, failure):
                self._refused += 1
                raise StorageError(failure.detail)
            self._queue.put(entry)

    # What follows runs on the journal's own thread.

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
            _log.exception("the journal's stream %s stopped", self.stream)
            self._failure = StreamWriteError(f"the journal's stream {self.stream} stopped", "disk_error")
            with self._gate:
                self._closed = True
            self._drain()
        if self._waiting:
            _log.error("the journal's stream %s was closed without %d records", self.stream, len(self._waiting))
            settle(self._waiting, f"the journal's stream {self.stream} is closed")

    def _gather(self) -> None:
        """
        Return when something must be written now, with all that wait.

        That is at once when somebody waits for a record; else when the oldest has waited long enough for company, or a
        failing disk is to be probed.
        """
        while not (self._closing or self._awaited):
            due_at = self._find_due_at()
            seconds = None if due_at is None else due_at - time.monotonic()
            if seconds is not None and seconds <= 0:
                break
            try:
                self._take(self._queue.get(timeout=seconds))
            except queue.Empty:
                break
        self._drain()

    def _find_due_at(self) -> float | None:
        """
        When the thread must act though nothing more comes; None for never.
        """
        due_at = None if self._failure is None else self._probe_at
        if self._waiting and not self._is_failing:
            company_at = self._waiting[0].handed_in_at + _COMPANY_SECONDS
            due_at = company_at if due_at is None else min(due_at, company_at)
        return due_at

    @property
    def _is_failing(self) -> bool:
        """
        Whether nothing at all can be written, as far as is known.
        """
        return self._failure is not None and not isinstance(self._failure, ReserveMissingError)

    def _is_due(self) -> bool:
        """
        Whether the disk may be touched: always on a good one, now and then on a failing one, and once before the end.
        """
        return not self._is_failing or self._probes()

    def _probes(self) -> bool:
        """
        Whether it is time to find out if the disk is good again.
        """
        return self._failure is not None and (
            time.monotonic() >= self._probe_at or (self._closing and self._is_failing)
        )

    def _drain(self) -> None:
        """
        Take what has come meanwhile.
        """
        while True:
            try:
                self._take(self._queue.get_nowait())
            except queue.Empty:
                return

    def _take(self, entry: Entry | None) -> None:
        """
        Add an entry to those that wait for the next group.
        """
        if entry is None:
            self._closing = True
        elif self._failure is not None and _is_refused(entry, self._failure):
            self._refuse([entry], self._failure)  # handed in while the group that failed was under way
        else:
            self._waiting.append(entry)
            self._awaited += entry.waiter is not None

    def _write_groups(self) -> None:
        """
        Write all that wait, a group at a time; stop at the first that fails.
        """
        while self._waiting or self._probes():
            probes = self._probes()
            group, drafts = self._form_group(probes=probes)
            keeps_reserve = probes or not all(entry.may_use_reserve for entry in group)
            try:
                self._stream.append(drafts, keeps_reserve=keeps_reserve)
            except ReserveMissingError as failure:
                self._fail(failure)  # nothing was written yet, and the rest may use the reserve
                continue
            except StreamWriteError as failure:
                self._fail(failure)
                return
            # The group is on the disk. A crash from here on leaves records whose writers were not told: an intent
            # among them was not acted on, and recovery closes it as `unknown`, the cautious word.
            for entry in group:
                self._waiting.popleft()
                self._awaited -= entry.waiter is not None
            if probes:
                self._clear_failure()
            settle(group)
            self._keep_reserve()

    def _keep_reserve(self) -> None:
        """
        Behind a group, and in nobody's way: hold what the next one will need.
        """
        if self._failure is None:
            try:
                self._stream.hold_reserve()
            except StreamWriteError as failure:
                self._fail(failure)

    def _form_group(self, *, probes: bool) -> tuple[list[Entry], list[Draft]]:
        """
        The oldest entries, as many as one sync may carry, and what to write for them.

        `journal.resumed` comes first where this group is to show that the disk is good again. The entries stay among
        those that wait until they are on the disk, so that a failure changes nothing.
        """
        drafts = []
        if probes and self._failure is not None:
            resumed: Event = {
                "tag": Tag.JOURNAL_RESUMED,
                "counts": {"refused": self._refused},
                "reason": self._failure.reason,
            }
            drafts.append(render_draft(resumed, self._clock.now()))
        room_bytes = GROUP_LIMIT_BYTES - sum(draft.size_bytes for draft in drafts)
        group = []
        for entry in self._waiting:
            room_bytes -= entry.size_bytes
            if room_bytes < 0:
                break
            group.append(entry)
            drafts.extend(entry.drafts)
        return group, drafts

    def _fail(self, failure: StreamWriteError) -> None:
        """
        Turn away those who are not to be served on such a disk, and keep the others in their order.
        """
        if self._failure is None:
            _log.error("the journal cannot be written: %s; calls are refused until it can", failure.detail)
        self._failure = failure
        self._probe_at = time.monotonic() + _PROBE_SECONDS
        refused = [entry for entry in self._waiting if _is_refused(entry, failure)]
        self._waiting = deque(entry for entry in self._waiting if not _is_refused(entry, failure))
        self._awaited = sum(entry.waiter is not None for entry in self._waiting)
        self._refuse(refused, failure)

    def _clear_failure(self) -> None:
        """
        The disk is good, perhaps again.
        """
        if self._failure is not None:
            _log.warning("the journal's stream %s can be written again", self.stream)
            with self._gate:
                self._failure = None
                self._refused = 0

    def _refuse(self, entries: list[Entry], failure: StreamWriteError) -> None:
        """
        Tell those who wait that their records are not on the disk.
        """
        with self._gate:
            self._refused += len(entries)
        settle(entries, failure.detail)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "writable" if self.writable else "failing"
        return f"<Journal {self.stream} {state} seq={self._stream.head.seq} waiting={len(self._waiting)}>"


def _is_refused(entry: Entry, failure: StreamWriteError) -> bool:
    """
    Whether an entry is turned away while this is wrong with the disk. What nobody waits for never is.
    """
    if isinstance(failure, ReserveMissingError):
        return not entry.may_use_reserve
    return entry.waiter is not None
