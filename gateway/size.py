"""
A size as text: `512KiB`, `64MiB`, `2GiB`.

One form, as with durations: whatever else is refused rather than guessed, since `64M` has been both a million and 2^20.
"""

from __future__ import annotations

import re

__all__ = ["parse_size", "render_size"]

_FORM = re.compile(r"([0-9]{1,6})(KiB|MiB|GiB)")
_UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def parse_size(text: str) -> int:
    """
    `512KiB`, `64MiB` or `2GiB` -> bytes. ASCII digits, no space, no sign, no fraction.

    Raises:
        ValueError: With a sentence that does not repeat the text.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError("write a whole number and KiB, MiB or GiB, as in 512KiB, 64MiB or 2GiB")
    return int(found[1]) * _UNITS[found[2]]


def render_size(size_bytes: int) -> str:
    """
    The shortest text that `parse_size` reads back, for a whole number of KiB; rounded down to one otherwise.
    """
    for unit in ("GiB", "MiB"):
        if size_bytes and size_bytes % _UNITS[unit] == 0:
            return f"{size_bytes // _UNITS[unit]}{unit}"
    return f"{size_bytes // 1024}KiB"
