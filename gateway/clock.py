"""
Time and identifiers made of time: words that import nothing of ours.

Everything that needs the time is handed a `Clock`, so that tests can stand at any instant without sleeping.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock", "create_request_id", "render_instant"]


_RANDOM_BYTES = 10
"""Of a request id: 18 of their 20 digits are used, and half of one more."""

_BATCH = 256
"""Request ids whose random digits are drawn by one system call."""

_VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""The digit that holds a UUID's variant, 10 in binary, and two random bits."""


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
    # A third of what strftime takes and half of what an f-string does; and years before 1000 have four digits.
    return "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ" % (  # noqa: UP031 - see above
        instant.year,
        instant.month,
        instant.day,
        instant.hour,
        instant.minute,
        instant.second,
        instant.microsecond,
    )


def create_request_id() -> str:
    """
    A new UUIDv7 (RFC 9562 section 5.7) as 36 characters: 48 bits of Unix milliseconds, then 74 random bits.

    Sorts by time, to the millisecond, and nobody can guess the next one. Safe for threads, and in a forked child.
    """
    time_digits = f"{time.time_ns() // 1_000_000:012x}"
    random_digits = _draw_digits()
    variant = _VARIANTS[random_digits[18]]
    return (
        f"{time_digits[:8]}-{time_digits[8:]}-7{random_digits[:3]}-{variant}{random_digits[3:6]}-{random_digits[6:18]}"
    )


_drawn: list[str] = []
os.register_at_fork(after_in_child=_drawn.clear)


def _draw_digits() -> str:
    """
    The hexadecimal digits of fresh random bytes, each given once.
    """
    try:
        return _drawn.pop()
    except IndexError:
        digits = os.urandom(_RANDOM_BYTES * _BATCH).hex()
        size = 2 * _RANDOM_BYTES
        # The first is this caller's own: another thread may empty the list at once.
        _drawn.extend(digits[at : at + size] for at in range(size, len(digits), size))
        return digits[:size]
