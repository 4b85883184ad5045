"""
The journal: many tasks hand in events, one thread writes them, and whoever must know is told when they are on disk.

Holds law 1 for the rest of the house: `record` returns when the event is durable and raises when it is not. What it
raised for counts as never begun (law 2): nobody may act on it, and an intent that the disk kept all the same is closed
as `not_sent` by the journal itself. Knows who hands in and who waits, for how long; when and how things are written is
`writer`'s, and bytes and files are `stream`'s.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import logging
from typing import TYPE_CHECKING

from gateway.audit.backlog import Backlog
from gateway.audit.bench import Bench
from gateway.audit.closure import close_intent
from gateway.audit.entry import Entry, tell
from gateway.audit.event import Rendered, Tag, render_draft, stamp
from gateway.audit.figures import JournalFigures
from gateway.audit.stream import StalledError, Stream, StreamBusyError
from gateway.audit.writer import Writer
from gateway.errors import Reason
from gateway.outcome import Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.audit.event import Draft, Event
    from gateway.clock import Clock

__all__ = ["STALL_SECONDS", "Journal", "StreamBusyError"]

SEGMENT_LIMIT_BYTES = 64 * 1024 * 1024

STALL_SECONDS = 4.0
"""
How long anybody waits for the disk. Noojee's own Java client gives up on any reply after 5 seconds, and whoever dials
again then must not meet the first call still on its way: it has been refused by now, and was never sent.
"""

WITHDRAWN = "withdrawn"
"""The `reason` of the outcome of an intent whose author left before it could be told."""

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

    def __init__(self, stream: Stream, clock: Clock, stall_seconds: float = STALL_SECONDS) -> None:
        self._stream = stream
        self._clock = clock
        self._stall_seconds = stall_seconds
        self._benches: dict[asyncio.AbstractEventLoop, Bench] = {}
        self._backlog = Backlog(stream.name)
        self._writer = Writer(stream, self._backlog, clock, _PROBE_SECONDS)

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
        stall_seconds: float = STALL_SECONDS,
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
            stall_seconds: How long anybody waits for a record before it is refused.

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
            stall_seconds,
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
        Whether something new can be recorded: the disk answers, the last group reached it, and the reserve is whole.

        False until all are true again, which the journal finds out by itself, within about a second.
        """
        return self._backlog.failure is None

    @property
    def figures(self) -> JournalFigures:
        """
        How it is doing, in numbers; touches no disk.
        """
        return JournalFigures(
            is_writable=self.writable,
            failures=self._backlog.failures,
            group_records=self._writer.group_records,
            write_seconds=self._writer.write_seconds,
            backlog_records=self._backlog.waiting + self._writer.waiting,
            backlog_bytes=self._backlog.size_bytes,
            reserve_bytes=self._stream.reserve_bytes,
            reserve_held_bytes=self._stream.reserve_held_bytes,
        )

    def note_refused(self) -> None:
        """
        Count a record that was not even handed in, because the journal cannot be written: `journal.resumed` tells it.
        """
        self._backlog.note_refused()

    async def record(self, event: Event | Rendered) -> None:
        """
        Append an event; durable when it returns. It never returns later than `stall_seconds`.

        Whoever gets an exception from it, be it that of a cancellation, must not act on the event, and must not record
        what became of it: it counts as withdrawn. An intent that is on the disk all the same, because it was there when
        its task was cancelled, or because a disk took it after we had lost patience, is closed as `not_sent` by the
        journal, behind all that was handed in before. A crash before that leaves it open; recovery says `unknown` then.

        Raises:
            StorageError: It is not on record. At once, without touching the disk, while the journal is not writable.
            ValueError: The event is malformed: a mistake in our own code.
        """
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        bench = self._benches.get(loop) or self._open_bench(loop)
        entry = Entry((self._draft(event),), waiter, bench, may_use_reserve=False)
        self._backlog.add(entry)
        bench.seat(waiter, entry)
        if self._backlog.needs_ring:
            bench.ring_soon()
        try:
            await waiter
        except asyncio.CancelledError:
            self._backlog.give_up([entry], self._withdraw)
            raise

    def record_soon(self, event: Event | Rendered) -> None:
        """
        Append an event that nobody waits for: an outcome. Durable within 50 ms on a good disk.

        On a bad one it is kept in memory, in its place, and written when the disk is good again, or at `close` at the
        latest. When even that fails it is lost, and recovery closes its intent as `unknown`, which is true. What is no
        outcome is dropped, and counted in `journal.resumed`, when 32 MiB wait.

        Raises:
            StorageError: The journal is closed. Never for the disk's sake.
            ValueError: As for `record`.
        """
        self._backlog.add(Entry((self._draft(event),), may_use_reserve=True))

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
            drafts = tuple(self._draft(event) for event in events[first : first + _BATCH])
            waiter: concurrent.futures.Future[None] = concurrent.futures.Future()
            entry = Entry(drafts, waiter, may_use_reserve=may_use_reserve)
            self._backlog.add(entry)
            try:
                waiter.result(self._stall_seconds)
            except concurrent.futures.TimeoutError:
                self._lose_patience([entry])
                waiter.result()

    def close(self) -> None:
        """
        Write what is pending, stop the thread, let go of the lock. Idempotent; waits 5 s at most.

        When the disk hangs for longer the lock stays held until the process ends: whoever took it now could append
        beside a write that is still under way.
        """
        self._backlog.close()
        if not self._writer.join(_CLOSE_SECONDS):
            _log.error("the journal's stream %s could not be closed: its disk does not answer", self.stream)
            return
        self._stream.close()

    def _draft(self, event: Event | Rendered) -> Draft:
        now = self._clock.now()
        return stamp(event, now) if isinstance(event, Rendered) else render_draft(event, now)

    def _open_bench(self, loop: asyncio.AbstractEventLoop) -> Bench:
        """
        Where those on this loop will wait, for the loop's life.
        """
        self._benches = {other: bench for other, bench in self._benches.items() if not other.is_closed()}
        bench = self._benches[loop] = Bench(loop, self._backlog.ring, self._stall_seconds, self._lose_patience)
        return bench

    def _lose_patience(self, entries: list[Entry]) -> None:
        """
        Tell those who have waited too long that they wait in vain, and turn away who would come after them.
        """
        stall = StalledError(f"the disk of {self.stream} has not answered for {self._stall_seconds:g} seconds")
        told = [entry for entry in entries if entry.waiter is not None and tell(entry.waiter, stall.detail)]
        if told:  # a thread may have had its answer at the last moment, and acts on that
            self._backlog.give_up(told, self._close_refused, stall)

    def _close_refused(self, entry: Entry) -> Entry | None:
        return self._close_intents(entry, Reason.AUDIT_UNAVAILABLE.code)  # what its caller was answered

    def _withdraw(self, entry: Entry) -> Entry | None:
        return self._close_intents(entry, WITHDRAWN)

    def _close_intents(self, entry: Entry, reason: str) -> Entry | None:
        """
        What closes the intents of an entry that nobody acted on: no byte of them was sent, so `not_sent` is proven.
        """
        now = self._clock.now()
        records = [draft.as_record() for draft in entry.drafts if draft.tells_of(Tag.CALL_INTENDED)]
        drafts = tuple(render_draft(close_intent(record, Outcome.NOT_SENT, reason), now) for record in records)
        if not drafts:
            return None
        closure = Entry(drafts, may_use_reserve=True)
        closure.closes = entry
        return closure

    def __repr__(self) -> str:
        state = "closed" if self._backlog.closed else "writable" if self.writable else "failing"
        return f"<Journal {self.stream} {state} seq={self._stream.head.seq}>"
