"""
Time and identifiers made of time: words that import nothing of ours.

Everything that needs the time is handed a `Clock`, so that tests can stand at any instant without sleeping.
"""

from __future__ import annotations

import secrets
import time
import uuid
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock", "create_request_id", "render_instant"]


class Clock(Protocol):
    """
    What tells the time. Both methods are safe to call from any thread.
    """

    def now(self) -> datetime:
        """
        The present instant, an aware datetime in UTC.
        """
        ...

    def monotonic(self) -> float:
        """
        Seconds from an arbitrary start; never goes backwards. For durations and deadlines.
        """
        ...


class SystemClock:
    """
    The machine's own clock.
    """

    def now(self) -> datetime:
        """
        The present instant in UTC.
        """
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """
        Seconds of the monotonic clock.
        """
        return time.monotonic()


def render_instant(instant: datetime) -> str:
    """
    An aware UTC datetime as RFC 3339 text with microseconds and `Z`: `2026-05-03T09:15:00.000001Z`.
    """
    return instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def create_request_id() -> str:
    """
    A new UUIDv7 (RFC 9562 section 5.7) as 36 characters: 48 bits of Unix milliseconds, then 74 random bits.

    Sorts by time, and nobody can guess the next one.
    """
    milliseconds = time.time_ns() // 1_000_000
    number = (milliseconds << 80) | secrets.randbits(80)
    number = (number & ~(0xF << 76)) | (0x7 << 76)  # version 7
    number = (number & ~(0x3 << 62)) | (0x2 << 62)  # variant 10
    return str(uuid.UUID(int=number))
