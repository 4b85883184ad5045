"""
Those on one event loop who wait for their records, how they are told, and how long they have patience.

A loop is woken once a group, for all of its waiters: waking it costs a system call, and a group has many.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING

from gateway.audit.entry import tell

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from gateway.audit.entry import Entry

__all__ = ["Bench", "settle"]


class Bench:
    """
    The waiters of one loop, in the order in which they handed in, which is the order in which they are told.

    All methods but `call` are for the loop's own thread.

    Args:
        loop: Theirs.
        ring: Wakes the journal's thread.
        patience_seconds: How long one sits here at most.
        lost_patience: Called, on the loop, with the entries that have waited for longer. It must tell them; their seats
            stay taken until the disk has answered, so that the order holds.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ring: Callable[[], None],
        patience_seconds: float,
        lost_patience: Callable[[list[Entry]], None],
    ) -> None:
        self.loop = loop
        self._ring = ring
        self._will_ring = False
        self._patience_seconds = patience_seconds
        self._lost_patience = lost_patience
        self._seats: deque[tuple[float, asyncio.Future[None], Entry]] = deque()  # first: since when, monotonic
        self._timer: asyncio.TimerHandle | None = None

    def seat(self, waiter: asyncio.Future[None], entry: Entry) -> None:
        """
        Let one more wait.
        """
        self._seats.append((time.monotonic(), waiter, entry))
        if self._timer is None:
            self._timer = self.loop.call_later(self._patience_seconds, self._look)

    def ring_soon(self) -> None:
        """
        Wake the journal's thread when the loop's present turn is over.

        Rung at once, it would begin a group of one, and all others that the same turn wakes would wait for two syncs.
        """
        if not self._will_ring:
            self._will_ring = True
            self.loop.call_soon(self._ring_now)

    def _ring_now(self) -> None:
        self._will_ring = False
        self._ring()

    def call(self, count: int, refusal: str | None) -> None:
        """
        Tell the first `count`, from any thread: they are on the disk, or, with a refusal's detail, they are not.
        """
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits on it any more
            self.loop.call_soon_threadsafe(self._tell, count, refusal)

    def _tell(self, count: int, refusal: str | None) -> None:
        for _ in range(count):
            waiter = self._seats.popleft()[1]
            if refusal is not None:
                tell(waiter, refusal)
            elif not waiter.done():
                waiter.set_result(None)

    def _look(self) -> None:
        """
        Find out who has waited too long, and come back when the next one will have.

        One timer for all: while records come through it looks once in `patience_seconds`, and never when nobody waits.
        """
        self._timer = None
        due_before = time.monotonic() - self._patience_seconds
        sitting = [(since, entry) for since, waiter, entry in self._seats if not waiter.done()]
        overdue = [entry for since, entry in sitting if since <= due_before]
        if overdue:
            self._lost_patience(overdue)
        if len(overdue) < len(sitting):
            oldest = sitting[len(overdue)][0]
            self._timer = self.loop.call_later(max(0.0, oldest - due_before), self._look)

    def __repr__(self) -> str:
        return f"<Bench with {len(self._seats)} waiting>"


def settle(entries: Iterable[Entry], refusal: str | None = None) -> int:
    """
    Tell all who wait for these entries, in their order, from the journal's thread. Returns how many were awaited.
    """
    awaited = 0
    by_bench: dict[Bench, int] = {}
    for entry in entries:
        if entry.waiter is None:
            continue
        awaited += 1
        if entry.bench is None:
            tell(entry.waiter, refusal)
        else:
            by_bench[entry.bench] = by_bench.get(entry.bench, 0) + 1
    for bench, count in by_bench.items():
        bench.call(count, refusal)
    return awaited
