"""
One deadline that moves often and is met seldom.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["Deadline"]


class Deadline:
    """
    Calls `expire` when the time that was set last is over, unless it was cleared.

    A timer that is too early looks again when it rings instead of being cancelled, so that a busy connection, whose
    deadline moves with every request, hardly ever touches the loop's heap.
    """

    __slots__ = ("_at", "_expire", "_loop", "_timer", "_timer_at")

    def __init__(self, loop: asyncio.AbstractEventLoop, expire: Callable[[], None]) -> None:
        self._loop = loop
        self._expire = expire
        self._at = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    def set(self, seconds: float) -> None:
        """
        Expire so many seconds from now, and not at the time set before.
        """
        self._at = self._loop.time() + seconds
        if self._timer is not None:
            if self._timer_at <= self._at:
                return
            self._timer.cancel()
        self._arm()

    def shorten(self, seconds: float) -> None:
        """
        Expire so many seconds from now, unless that is sooner anyway or no time is set.
        """
        if self._loop.time() + seconds < self._at < math.inf:
            self.set(seconds)

    def clear(self) -> None:
        """
        Do not expire.
        """
        self._at = math.inf

    def close(self) -> None:
        """
        Never expire again; the loop forgets the timer.
        """
        self._at = math.inf
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        self._timer_at = self._at
        self._timer = self._loop.call_at(self._at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._at == math.inf:
            return
        if self._at > self._loop.time():
            self._arm()
            return
        self._at = math.inf
        self._expire()
