"""
The hash method: the server's time, and which `timeStamp` and `hash` are good at an instant.

The documented rules: the hash is the hexadecimal SHA-256 of key, colon and timestamp; a pair must be used within 10
seconds of its timestamp; once used successfully it is good for 1 hour and for any method; at most 5 authentication
attempts run at once. Computed here by itself, so that a wrong reading elsewhere cannot prove itself.

Our reading of what is left open: "used successfully" means that the hash belonged to a key that may call the operation;
the hour begins with that use; an attempt runs from the answer to `Time` until a pair of that timestamp was used
successfully, or has become too old; a timestamp from the future is too old.
"""

from __future__ import annotations

import hashlib
import re
import time
from typing import TYPE_CHECKING, Any

from gateway.simulator.messages import EXPIRED, RefusalError, render_now

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FIRST_USE_SECONDS", "LIFETIME_SECONDS", "HashPairs", "compute_hash"]

FIRST_USE_SECONDS = 10.0
LIFETIME_SECONDS = 3600.0

_MOST_ATTEMPTS = 5
_NUMBER = re.compile(r"[0-9]{1,15}")


class HashPairs:
    """
    What the server remembers of times told and pairs used.

    Args:
        first_use_seconds: How old a timestamp may be when its pair is first used.
        lifetime_seconds: How long a pair is good after its first use.
        now: Seconds since 1970, the server's clock.
    """

    def __init__(
        self,
        first_use_seconds: float = FIRST_USE_SECONDS,
        lifetime_seconds: float = LIFETIME_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._first_use_seconds = first_use_seconds
        self._lifetime_seconds = lifetime_seconds
        self._now = now
        self._attempts: list[int] = []
        self._used: dict[str, _Use] = {}
        self._ended_before = 0

    def __repr__(self) -> str:
        return f"<HashPairs {len(self._attempts)} attempts, {len(self._used)} pairs used>"

    def tell_time(self) -> int:
        """
        Milliseconds since 1970; an authentication attempt begins.

        Raises:
            RefusalError: 429 while five others run.
        """
        now = self._milliseconds()
        self._attempts = [begun for begun in self._attempts if not self._is_past_first_use(begun, now)]
        if len(self._attempts) >= _MOST_ATTEMPTS:
            raise RefusalError(429, "Too many concurrent authentication attempts")
        self._attempts.append(now)
        return now

    def check(self, time_stamp: str, digest: str) -> None:
        """
        Whether a pair whose hash belongs to a key is good now.

        Raises:
            RefusalError: 400 for a timestamp that is no number; 200 with `Code` -1 for a pair that has expired.
        """
        if not _NUMBER.fullmatch(time_stamp):
            raise RefusalError(400, "Parameter timeStamp is not a number")
        number, now = int(time_stamp), self._milliseconds()
        use = self._used.get(digest)
        if use is None:
            expired = number > now or self._is_past_first_use(number, now)
        else:
            expired = now - use.first_at >= self._lifetime_seconds * 1000
        if expired or number < self._ended_before:
            raise RefusalError(200, "Expired TimeStamp", EXPIRED)

    def note_use(self, time_stamp: str, digest: str, holder: str) -> None:
        """
        A pair that was good was used successfully: its hour begins with the first time, and its attempt is over.
        """
        if digest not in self._used:
            self._used[digest] = _Use(holder, self._milliseconds())
        if int(time_stamp) in self._attempts:
            self._attempts.remove(int(time_stamp))

    def render(self) -> list[dict[str, Any]]:
        """
        The pairs that were used, oldest first, without their texts.
        """
        return [{"holder": use.holder, "at": use.at} for use in self._used.values()]

    def expire(self) -> None:
        """
        End every pair of a time that was told until now, as a restart of the server might.
        """
        self._used.clear()
        self._ended_before = self._milliseconds()

    def _milliseconds(self) -> int:
        return int(self._now() * 1000)

    def _is_past_first_use(self, time_stamp: int, now: int) -> bool:
        return now - time_stamp > self._first_use_seconds * 1000


class _Use:
    """
    The first successful use of a pair.
    """

    def __init__(self, holder: str, first_at: int) -> None:
        self.holder = holder
        self.first_at = first_at
        self.at = render_now()


def compute_hash(key: str, time_stamp: str) -> str:
    """
    The `hash` of a key at a timestamp.
    """
    return hashlib.sha256(f"{key}:{time_stamp}".encode()).hexdigest()
