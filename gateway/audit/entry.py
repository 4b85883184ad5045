"""
One hand-in to the journal: what is to be written, who waits for it, and what is known of it so far.

Pure bookkeeping. Three threads may look at an entry: the one that handed it in, the one whose event loop waits, and the
journal's own; what changes after the hand-in changes under the backlog's gate.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import TYPE_CHECKING

from gateway.errors import StorageError

if TYPE_CHECKING:
    from gateway.audit.bench import Bench
    from gateway.audit.event import Draft

__all__ = ["Entry", "Waiter", "tell"]

Waiter = asyncio.Future[None] | concurrent.futures.Future[None]


class Entry:
    """
    Events on their way to the disk, one or a few that must not be separated by a failure.

    Attributes:
        drafts: What will be written, in order.
        size_bytes: An upper bound of what they will take.
        waiter: Who must be told; None for a record that nobody waits for, which is kept until it is written.
        bench: Where the waiter sits, when it waits on an event loop.
        may_use_reserve: Whether it is written even where the reserve is not whole behind it.
        closes: The entry whose intent this one closes: written only if that one is on the disk.
        is_taken: Whether it was handed to the disk, which may have it; False again when the disk has refused it.
        is_refused: Whether its waiter was told that it is not on record, or has left. Then it is handed to no disk.
    """

    __slots__ = ("bench", "closes", "drafts", "is_refused", "is_taken", "may_use_reserve", "size_bytes", "waiter")

    def __init__(
        self,
        drafts: tuple[Draft, ...],
        waiter: Waiter | None = None,
        bench: Bench | None = None,
        *,
        may_use_reserve: bool,
    ) -> None:
        self.drafts = drafts
        self.size_bytes = drafts[0].size_bytes if len(drafts) == 1 else sum(draft.size_bytes for draft in drafts)
        self.may_use_reserve = may_use_reserve
        self.waiter = waiter
        self.bench = bench
        self.closes: Entry | None = None
        self.is_taken = False
        self.is_refused = False

    @property
    def is_void(self) -> bool:
        """
        Whether there is nothing to write any more: nobody wants it, or what it would close was never on the disk.
        """
        return self.is_refused or (self.closes is not None and not self.closes.is_taken)

    def __repr__(self) -> str:
        awaited = "awaited" if self.waiter is not None else "not awaited"
        return f"<Entry of {len(self.drafts)}, {awaited}{', taken' if self.is_taken else ''}>"


def tell(waiter: Waiter, refusal: str | None) -> bool:
    """
    Complete a waiter's future: the record is on the disk, or, with a refusal's detail, it is not.

    An asyncio future is told on its own loop only. Returns False when the waiter has left or was told before.
    """
    if waiter.done():
        return False
    try:
        if refusal is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(StorageError(refusal))  # one for each: it will carry its raiser's traceback
    except concurrent.futures.InvalidStateError:  # a thread lost its patience at this very moment
        return False
    return True
