"""
How long a hash pair may be used: rules on instants, without clock, key or connection.

What is documented: a pair must be used within 10 seconds of its timestamp, and once used successfully it is good for an
hour and for any method; an older page knows the 10 seconds alone. So a pair is *fresh* first, and *accepted* once a
call with it has succeeded. Both ages are counted from the sending of `Time`, before the server looked at its clock, so
that we always end earlier than it does.

A poll that is held for a minute proves nothing until its reply is there. Until then its pair is fresh, and ten seconds
old it is given to nobody any more; another takes its place. When the poll's reply proves the older pair after all, and
the newer is not proven, the older takes the place back: else pollers alone would shake hands for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from gateway.access.credential import Credential
    from gateway.noojee.hash_pair import HashPair

__all__ = ["FIRST_USE_SECONDS", "LONGEST_LIFETIME_SECONDS", "HeldPair", "PairBook"]

FIRST_USE_SECONDS = 10.0
"""Vendor's authentication page: within 10 seconds of the timestamp."""

LONGEST_LIFETIME_SECONDS = 3600.0
"""The same page: an hour once it was used successfully."""

_LONGEST_MARGIN_SECONDS = 60.0
_MARGIN_SHARE = 10


@dataclass(slots=True, eq=False)
class HeldPair:
    """
    A pair and what is known of it.

    Attributes:
        asked_at: Monotonic seconds at which `Time` was about to be sent.
        is_accepted: Whether a call with it has succeeded.
        is_dropped: Whether Noojee called it expired, or turned it away later on.
    """

    pair: HashPair
    asked_at: float
    is_accepted: bool = False
    is_dropped: bool = False


class PairBook:
    """
    The pair in use for each credential.

    The whole credential is the key: a rotated key, or an upstream that changed, is another credential with no pair yet.

    Args:
        lifetime_seconds: How long an accepted pair is good: an hour, less for an older Noojee.
    """

    def __init__(self, lifetime_seconds: float) -> None:
        self._lifetime_seconds = lifetime_seconds
        self._pairs: dict[Credential, HeldPair] = {}

    def find(self, credential: Credential, now: float) -> HeldPair | None:
        """
        The pair to use now, unless there is none or its end is nearer than a margin: the call has yet to get there.
        """
        held = self._pairs.get(credential)
        if held is None:
            return None
        length = self._length(held)
        margin = min(length / _MARGIN_SHARE, _LONGEST_MARGIN_SECONDS)
        return held if now < held.asked_at + length - margin else None

    def ends_at(self, held: HeldPair) -> float:
        """
        The monotonic second at which a call with this pair must have been handed to a connection.
        """
        return held.asked_at + self._length(held)

    def add(self, credential: Credential, held: HeldPair) -> None:
        """
        A new pair takes the place of whatever was there.
        """
        self._pairs[credential] = held

    def accept(self, credential: Credential, held: HeldPair) -> None:
        """
        A call with this pair has succeeded.
        """
        held.is_accepted = True
        current = self._pairs.get(credential)
        if current is not None and not current.is_accepted and not held.is_dropped:
            self._pairs[credential] = held

    def drop(self, credential: Credential, held: HeldPair) -> None:
        """
        Use this pair no more; a newer one stays.
        """
        held.is_dropped = True
        if self._pairs.get(credential) is held:
            del self._pairs[credential]

    def keep(self, credentials: AbstractSet[Credential]) -> None:
        """
        Forget the pairs of all others.
        """
        self._pairs = {each: held for each, held in self._pairs.items() if each in credentials}

    def _length(self, held: HeldPair) -> float:
        longest = LONGEST_LIFETIME_SECONDS if held.is_accepted else FIRST_USE_SECONDS
        return min(longest, self._lifetime_seconds)

    def __repr__(self) -> str:
        return f"<PairBook with {len(self._pairs)} pairs>"
