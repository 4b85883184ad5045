"""
Law 9, what is checked is what is sent: the decision is made on the very bytes that go up, and on no other reading.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

import pytest
from installation import API, CAMPAIGN_API
from raw_call import send_raw

if TYPE_CHECKING:
    from noojee import House, Noojee

STOP = f"{API}/stop"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "query",
    [
        "extenOrUniqueId=410",
        "extenOrUniqueId=%34%31%30",
        "e%78tenOrUniqueId=410",
        "extenOrUniqueId=410&tag=a+b%20c%2bd%2Be",
        "tag=%c3%a9%C3%A9&extenOrUniqueId=410",
        "&&extenOrUniqueId=410&",
        "extenOrUniqueId=410&tag",
        "extenOrUniqueId=410&tag=",
        "tag==a=b&extenOrUniqueId=410",
        "extenOrUniqueId=410&tag=%3B%26%23%3D",
        "extenOrUniqueId=410&tag=~!$'()*,:@/?[]{}|^`\"<>\\",
        "zulu=1&extenOrUniqueId=410&alpha=2",
    ],
)
@pytest.mark.parametrize("place", ["query", "form"])
def test_bytes_go_up_as_they_were_decided_on(house: House, noojee: Noojee, query: str, place: str) -> None:
    """
    Neither decoded and encoded again, nor sorted, nor tidied up; what the journal read is what they say.
    """
    if place == "query":
        response = house.call(f"{STOP}?{query}")
        expected, body = f"{STOP}?apiKey=GLOBAL&{query}", b""
    else:
        response = house.call(STOP, body=query.encode(), headers=FORM)
        expected, body = f"{STOP}?apiKey=GLOBAL", query.encode()

    assert "reason" not in response.json(), response.body
    assert [expected] == noojee.targets()
    (request,) = noojee.requests()
    assert hashlib.sha256(body).hexdigest() == request["body_sha256"]
    recorded = house.records_of(response)[0]["parameters"]
    assert {"text": "410"} == recorded.get("extenOrUniqueId")
    others = [unquote_plus(item.partition("=")[0]) for item in query.split("&") if item]
    assert len(others) == len(recorded) - ("?" in recorded) + len(recorded.get("?", []))


def test_a_json_body_goes_up_byte_for_byte(house: House, noojee: Noojee) -> None:
    """
    With its white space, its order, its repeated names.
    """
    body = b' {"b": 1,\t"a" : 1.0, "a": "\\u0041",\r\n "apiKey": "x"}\n'

    response = house.call(
        f"{CAMPAIGN_API}/insertLeadFast?fTemplateId=1&fCampaignId=1&fAllocationId=1", body=body, headers=JSON
    )

    (request,) = noojee.requests()
    assert hashlib.sha256(body).hexdigest() == request["body_sha256"]
    assert len(body) == house.records_of(response)[0]["body_bytes"]


@pytest.mark.parametrize(
    ("query", "form"),
    [
        ("extenOrUniqueId=410&extenOrUniqueId=411", None),
        ("extenOrUniqueId=410&extenOrUniqueId=410", None),
        ("extenOrUniqueId=410&exten%4FrUniqueId=411", None),
        ("extenOrUniqueId=410&extenOrUniqueId", None),
        ("extenOrUniqueId=410", "extenOrUniqueId=411"),
        ("", "extenOrUniqueId=410&extenOrUniqueId=411"),
        ("", "extenOrUniqueId=410;extenOrUniqueId=411"),
        ("extenOrUniqueId=410;extenOrUniqueId=411", None),
        ("extenOrUniqueId=410#&extenOrUniqueId=411", None),
        ("extenoruniqueid=410", None),
        ("extenOrUniqueId=410&EXTENORUNIQUEID=411", None),
        ("extenOrUniqueId=4%10", None),
        ("extenOrUniqueId=41%", None),
        ("extenOrUniqueId=%u0034", None),
        ("extenOrUniqueId=%00410", None),
        ("extenOrUniqueId=%ed%a0%80", None),
        ("extenOrUniqueId=%c0%b4", None),
        ("extenOrUniqueId=4\u00e9", None),
    ],
)
def test_parameters_that_two_readers_could_take_in_two_ways_are_refused(
    house: House, noojee: Noojee, query: str, form: str | None
) -> None:
    """
    400, whichever of the two readings would have been allowed.
    """
    body = (form or "").encode()
    head = f"POST {STOP}?{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {house.tokens['all']}\r\n"
    head += f"Content-Type: {FORM['Content-Type']}\r\nContent-Length: {len(body)}\r\n\r\n"

    answer = send_raw(house.gateway.port, head.encode() + body)

    assert answer is not None
    assert 400 == answer.status, answer.body
    assert [] == noojee.requests()


@pytest.mark.parametrize(
    "headers",
    [
        "Host: x\r\nHost: y\r\n",
        "Host: x\r\nHost: x\r\n",
        "",
        "Host: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n",
        "Host: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
        "Host: x\r\nContent-Length: 5, 5\r\n",
        "Host: x\r\nContent-Length: +5\r\n",
        "Host: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Host: x\r\nTransfer-Encoding: gzip, chunked\r\n",
        "Host: x\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Host: x\r\nTransfer-Encoding : chunked\r\n",
        "Host: x\r\nX: a\r\n b\r\n",
        "Host: x\nX: a\r\n",
    ],
)
def test_a_head_that_two_parsers_could_read_in_two_ways_is_refused(house: House, noojee: Noojee, headers: str) -> None:
    """
    400 before anything else is looked at, and what stands behind the head is never taken for a second request.
    """
    smuggled = (
        f"POST {STOP}?extenOrUniqueId=411 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {house.tokens['all']}\r\n\r\n"
    )
    head = f"POST {STOP}?extenOrUniqueId=410 HTTP/1.1\r\nAuthorization: Bearer {house.tokens['all']}\r\n{headers}\r\n"

    answer = send_raw(house.gateway.port, f"{head}0\r\n\r\n{smuggled}".encode())

    assert answer is not None
    assert 400 == answer.status, answer.body
    assert [] == noojee.requests()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "application/x-www-form-urlencoded; charset=ibm037"}, "tag=1".encode("cp037")),
        ({"Content-Type": "application/x-www-form-urlencoded; charset=iso-8859-1"}, b"tag=1"),
        ({"Content-Type": "application/x-www-form-urlencoded; charset=utf-8; charset=utf-16"}, b"tag=1"),
        ({"Content-Type": "application/x-www-form-urlencoded; charset=utf-7"}, b"tag=1"),
        ({**FORM, "Content-Encoding": "gzip"}, b"tag=1"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x--"),
        ({"Content-Type": "text/plain"}, b"tag=1"),
        ({}, b"tag=1"),
    ],
)
def test_a_body_in_a_form_that_we_do_not_read_is_refused(
    house: House, noojee: Noojee, headers: dict[str, str], body: bytes
) -> None:
    """
    Noojee may find parameters in it where we found none.
    """
    response = house.call(f"{STOP}?extenOrUniqueId=410", headers=headers, body=body)

    assert (415, "body_not_supported") == (response.status, response.reason)
    assert [] == noojee.requests()
