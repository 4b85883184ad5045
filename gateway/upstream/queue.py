"""
Who waits for a connection, and whose turn it is: callers take turns, and the calls of one caller come in their order.

Bounded as a whole. When it is full, a call of a caller with few in it takes the place of the last call of the caller
with most, so that one program that calls without end on a slow Noojee keeps out nobody but itself.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from gateway.upstream.connection import Connection

__all__ = ["Queue", "Waiting"]


class Waiting(NamedTuple):
    """
    A call that waits.

    Attributes:
        whose: The caller's name.
        until: Loop time at which its wait is over.
        waiter: Done when it has a connection, or when it will have none.
    """

    whose: str
    until: float
    waiter: asyncio.Future[Connection]


class Queue:
    """
    A queue. To take one out costs the same however many there are.

    Args:
        limit: How many may wait.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._next: deque[Waiting] = deque()  # whose turn had come once
        self._lines: dict[str, deque[Waiting]] = {}  # by caller, in the order of their turns; none is empty

    def make_room(self, whose: str) -> Waiting | None:
        """
        Take out, of a queue that is full, who must make room for this caller; None when he has no better right.
        """
        longest = max(self._lines.values(), key=len, default=None)
        own = len(self._lines.get(whose, ()))
        if longest is None or len(longest) <= own + 1:
            return None
        last = longest[-1]
        self.remove(last)
        return last

    def push(self, waiting: Waiting, *, first: bool = False) -> None:
        """
        Put one in.

        Args:
            first: Before all others.
        """
        self._size += 1
        if first:
            self._next.appendleft(waiting)
        else:
            self._lines.setdefault(waiting.whose, deque()).append(waiting)

    def pop(self) -> Waiting:
        """
        Take out whose turn it is.

        Raises:
            LookupError: Nobody waits.
        """
        self._size -= 1 if self else 0
        if self._next:
            return self._next.popleft()
        whose = next(iter(self._lines), None)
        if whose is None:
            raise LookupError("nobody waits")
        line = self._lines.pop(whose)
        waiting = line.popleft()
        if line:
            self._lines[whose] = line  # behind all others
        return waiting

    def remove(self, waiting: Waiting) -> None:
        """
        Take one out, wherever it stands; nothing when it is out already.
        """
        line = self._lines.get(waiting.whose)
        if line is not None and waiting in line:
            line.remove(waiting)
            if not line:
                del self._lines[waiting.whose]
        elif waiting in self._next:
            self._next.remove(waiting)
        else:
            return
        self._size -= 1

    def take_late(self, now: float) -> list[Waiting]:
        """
        Take out all whose wait is over, at once: they are many when Noojee has stood still.
        """
        late = [each for each in self if each.until <= now]
        if late:
            self._next = deque(each for each in self._next if each.until > now)
            lines = {whose: deque(each for each in line if each.until > now) for whose, line in self._lines.items()}
            self._lines = {whose: line for whose, line in lines.items() if line}
            self._size -= len(late)
        return late

    @property
    def is_full(self) -> bool:
        """
        Whether nobody may be put in but before the others.
        """
        return self._size >= self._limit

    def __iter__(self) -> Iterator[Waiting]:
        yield from self._next
        for line in self._lines.values():
            yield from line

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return f"<Queue: {self._size} of {len(self._lines)} callers>"
