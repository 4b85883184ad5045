"""
Where a caller can carry its token, and what is no carrier.
"""

from __future__ import annotations

import pytest

from gateway.data_plane.carriers import Carrier, Presented, find_presented
from gateway.data_plane.headers import Headers

AUTHORIZATION, X_API_KEY, QUERY = Carrier.AUTHORIZATION, Carrier.X_API_KEY, Carrier.QUERY


@pytest.mark.parametrize(
    ("headers", "query", "expected", "why"),
    [
        ([], b"", [], "nothing"),
        ([(b"authorization", b"Bearer t")], b"", [("t", AUTHORIZATION)], "Bearer"),
        ([(b"authorization", b"bEARER  t ")], b"", [("t", AUTHORIZATION)], "in any case, with more spaces"),
        ([(b"authorization", b"Bearer")], b"", [], "without a text"),
        ([(b"authorization", b"Bearer ")], b"", [], "with an empty one"),
        ([(b"authorization", b"Bearert")], b"", [], "another scheme"),
        ([(b"authorization", b"Basic dDp0")], b"", [], "Basic counts as missing"),
        ([(b"authorization", b"t")], b"", [], "no scheme"),
        ([(b"authorization", b"Bearer a b")], b"", [("a b", AUTHORIZATION)], "malformed, but presented"),
        ([(b"proxy-authorization", b"Bearer t")], b"", [], "another header"),
        ([(b"x-api-key", b"t")], b"", [("t", X_API_KEY)], "X-API-Key"),
        ([(b"x-api-key", b" ")], b"", [], "empty"),
        ([(b"x_api_key", b"t"), (b"apikey", b"t"), (b"cookie", b"apiKey=t")], b"", [], "what only looks like it"),
        ([], b"apiKey=t", [("t", QUERY)], "the query"),
        ([], b"apikey=t&hash=t&timeStamp=t", [], "other spellings and the hash pair are no carriers"),
        (
            [(b"x-api-key", b"1"), (b"authorization", b"Bearer 2"), (b"authorization", b"Bearer 3")],
            b"apiKey=4&apiKey=5",
            [("2", AUTHORIZATION), ("3", AUTHORIZATION), ("1", X_API_KEY), ("4", QUERY), ("5", QUERY)],
            "all of them, in the order of the carriers",
        ),
        ([(b"x-api-key", b"\xe9")], b"", [("é", X_API_KEY)], "what is no ASCII is malformed, but presented"),
    ],
)
def test_every_presented_text_is_found(
    headers: list[tuple[bytes, bytes]], query: bytes, expected: list[tuple[str, Carrier]], why: str
) -> None:
    """
    `Authorization: Bearer`, `X-API-Key`, and `apiKey` in the query (contract section 3).
    """
    assert expected == [(each.text, each.carrier) for each in find_presented(Headers(headers), query)], why


def test_a_presented_text_has_no_printable_form() -> None:
    """
    It may be a Noojee key.
    """
    assert "<Presented by x-api-key>" == repr(Presented("marked-0b5f1c3e", Carrier.X_API_KEY))
