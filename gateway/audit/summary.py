"""
Refusals of requests without a valid token, counted instead of recorded one by one (contract section 7).

Anybody who reaches the door can cause them, so one record each would let a stranger fill the disk; one record a minute
does not. Pure: told of each refusal, asked each minute.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gateway.audit.event import Tag
from gateway.clock import render_instant

if TYPE_CHECKING:
    from datetime import datetime

    from gateway.audit.event import Event

__all__ = ["AnonymousSummary"]


class AnonymousSummary:
    """
    Exact counts since the last `take`, by reason code. One network for all: by source network comes later.

    Not safe for threads: it belongs to the event loop.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, reason: str) -> None:
        """
        One more request was refused for `reason`, a reason code and so one of few.
        """
        self._counts[reason] += 1

    def take(self, now: datetime) -> Event | None:
        """
        The event `anonymous.summarised` with all that was counted, which is forgotten then; None when nothing was.

        Call it at each minute's end and before the journal is closed.
        """
        if not self._counts:
            return None
        counts = dict(sorted(self._counts.items()))
        self._counts.clear()
        return {"at": render_instant(now), "tag": Tag.ANONYMOUS_SUMMARISED, "counts": counts}

    def __repr__(self) -> str:
        return f"<AnonymousSummary {sum(self._counts.values())} requests>"
