"""
What was handed in and is not on the disk yet, between the many who hand in and the one thread that writes.

Decides who is turned away at the door, and when the writer must be woken. Bounded, because callers are: whoever waits
is turned away when too much does, and what ends a call begins only where that call's intent was let in.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from gateway.audit.event import Tag
from gateway.audit.stream import ReserveMissingError, StalledError
from gateway.errors import StorageError
from gateway.size import render_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.audit.entry import Entry
    from gateway.audit.stream import StreamWriteError

__all__ = ["BACKLOG_LIMIT_BYTES", "Backlog", "is_turned_away"]

BACKLOG_LIMIT_BYTES = 32 * 1024 * 1024
"""
What may wait in memory before more is turned away: the intents of 10,000 connections, 16 MB with what is reckoned for
the journal's own fields, and as much again.
"""

_AWAKE, _LIGHTLY, _DEEPLY = 0, 1, 2
"""How the writer sleeps: lightly when it will look by itself soon, so that only who waits need wake it."""

_log = logging.getLogger(__name__)


class Taken(NamedTuple):
    """
    What the writer takes at once.

    Attributes:
        entries: In the order in which they came.
        oldest_at: When the first of them did, in monotonic seconds.
        awaited: How many of them somebody waits for.
        is_last: Whether nothing more will come.
    """

    entries: list[Entry]
    oldest_at: float
    awaited: int
    is_last: bool


class Backlog:
    """
    The entries of one stream that nobody has taken yet. Safe for all threads.

    Attributes:
        gate: Held for every change, also of an entry's state, and never while the disk is touched.
        failure: What is wrong with the disk; None while the journal is writable.
        failures: How often something came to be wrong with it, by the failure's reason.
        refused: Awaited records that were turned away since then.
        lost: Records that nobody waited for and that were dropped since then.
    """

    def __init__(self, stream: str) -> None:
        self.gate = threading.Lock()
        self.failure: StreamWriteError | None = None
        self.failures: Counter[str] = Counter()
        self.refused = 0
        self.lost = 0
        self._stream = stream
        self._closed = False
        self._incoming: list[Entry] = []
        self._oldest_at = 0.0  # when the first of these came, by the monotonic clock
        self._awaited = 0  # how many of these somebody waits for
        self._size_bytes = 0  # of all that is not on the disk, also of what the writer took
        self._sleep = _AWAKE
        self._bell = threading.Lock()
        self._bell.acquire()

    @property
    def closed(self) -> bool:
        """
        Whether nothing more is taken in.
        """
        return self._closed

    @property
    def size_bytes(self) -> int:
        """
        At most how much is not on the disk, what the writer has taken included.
        """
        return self._size_bytes

    @property
    def waiting(self) -> int:
        """
        How many entries the writer has not taken yet.
        """
        return len(self._incoming)

    def add(self, entry: Entry) -> None:
        """
        Take an entry in, behind all that were before.

        Raises:
            StorageError: It is turned away, and nothing of it will be written. For what nobody waits for only when the
                journal is closed.
        """
        with self.gate:
            if self._size_bytes > BACKLOG_LIMIT_BYTES:
                limit = render_size(BACKLOG_LIMIT_BYTES)
                self._note_stall(StalledError(f"the disk of {self._stream} has more than {limit} to write"))
            if self.failure is not None or self._closed:
                self._check(entry)
                if self._is_dropped(entry):
                    return
            self._append(entry)

    def note_refused(self) -> None:
        """
        Somebody was turned away before there was an entry.
        """
        with self.gate:
            self.refused += self.failure is not None

    def _append(self, entry: Entry) -> None:
        if not self._incoming:
            self._oldest_at = time.monotonic()
        self._incoming.append(entry)
        self._size_bytes += entry.size_bytes
        if entry.waiter is not None:
            self._awaited += 1
            if entry.bench is None and self._sleep != _AWAKE:
                self._ring()
        elif self._sleep == _DEEPLY:
            self._ring()

    def _check(self, entry: Entry) -> None:
        """
        Turn an entry away, if it is one that must be.
        """
        if self._closed:
            raise StorageError(f"the journal's stream {self._stream} is closed")
        if self.failure is not None and is_turned_away(entry, self.failure):
            self.refused += 1
            raise StorageError(self.failure.detail)

    def _is_dropped(self, entry: Entry) -> bool:
        """
        Whether an entry is given up for want of memory, in silence but for a count: summaries, and other such events.

        Never an outcome: its intent is on the disk, and `worker.stopped` says that what was begun has ended. There are
        no more of them than calls were under way when the journal stopped taking intents in.
        """
        if self._size_bytes <= BACKLOG_LIMIT_BYTES or any(draft.tells_of(Tag.CALL_ENDED) for draft in entry.drafts):
            return False
        self.lost += 1
        return True

    def take(self) -> Taken:
        """
        For the writer: all that came in since it last asked.
        """
        with self.gate:
            taken = Taken(self._incoming, self._oldest_at, self._awaited, self._closed)
            self._incoming, self._awaited = [], 0
            return taken

    def release(self, entries: Iterable[Entry]) -> None:
        """
        For the writer: these are on the disk, or never will be.
        """
        size_bytes = sum(entry.size_bytes for entry in entries)
        with self.gate:
            self._size_bytes -= size_bytes

    def sleep(self, seconds: float | None) -> None:
        """
        For the writer: return when something must be done, or after so many seconds.

        Whoever waits always wakes it. What nobody waits for does when the sleep has no end; otherwise it is found then.
        """
        with self.gate:
            if self._closed or self._awaited or (seconds is None and self._incoming):
                return
            self._sleep = _DEEPLY if seconds is None else _LIGHTLY
        rung = self._bell.acquire(timeout=-1 if seconds is None else seconds)
        with self.gate:
            if self._sleep == _AWAKE and not rung:  # the bell was rung just after the time was up
                self._bell.acquire()
            self._sleep = _AWAKE

    @property
    def needs_ring(self) -> bool:
        """
        Whether the writer sleeps, and must be woken for who has come to wait on a bench. Asked after `add`.
        """
        return self._sleep != _AWAKE

    def ring(self) -> None:
        """
        Wake the writer, if it sleeps.
        """
        with self.gate:
            if self._sleep != _AWAKE:
                self._ring()

    def _ring(self) -> None:
        self._sleep = _AWAKE
        self._bell.release()

    def close(self) -> None:
        """
        Take nothing more in. Idempotent.
        """
        with self.gate:
            self._closed = True
            if self._sleep != _AWAKE:
                self._ring()

    def give_up(
        self, entries: Iterable[Entry], close: Callable[[Entry], Entry | None], stall: StalledError | None = None
    ) -> None:
        """
        Nobody will act on these any more, whatever becomes of them: those that were not handed to the disk never are.

        Of those that were, the disk may have the intent, and it would stand open. So its closure follows at once, in
        the same order, on the condition that the intent came through.

        Args:
            entries: Of them those that were refused already are passed over.
            close: What closes an entry; None where there is nothing to close. Must not take the gate.
            stall: Why, when the disk does not answer: from now on who would wait is turned away, until the writer has
                shown that it does again. None when the waiters have left by themselves.
        """
        with self.gate:
            if stall is not None:
                self._note_stall(stall)
            for entry in entries:
                if entry.is_refused:
                    continue
                entry.is_refused = True
                self.refused += stall is not None
                closure = close(entry) if entry.is_taken else None
                if closure is None:
                    continue
                if self._closed:
                    _log.error("the journal's stream %s was closed before an intent that was given up", self._stream)
                else:
                    self._append(closure)

    def _note_stall(self, stall: StalledError) -> None:
        if self.failure is None:
            self.failure = stall
            self.failures[stall.reason] += 1
            _log.error("the journal cannot be written: %s; calls are refused until it can", stall.detail)
            if self._sleep != _AWAKE:
                self._ring()  # it was not the disk, but we that were asleep: the writer must show it


def is_turned_away(entry: Entry, failure: StreamWriteError) -> bool:
    """
    Whether an entry is turned away while this is wrong with the disk. What nobody waits for never is.
    """
    if isinstance(failure, ReserveMissingError):
        return not entry.may_use_reserve
    return entry.waiter is not None
