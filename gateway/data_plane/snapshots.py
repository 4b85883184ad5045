"""
Which snapshot is in force, and how a newer one comes into force.

Reads in a thread what has changed when the registry's version has: asked by a verb over the worker's socket, and every
half second besides, so that a change is in force within a second even if nobody tells us. What was read is applied on
the event loop in small slices, so that a hundred thousand tokens hold up no call. When the registry cannot be read the
last snapshot stays in force until it is too old (law 8).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.access.snapshot import Snapshot
    from gateway.clock import Clock
    from gateway.registry.feed import Update

__all__ = ["Snapshots"]

_logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.5


class Snapshots:
    """
    The snapshot in force. Lives on the event loop's thread; the readers run in others.

    Args:
        first: What the worker starts with.
        read_version: Cheap; the registry's version.
        read: What must change so that the present version is in force instead of the one that is.
        clock: Tells how old the last reading is.
        max_age_seconds: How long a snapshot may be used without the registry having been read again.
        changed: Called on the event loop after a newer snapshot has come into force.
    """

    def __init__(
        self,
        first: Snapshot,
        *,
        read_version: Callable[[], int],
        read: Callable[[Snapshot], Update],
        clock: Clock,
        max_age_seconds: float,
        changed: Callable[[], None],
    ) -> None:
        self.current = first
        self._read_version = read_version
        self._read = read
        self._clock = clock
        self._max_age_seconds = max_age_seconds
        self._changed = changed
        self._read_at = clock.monotonic()
        self._turn = asyncio.Lock()
        self._readable = True

    @property
    def age_seconds(self) -> float:
        """
        Seconds since the registry was last read, whether it had changed or not.
        """
        return self._clock.monotonic() - self._read_at

    @property
    def readable(self) -> bool:
        """
        Whether the registry could be read the last time.
        """
        return self._readable

    @property
    def max_age_seconds(self) -> float:
        """
        How old the last reading may be.
        """
        return self._max_age_seconds

    def is_stale(self) -> bool:
        """
        Whether the snapshot is too old to decide on.
        """
        return self.age_seconds > self._max_age_seconds

    async def refresh(self, at_least: int = 0) -> bool:
        """
        Bring the newest version into force.

        Args:
            at_least: The version that a verb has committed; 0 for whatever there is.

        Returns:
            Whether a snapshot of that version or a newer one is in force.
        """
        async with self._turn:
            if at_least and self.current.version >= at_least:
                return True
            try:
                version = await asyncio.to_thread(self._read_version)
                if version != self.current.version:
                    await self._apply(await asyncio.to_thread(self._read, self.current))
            except GatewayError as error:
                if self._readable:
                    _logger.error("the registry cannot be read, the last snapshot stays in force: %s", error)  # noqa: TRY400  # our error's sentence is all there is to say
                self._readable = False
                return False
            self._read_at = self._clock.monotonic()
            self._readable = True
            return self.current.version >= at_least

    async def _apply(self, update: Update) -> None:
        for _ in update.remove():
            await asyncio.sleep(0)
        self.current = update.snapshot
        try:
            for _ in update.add():
                await asyncio.sleep(0)
        finally:
            update.finish()  # cancelled: a version in force without its tokens would never be read again
        self._changed()

    async def follow(self) -> None:
        """
        Refresh for ever, every half second, whatever goes wrong: a change that nobody told us of must come into force.
        """
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            try:
                await self.refresh()
            except Exception:
                if self._readable:
                    _logger.exception("the registry met an error of ours, the last snapshot stays in force")
                self._readable = False

    def __repr__(self) -> str:
        return f"<Snapshots: {self.current!r} in force, read {self.age_seconds:.1f} s ago>"
