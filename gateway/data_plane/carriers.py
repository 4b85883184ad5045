"""
Where a caller can carry its token: what Noojee's own clients can do, so that they change only host and key.

`Authorization: Bearer`, `X-API-Key`, and `apiKey` in the query. Everything else that looks like a credential is no
carrier: it is taken out unread (law 4).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from gateway.noojee.parameters import find_query_tokens

if TYPE_CHECKING:
    from gateway.data_plane.headers import Headers

__all__ = ["Carrier", "Presented", "find_presented"]


class Carrier(StrEnum):
    """
    As it stands in the journal.
    """

    AUTHORIZATION = "authorization"
    X_API_KEY = "x-api-key"
    QUERY = "query"


class Presented(NamedTuple):
    """
    A text that a caller presented where a token can be. It may be a Noojee key, so it has no printable form.
    """

    text: str
    carrier: Carrier

    def __repr__(self) -> str:
        return f"<Presented by {self.carrier}>"


def find_presented(headers: Headers, query: bytes) -> list[Presented]:
    """
    Every text presented as a token, in the order of the carriers. Empty texts and other schemes are none.

    Args:
        headers: Values raw.
        query: Raw.
    """
    presented = []
    for value in headers.find(b"authorization"):
        scheme, _, rest = value.strip().partition(b" ")
        if scheme.lower() == b"bearer" and (text := rest.strip()):
            presented.append(Presented(text.decode("latin-1"), Carrier.AUTHORIZATION))
    keys = [text.decode("latin-1") for value in headers.find(b"x-api-key") if (text := value.strip())]
    presented += [Presented(text, Carrier.X_API_KEY) for text in keys]
    presented += [Presented(text, Carrier.QUERY) for text in find_query_tokens(query)]
    return presented
