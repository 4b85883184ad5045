"""
Noojee's clock beside ours, from the reply to `Time`; and what it means for the hash method.

A hash pair is made of Noojee's time and never of ours, so a clock of ours that is wrong breaks no call; it makes the
journal's instants differ from Noojee's records. Clocks of Noojee's that differ among themselves do break calls.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from gateway.access.upstream import AuthMethod
from gateway.diagnosis.finding import Check, Finding
from gateway.diagnosis.whitelist import find_time

if TYPE_CHECKING:
    from gateway.access.upstream import Upstream
    from gateway.diagnosis.attempt import Answered

__all__ = ["find_skew_seconds", "tell_clock", "tell_expired"]

_TOLERATED_SECONDS = 10.0


def find_skew_seconds(answer: Answered, now: datetime) -> float | None:
    """
    How far Noojee's clock is ahead of ours, give or take half of the way there and back; None when it told no time.

    Args:
        now: When the reply was there.
    """
    milliseconds = find_time(answer)
    if milliseconds is None:
        return None
    told_at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)
    return (told_at - now).total_seconds() + (answer.answered_at - answer.asked_at) / 2


def tell_clock(upstream: Upstream, skew_seconds: float | None) -> Finding:
    """
    What the reply to `Time` says of both clocks.
    """
    if skew_seconds is None:
        if upstream.auth is AuthMethod.HASH:
            return Finding(
                Check.CLOCK,
                False,
                f"{upstream.name}: Noojee did not tell its time, which the hash method needs.",
                "See what the white-list check says of its answer. An Administrator from 4.9.0.10 on takes keys as "
                f"they are: `noojee-gateway upstream set {upstream.name} --auth api-key`.",
            )
        return Finding(Check.CLOCK, None, f"{upstream.name}: Noojee did not tell its time.")
    direction = "ahead of" if skew_seconds > 0 else "behind"
    detail = f"{upstream.name}: Noojee's clock is {abs(skew_seconds):.1f} s {direction} ours."
    if abs(skew_seconds) <= _TOLERATED_SECONDS:
        return Finding(Check.CLOCK, True, detail)
    return Finding(
        Check.CLOCK,
        True,
        detail,
        "Synchronise this machine's clock (NTP); if it is right, ask Noojee's administrator to look at theirs. Until "
        "then the journal's instants and Noojee's differ by that much; calls go on, the hash method too.",
    )


def tell_expired(upstream: Upstream) -> Finding:
    """
    A pair that was made of a time told a moment ago was called expired.
    """
    return Finding(
        Check.CLOCK,
        False,
        f"{upstream.name}: Noojee told its time, and called a hash pair made of it expired at once.",
        "Its own clocks differ, as when several servers answer under one name, or its clock was just set: ask Noojee's "
        "administrator to synchronise them (NTP).",
    )
