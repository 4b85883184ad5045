"""
A length of time as text: `30s`, `5m`, `24h`, `90d`.

One form for settings and for the command line; whatever else is refused rather than guessed, since `10` could be
seconds or days.
"""

from __future__ import annotations

import re
from datetime import timedelta

__all__ = ["parse_duration", "render_duration"]

_FORM = re.compile(r"([0-9]{1,9})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST = timedelta(days=36_500)  # a hundred years: more is a slip, and would overflow when added to an instant


def parse_duration(text: str) -> timedelta:
    """
    `30s`, `5m`, `24h` or `90d` -> the length of time. ASCII digits, no space, no sign, no fraction.

    Raises:
        ValueError: With a sentence that does not repeat the text.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError("write a whole number and s, m, h or d, as in 30s, 5m, 24h or 90d")
    duration = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if duration > _LONGEST:
        raise ValueError("write at most 36500d")
    return duration


def render_duration(duration: timedelta) -> str:
    """
    The shortest text that `parse_duration` reads back, for a whole number of seconds.
    """
    seconds = round(duration.total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
