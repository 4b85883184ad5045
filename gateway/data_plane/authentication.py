"""
From the text that a caller presents to the caller it stands for, and nothing about what that caller may do.

Unknown, expired, revoked, of a disabled caller: one look-up that finds nothing and one answer, the same bytes. A Noojee
key presented to us gets the same answer whether we hold it or not; only the journal's event tells (law 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.access.token import digest_token, has_upstream_key_form, is_well_formed
from gateway.data_plane.carriers import Carrier, Presented, find_presented
from gateway.errors import CallerError, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from gateway.access.caller import Caller
    from gateway.access.snapshot import Snapshot
    from gateway.access.token import Token
    from gateway.data_plane.headers import Headers

__all__ = ["Authenticator", "Standing", "renew"]


_KEPT_LIMIT = 4096
"""How many tokens' standings are kept at once; those that call often come back at once."""


class Standing(NamedTuple):
    """
    Who calls, and by which version of the registry that was found.

    Attributes:
        digest: Of the token's text: what the next snapshot is asked with.
        in_query: Whether the token stands in the query, in a header or not.
    """

    snapshot: Snapshot
    digest: bytes
    token: Token
    caller: Caller
    carrier: Carrier
    in_query: bool


class Authenticator:
    """
    Reads carriers and looks tokens up.

    Args:
        fingerprint: Keyed mark of a text, to recognise an API key that we hold.
        key_presented: Called with the credential's name (None where we hold no such key), the carrier, the peer and the
            client when a text is a Noojee key by its form or is one that we hold, once a request. Never gets the text.
    """

    def __init__(
        self,
        *,
        fingerprint: Callable[[str], bytes],
        key_presented: Callable[[str | None, Carrier, str, str | None], None],
    ) -> None:
        self._fingerprint = fingerprint
        self._key_presented = key_presented
        self._snapshot: Snapshot | None = None
        self._standings: dict[bytes, Standing] = {}

    def authenticate(
        self,
        snapshot: Snapshot,
        headers: Headers,
        query: bytes,
        peer: str,
        now: datetime,
        client: str | None = None,
    ) -> Standing:
        """
        The standing of whoever presents these headers and this query.

        Args:
            client: The caller's own address, where the peer is a trusted proxy that told it.

        Raises:
            CallerError: `token_missing`, `upstream_key_presented` (told before ambiguity), `token_ambiguous`,
                `token_malformed`, `token_invalid`.
        """
        presented = find_presented(headers, query)
        if not presented:
            raise CallerError(Reason.TOKEN_MISSING)
        if len(presented) == 1:
            # Nearly every call: one text, and it is a token in force. What the map has is well-formed and no key.
            text, carrier = presented[0]
            digest = digest_token(text)
            if digest in snapshot.tokens:
                return self._recall(snapshot, digest, carrier, now)
        self._notice_keys(snapshot, presented, peer, client)
        if any(has_upstream_key_form(each.text) for each in presented):
            raise CallerError(Reason.UPSTREAM_KEY_PRESENTED)
        text, carrier = presented[0].text, presented[0].carrier
        if any(each.text != text for each in presented):
            raise CallerError(Reason.TOKEN_AMBIGUOUS)
        if not is_well_formed(text):
            raise CallerError(Reason.TOKEN_MALFORMED)
        digest = digest_token(text)
        in_query = any(each.carrier is Carrier.QUERY for each in presented)
        return _find_standing(snapshot, digest, carrier, now, in_query=in_query)

    def forget(self) -> None:
        """
        Keep nothing of what was found. To be called whenever a change is in force.

        Tokens change one after the other while the snapshot that they belong to is in force already, so what was found
        meanwhile may be of before.
        """
        self._standings.clear()

    def _recall(self, snapshot: Snapshot, digest: bytes, carrier: Carrier, now: datetime) -> Standing:
        """
        `_find_standing` for a text that stands alone, kept for as long as its snapshot is in force; all but its expiry.
        """
        if snapshot is not self._snapshot or len(self._standings) > _KEPT_LIMIT:
            self._standings.clear()
            self._snapshot = snapshot
        standing = self._standings.get(digest)
        if standing is None or standing.carrier is not carrier or standing.token.is_expired(now):
            standing = _find_standing(snapshot, digest, carrier, now, in_query=carrier is Carrier.QUERY)
            self._standings[digest] = standing
        return standing

    def _notice_keys(self, snapshot: Snapshot, presented: Sequence[Presented], peer: str, client: str | None) -> None:
        """
        Tell of one sighting a request: rather of a key that we hold than of what only looks like one.

        Otherwise the first could be hidden behind the second, because there is one event a minute.
        """
        sightings = []
        for each in presented:
            if is_well_formed(each.text):
                continue
            held_as = snapshot.fingerprints.get(self._fingerprint(each.text))
            if held_as is not None or has_upstream_key_form(each.text):
                sightings.append((held_as, each.carrier))
        if sightings:
            held_as, carrier = next((each for each in sightings if each[0] is not None), sightings[0])
            self._key_presented(held_as, carrier, peer, client)


def renew(standing: Standing, snapshot: Snapshot, now: datetime) -> Standing:
    """
    The same caller by a newer snapshot: a token revoked while its body was on the way is not used any more.

    Raises:
        CallerError: `token_invalid`.
    """
    return _find_standing(snapshot, standing.digest, standing.carrier, now, in_query=standing.in_query)


def _find_standing(snapshot: Snapshot, digest: bytes, carrier: Carrier, now: datetime, *, in_query: bool) -> Standing:
    token = snapshot.tokens.get(digest)
    caller = snapshot.callers.get(token.caller_name) if token is not None else None
    if token is None or caller is None or token.is_expired(now):
        raise CallerError(Reason.TOKEN_INVALID)
    return Standing(snapshot, digest, token, caller, carrier, in_query)
