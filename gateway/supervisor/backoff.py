"""
How long a process that died is left dead.
"""

from __future__ import annotations

__all__ = ["Backoff"]

_SECOND_SECONDS = 1.0
_LONGEST_SECONDS = 30.0
_STEADY_SECONDS = 60.0
"""Who lived so long is no part of a row of deaths."""


class Backoff:
    """
    The pauses in a row of deaths: a first one, then 1, 2, 4, 8, 16 and 30 s, so that a crash loop cannot spin.

    Args:
        first_seconds: The first pause; 0 starts at once.
    """

    def __init__(self, first_seconds: float) -> None:
        self._first_seconds = first_seconds
        self._next_seconds = first_seconds

    def find_pause(self, lived_seconds: float) -> float:
        """
        Seconds to wait after a death.

        Args:
            lived_seconds: From start to death.
        """
        if lived_seconds >= _STEADY_SECONDS:
            self._next_seconds = self._first_seconds
        pause = self._next_seconds
        self._next_seconds = min(max(2 * pause, _SECOND_SECONDS), _LONGEST_SECONDS)
        return pause
