"""
The hash method of Administrator before 4.9.0.10 as text: the server's time, the pair of it, the reply to an old one.

Source: the vendor's authentication page (HASH method); the reply to an expired pair stands on older versions of the
hangup page. When a pair may be used is `upstream.pair_book`'s to know.

Law 3: a pair opens everything that its key opens, for an hour. It is a type without a printable form.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from gateway.secret import Secret

if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["EXPIRED_CODE", "HashPair", "parse_time", "tells_expired_pair"]

EXPIRED_CODE = -1
"""The one negative `Code` whose meaning is documented."""

_EXPIRED_MESSAGE = "Expired TimeStamp"
# Milliseconds since 1970, 13 digits in our days. Sent back as the server wrote it, so a leading zero would have to be
# kept: nobody writes one, and what has one is no number of milliseconds.
_TIME = re.compile(rb"(0|[1-9][0-9]{0,14})(?:\r?\n)?")


class HashPair:
    """
    `timeStamp` and `hash`, which stand in the query in place of `apiKey`.

    Two pairs are equal when their texts are. Like a `Secret`, a pair has no hash and is not pickled.

    Args:
        key: The API key.
        time_stamp: From `parse_time`.
    """

    __slots__ = ("_query",)

    def __init__(self, key: Secret, time_stamp: int) -> None:
        # The vendor's sha256Hex over key, one colon and the number; neither path nor parameters are covered.
        digest = hashlib.sha256(f"{key.reveal()}:{time_stamp}".encode()).hexdigest()
        self._query = Secret(f"timeStamp={time_stamp}&hash={digest}")

    def reveal_query(self) -> bytes:
        """
        What goes first in the query of a call: for the wire alone.
        """
        return self._query.reveal().encode("ascii")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HashPair):
            return NotImplemented
        return self._query == other._query

    __hash__ = None  # type: ignore[assignment]  # as Secret's: it can be no key of a dictionary that someone prints

    def __repr__(self) -> str:
        return "HashPair(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a HashPair is not pickled or copied")


def parse_time(body: bytes) -> int:
    """
    The reply to `Time`: one whole number of milliseconds in ASCII digits, nothing else but a newline.

    Raises:
        ValueError: It is anything else; the text does not repeat it.
    """
    found = _TIME.fullmatch(body)
    if found is None:
        raise ValueError("Noojee's reply to Time is not one number of milliseconds")
    return int(found[1])


def tells_expired_pair(body: bytes) -> bool:
    """
    Whether a complete reply is a JSON object of exactly `"Code": -1` and `"Message": "Expired TimeStamp"` (law 2).

    Exactly: these two members and no other, none of them twice, the code a whole number and no text. What is nearly
    this may mean something else, and a call must not go twice because of it.
    """
    try:
        pairs = json.loads(body.decode("ascii"), object_pairs_hook=_Members)
    except (ValueError, RecursionError):
        return False
    if not isinstance(pairs, _Members) or len(pairs) != 2:  # noqa: PLR2004  # the two members
        return False
    members = dict(pairs)
    return type(members.get("Code")) is int and members == {"Code": EXPIRED_CODE, "Message": _EXPIRED_MESSAGE}


class _Members(list[tuple[str, object]]):
    """
    The members of a JSON object as they stand, repeated names and all.
    """
