"""
Those who wait for their record, and how they are told: on their event loop, or on their thread.

Pure bookkeeping between threads; knows nothing of disks.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.audit.event import Draft

__all__ = ["Entry", "Waiter", "settle"]

Waiter = asyncio.Future[None] | concurrent.futures.Future[None]


@dataclass(frozen=True, slots=True)
class Entry:
    """
    Events on their way to the disk, one or a few that must not be separated by a failure.

    Attributes:
        drafts: What will be written, in order.
        waiter: Who must be told; None for a record that nobody waits for, which is kept until it is written.
        may_use_reserve: Whether it is written even where the reserve is not whole behind it.
        handed_in_at: Monotonic seconds.
    """

    drafts: tuple[Draft, ...]
    waiter: Waiter | None = None
    may_use_reserve: bool = True
    handed_in_at: float = field(default_factory=time.monotonic)

    @property
    def size_bytes(self) -> int:
        """
        An upper bound of what they will take.
        """
        return sum(draft.size_bytes for draft in self.drafts)


def settle(entries: Iterable[Entry], refusal: str | None = None) -> None:
    """
    Tell all who wait for these entries: they are on the disk, or, with a refusal's detail, they are not.

    A loop is woken once for all of its futures: waking it costs a system call, and a group has many.
    """
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for entry in entries:
        match entry.waiter:
            case None:
                pass
            case concurrent.futures.Future() as future:
                _settle_one(future, refusal)
            case future:
                by_loop.setdefault(future.get_loop(), []).append(future)
    for loop, futures in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits on it any more
            loop.call_soon_threadsafe(_settle_all, futures, refusal)


def _settle_all(futures: list[asyncio.Future[None]], refusal: str | None) -> None:
    """
    On the futures' own loop.
    """
    for future in futures:
        _settle_one(future, refusal)


def _settle_one(future: Waiter, refusal: str | None) -> None:
    """
    Complete one future, unless whoever waited has left.
    """
    if future.done():
        return
    if refusal is None:
        future.set_result(None)
    else:
        future.set_exception(StorageError(refusal))  # one for each: a raised exception carries its raiser's traceback
