"""
The hash method as text: the pair, the server's time, the reply to an expired pair.
"""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
from typing import Any

import pytest

from gateway.noojee.hash_pair import HashPair, parse_time, tells_expired_pair
from gateway.secret import Secret

KEY = "00000000-0000-0000-0000-000000000000"
TIME_STAMP = 1700000000000
# Our own vector, from the documented rule: the vendor's samples cannot be checked (they never show the key).
DIGEST = "039572e33ecaa7c1ce6b16f43484f4dccb8410afda83324a9765a064babd0814"
EXPIRED = {"Message": "Expired TimeStamp", "Code": -1}


def test_a_pair_is_the_vector_of_the_reference() -> None:
    """
    SHA-256 over key, colon and number, in lower-case hexadecimal, under the names that Noojee reads.
    """
    pair = HashPair(Secret(KEY), TIME_STAMP)

    assert f"timeStamp={TIME_STAMP}&hash={DIGEST}".encode() == pair.reveal_query()
    assert DIGEST == hashlib.sha256(f"{KEY}:{TIME_STAMP}".encode()).hexdigest()


def test_a_pair_shows_itself_nowhere() -> None:
    """
    It opens everything for an hour: no printable form, no pickle, no copy, no key of a dictionary.
    """
    pair = HashPair(Secret(KEY), TIME_STAMP)

    shown = [repr(pair), str(pair), f"{pair}", f"{pair!r:>40}", "%s" % pair, repr([pair])]  # noqa: UP031  # one more way
    assert not [text for text in shown if DIGEST in text or str(TIME_STAMP) in text or KEY in text]
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            attempt(pair)
    with pytest.raises(TypeError, match="unhashable"):
        hash(pair)
    with pytest.raises(TypeError):
        json.dumps(pair)


def test_pairs_are_equal_when_their_texts_are() -> None:
    """
    Another key or another time is another pair.
    """
    pair = HashPair(Secret(KEY), TIME_STAMP)

    assert pair == HashPair(Secret(KEY), TIME_STAMP)
    assert pair != HashPair(Secret(KEY), TIME_STAMP + 1)
    assert pair != HashPair(Secret("other"), TIME_STAMP)
    assert pair != "HashPair(...)"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"1700000000000", TIME_STAMP),
        (b"1700000000000\n", TIME_STAMP),
        (b"1700000000000\r\n", TIME_STAMP),
        (b"0", 0),
        (b"999999999999999", 999_999_999_999_999),
    ],
)
def test_time_is_one_number(body: bytes, expected: int) -> None:
    """
    ASCII digits, up to fifteen, and a newline at most.
    """
    assert expected == parse_time(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b" 1700000000000",
        b"1700000000000 ",
        b"1700000000000\n\n",
        b"1700000000000\r",
        b"+1700000000000",
        b"-1",
        b"01700000000000",
        b"1700000000000.0",
        b"1.7e12",
        b"1_700_000_000_000",
        b"0x18bcfe56800",
        b'"1700000000000"',
        b"1700000000000,1700000000000",
        b"1000000000000000",
        b"9" * 5000,
        "１７００００００００００".encode(),  # noqa: RUF001  # full-width digits, which int() reads
        b"\xef\xbb\xbf1700000000000",
        b'{"Code": 0}',
        b"<html>",
    ],
)
def test_what_is_no_number_is_no_time(body: bytes) -> None:
    """
    Refused without repeating it: what came instead may hold anything.
    """
    with pytest.raises(ValueError, match=r"\ANoojee's reply to Time is not one number of milliseconds\Z"):
        parse_time(body)


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(EXPIRED).encode(),
        b'{"Code":-1,"Message":"Expired TimeStamp"}',
        b'\r\n { "Message" : "Expired TimeStamp" , "Code" : -1 } \n',
        b'{"Code":-1,"Message":"Expired\\u0020TimeStamp"}',
    ],
)
def test_the_documented_reply_tells_an_expired_pair(body: bytes) -> None:
    """
    The two members in any order, and JSON's own freedom of spelling.
    """
    assert tells_expired_pair(body)


NEARLY: list[Any] = [
    {},
    [],
    [EXPIRED],
    None,
    -1,
    {"Code": -1},
    {"Message": "Expired TimeStamp"},
    {**EXPIRED, "SessionID": 42},
    {**EXPIRED, "Code": 0},
    {**EXPIRED, "Code": -2},
    {**EXPIRED, "Code": 1},
    {**EXPIRED, "Code": "-1"},
    {**EXPIRED, "Code": -1.0},
    {**EXPIRED, "Code": True},
    {**EXPIRED, "Code": None},
    {**EXPIRED, "Code": [-1]},
    {**EXPIRED, "Message": "expired timestamp"},
    {**EXPIRED, "Message": "Expired TimeStamp."},
    {**EXPIRED, "Message": " Expired TimeStamp"},
    {**EXPIRED, "Message": None},
    {"code": -1, "message": "Expired TimeStamp"},
    {"code": -1, "Message": "Expired TimeStamp"},
    {"data": EXPIRED},
]


@pytest.mark.parametrize(
    "body",
    [
        *(json.dumps(value).encode() for value in NEARLY),
        b"",
        b'{"Code":-1,"Message":"Expired TimeStamp"',
        b'{"Code":-1,"Message":"Expired TimeStamp"}{}',
        b'{"Code":0,"Code":-1,"Message":"Expired TimeStamp"}',
        b'{"Code":-1,"Code":-1,"Message":"Expired TimeStamp"}',
        b'{"Code":-1,"Message":"","Message":"Expired TimeStamp"}',
        b'\xef\xbb\xbf{"Code":-1,"Message":"Expired TimeStamp"}',
        json.dumps(EXPIRED).encode("utf-16"),
        b"[" * 60_000,
        b'{"Code":-1,"Message":"Expired TimeStamp","x":' + b"[" * 60_000,
        b"Expired TimeStamp",
    ],
)
def test_what_is_nearly_that_reply_is_another(body: bytes) -> None:
    """
    A call must not go twice for anything else.
    """
    assert not tells_expired_pair(body)
