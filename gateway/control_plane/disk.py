"""
How much room the journal's disk has, without waiting for a disk that hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Disk", "Room"]

_PATIENCE_SECONDS = 0.5


class Room(NamedTuple):
    """
    A disk's room, in bytes: what a process that is not root may still take, and all there is.
    """

    free_bytes: int
    size_bytes: int


class Disk:
    """
    Asks the system on a thread of its own, which nobody waits for when it hangs, not even the process's end.

    Args:
        folder: Anything on the disk.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._asking: asyncio.Future[Room | None] | None = None

    async def look(self) -> Room | None:
        """
        How much room there is; None when the disk does not tell within half a second.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_future()
            threading.Thread(target=self._ask, args=(self._asking,), name="disk", daemon=True).start()
        try:
            return await asyncio.wait_for(asyncio.shield(self._asking), _PATIENCE_SECONDS)
        except TimeoutError:
            return None  # the one that hangs is waited for again, and not joined by another

    def _ask(self, asking: asyncio.Future[Room | None]) -> None:
        room = None
        with contextlib.suppress(OSError):
            found = os.statvfs(self._folder)
            room = Room(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            asking.get_loop().call_soon_threadsafe(asking.set_result, room)

    def __repr__(self) -> str:
        return f"<Disk of {self._folder}>"
