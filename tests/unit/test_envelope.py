"""
What a complete reply says became of the call.
"""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.noojee.catalogue import load_catalogue
from gateway.noojee.envelope import find_code, is_whole_json, judge
from gateway.outcome import Outcome

LEAD = "CampaignAPI/insertLeadFast"
LIST = "CampaignAPI/getCampaignList"
STOP = "CallManagementAPI/stop"


@pytest.mark.parametrize(
    ("name", "status", "code", "expected", "why"),
    [
        (STOP, 200, None, Outcome.SUCCEEDED, "no code at all"),
        (STOP, 200, 0, Outcome.SUCCEEDED, "success"),
        (STOP, 204, None, Outcome.SUCCEEDED, "any 2xx"),
        (STOP, 200, 7, Outcome.SUCCEEDED, "a positive code is a notice"),
        (STOP, 200, -1, Outcome.REFUSED, "a negative one is an error"),
        (STOP, 200, -0.5, Outcome.REFUSED, "also where it cannot be told exactly"),
        (STOP, 200, 105, Outcome.SUCCEEDED, "101-110 are errors of lead calls alone"),
        (LIST, 200, 105, Outcome.SUCCEEDED, "a CampaignAPI read is none"),
        (LEAD, 200, 100, Outcome.SUCCEEDED, "below the errors"),
        (LEAD, 200, 101, Outcome.REFUSED, "the first"),
        (LEAD, 200, 110, Outcome.REFUSED, "the last"),
        (LEAD, 200, 111, Outcome.SUCCEEDED, "above"),
        (STOP, 301, None, Outcome.FAILED, "a redirect is never followed"),
        (STOP, 304, None, Outcome.FAILED, "nor is this an answer to a POST"),
        (STOP, 400, 0, Outcome.REFUSED, "whatever its code says"),
        (STOP, 404, None, Outcome.REFUSED, "any 4xx"),
        (LEAD, 400, 105, Outcome.REFUSED, "as documented"),
        (STOP, 500, 0, Outcome.FAILED, "whatever its code says"),
        (STOP, 503, -1, Outcome.FAILED, "any 5xx"),
        (STOP, 799, None, Outcome.FAILED, "what is no status"),
    ],
)
def test_status_and_code_decide(name: str, status: int, code: float | None, expected: Outcome, why: str) -> None:
    """
    The status first; in a 2xx reply the code (contract section 5).
    """
    operation = load_catalogue().find_by_name(name)

    assert operation is not None
    assert expected is judge(operation, status, code), why


@pytest.mark.parametrize(
    ("body", "expected", "why"),
    [
        (b'{"Message":"Ok","Code":0}', 0, "capitalised"),
        (b'{"code":105,"message":"DUPLICATE"}', 105, "lower case"),
        (b' \r\n\t{"Code":-1}', -1, "white space in front"),
        (b'\xef\xbb\xbf{"Code":-4}', -4, "a byte order mark in front"),
        (b'{"Code":-0.5}', -0.5, "a negative one that is no whole number"),
        (b'{"Code":-99999999999999999999999999}', -1e26, "a negative one beyond what is exact"),
        (b'{"Code":"-12345678901.5"}', -12345678901.5, "the same as text"),
        (b'{"a":NaN,"Code":-4}', -4, "what gson writes and JSON does not know"),
        (b'{"Code":0.5}', None, "a positive one that is no code"),
        (b'{"Code":"-7"}', -7, "as text"),
        (b'{"Code":" 3 "}', 3, "with spaces"),
        (b'{"Code":-1.0}', -1, "a number is a number"),
        (b'{"Code":1.5}', None, "no integer"),
        (b'{"Code":1e300}', None, "too large to say"),
        (b'{"Code":-1e300}', -1e300, "too large to say, and an error all the same"),
        (b'{"Code":true}', None, "no number"),
        (b'{"Code":null}', None, "no number"),
        (b'{"Code":"x"}', None, "no number"),
        (b'{"Code":"\xef\xbc\x91"}', None, "a digit of another script"),
        (b'{"Code":[1]}', None, "no number"),
        (b'{"Code":0,"code":-2}', -2, "the worse of two"),
        (b'{"Code":-2,"code":0}', -2, "in either place"),
        (b'{"Code":0,"code":105}', 105, "a positive one is worse than none"),
        (b'{"CODE":-1}', None, "another name"),
        (b'{"Data":{"Code":-1}}', None, "not at the top"),
        (b'[{"Code":-1}]', None, "an array has none"),
        (b'{"Message":"Gel\xf6scht","Code":-1}', -1, "ISO-8859-1, as a servlet writes it by itself"),
        (b'{"Message":"\xff","Code":-1', None, "cut short"),
        (b'{"Code":-1} x', None, "trailing junk"),
        (b"-1", None, "no object"),
        (b"", None, "nothing"),
        (b"<html>", None, "no JSON"),
        (b"[" * 60_000, None, "deeper than anything is read"),
        (b'{"a":' * 10_000, None, "the same with objects"),
    ],
)
def test_a_code_is_found_where_there_is_one(body: bytes, expected: float | None, why: str) -> None:
    """
    `Code` or `code` of the reply's JSON object, a number or a number as text.
    """
    assert expected == find_code(body), why


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", True),
        (b"[]", True),
        (b'\n[{"Start":"2026"}]\n', True),
        (b'{"Message":"\xe9"}', True),
        (b"", False),
        (b"0", False),
        (b'"text"', False),
        (b"null", False),
        (b"1700000000000", False),
        (b'{"Code":0', False),
        (b'[{"Start":"2026"}', False),
        (b'{"Message":"\xe9', False),
        (b"<html></html>", False),
        (b"{}{}", False),
    ],
)
def test_only_an_object_or_array_proves_itself_whole(body: bytes, *, expected: bool) -> None:
    """
    A number or a text is whole at every length, so it proves nothing.
    """
    assert expected is is_whole_json(body)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=3), st.integers(-(2**31), 2**31)), st.integers(1, 20))
def test_a_cut_object_is_never_whole(document: dict[str, int], cut: int) -> None:
    """
    Every proper prefix of a document lacks its last bracket.
    """
    body = orjson.dumps(document)

    assert is_whole_json(body)
    assert not is_whole_json(body[: -min(cut, len(body))])


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=40), st.binary(max_size=40).map(lambda raw: b'{"Code":' + raw + b"}")))
def test_reading_a_reply_is_total(body: bytes) -> None:
    """
    Any bytes give a code that a record can hold, or none.
    """
    code = find_code(body)

    assert code is None or orjson.dumps(code)
