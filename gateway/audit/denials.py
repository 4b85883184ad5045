"""
Which denial of a caller gets a record of its own, and the counts of those that do not.

A caller's first hundred denials of a minute are recorded one by one, as they deserve. What is beyond is counted by
reason and written as one event at the minute's end, so that one token cannot fill the disk: bytes written stay bounded
however many calls come. Pure: the time comes in as an argument. A crash loses the counts of the present minute.
"""

from __future__ import annotations

import math
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from gateway.audit.event import Tag
from gateway.clock import render_instant

if TYPE_CHECKING:
    from datetime import datetime

    from gateway.audit.event import Event

__all__ = ["DENIALS_LIMIT", "Denials", "find_seconds_left"]

DENIALS_LIMIT = 100
"""Denials of one caller that are recorded one by one within a minute of the clock."""


class Denials:
    """
    The denials of all callers within the present minute. Not safe for threads: it belongs to the event loop.

    Its size is bounded by the number of callers, whose names are the operator's.
    """

    def __init__(self) -> None:
        self._minute: datetime | None = None
        self._recorded: Counter[str] = Counter()
        self._counts: dict[str, Counter[str]] = {}
        self._ended: list[tuple[str, Counter[str]]] = []

    def note(self, caller_name: str, reason: str, now: datetime) -> bool:
        """
        One more denial. Returns whether it gets a record of its own; otherwise it was counted.

        Args:
            reason: A reason code and so one of few.
            now: An aware UTC instant.
        """
        self._turn(now)
        if self._recorded[caller_name] < DENIALS_LIMIT:
            self._recorded[caller_name] += 1
            return True
        self._counts.setdefault(caller_name, Counter())[reason] += 1
        return False

    def take(self, now: datetime, *, present_minute_too: bool = False) -> list[Event]:
        """
        An event `denials.summarised` for each caller and minute that has ended, which is forgotten then.

        Call it soon after each minute's end, and with `present_minute_too` before the journal is closed.
        """
        self._turn(now)
        if present_minute_too:
            self._end_minute()
        ended, self._ended = self._ended, []
        at = render_instant(now)
        return [
            {"at": at, "tag": Tag.DENIALS_SUMMARISED, "counts": dict(sorted(counts.items())), "caller": caller_name}
            for caller_name, counts in ended
        ]

    def _turn(self, now: datetime) -> None:
        minute = _minute_of(now)
        if minute != self._minute:
            self._minute = minute
            self._recorded.clear()
            self._end_minute()

    def _end_minute(self) -> None:
        self._ended += sorted(self._counts.items())
        self._counts = {}

    def __repr__(self) -> str:
        total = sum(sum(by_reason.values()) for by_reason in self._counts.values())
        return f"<Denials: {len(self._recorded)} callers, {total} counted and not recorded>"


def find_seconds_left(now: datetime) -> int:
    """
    Whole seconds until the minute's end, 1 to 60: when the next denial is recorded again.
    """
    left = _minute_of(now) + timedelta(minutes=1) - now
    return math.ceil(left.total_seconds())


def _minute_of(instant: datetime) -> datetime:
    return instant.replace(second=0, microsecond=0)
