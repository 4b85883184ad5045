"""
Calls that are refused: each row of the contract's tables, none of them ever reaching Noojee.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from installation import API, CAMPAIGN_API, wait_until

from gateway.access.token import create_token_text

if TYPE_CHECKING:
    from noojee import House, Noojee

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def expect_refusal(house: House, noojee: Noojee, response: object, status: int, reason: str) -> None:
    """
    A problem with all its members, and nothing at Noojee.
    """
    from installation import Response

    assert isinstance(response, Response)
    problem = response.json()
    assert (status, reason) == (response.status, problem["reason"])
    assert "application/problem+json" == response.headers["content-type"]
    request_id = response.headers["x-request-id"]
    assert {
        "type": f"urn:noojee-gateway:error:{reason}",
        "status": status,
        "instance": f"urn:uuid:{request_id}",
    }.items() <= problem.items()
    assert problem["Code"] < -1000
    assert {"type", "title", "status", "detail", "instance", "reason", "Code", "Message"} == problem.keys()
    assert [] == noojee.requests()
    del house


@pytest.mark.parametrize(
    ("caller", "target", "status", "reason"),
    [
        ("recorder", f"{API}/dial?number=1&extenOrUniqueId=SIP/410", 403, "operation_not_granted"),
        ("campaigner", f"{API}/stop?extenOrUniqueId=410", 403, "operation_not_granted"),
        ("overreaching", f"{API}/stop?extenOrUniqueId=410", 403, "operation_needs_global_credential"),
        ("overreaching", "/servicemanager/rest/rosterApi/getActiveRosters", 403, "operation_needs_global_credential"),
        ("elsewhere", f"{API}/stop?extenOrUniqueId=410", 403, "network_not_allowed"),
        ("elsewhere", "/nowhere", 403, "network_not_allowed"),
        ("all", "/servicemanager/rest/Time", 404, "operation_not_served"),
        ("all", "/servicemanager/services/njadmin-api-recording?method=start", 404, "operation_not_served"),
        ("all", "/servicemanager/NoojeeClickCallerId", 404, "operation_not_served"),
        ("all", f"{API}/stop?extenOrUniqueId=410&extenOrUniqueId=411", 400, "parameter_repeated"),
        ("all", f"{API}/stop?exten%4FrUniqueId=410&extenOrUniqueId=411", 400, "parameter_repeated"),
        ("all", f"{API}/stop?extenoruniqueid=410", 400, "parameter_malformed"),
        ("all", f"{API}/start?extenOrUniqueId=410&Tag=x", 400, "parameter_malformed"),
        ("all", f"{API}/stop?extenOrUniqueId=%ff", 400, "parameter_malformed"),
        ("all", f"{API}/stop?extenOrUniqueId=%00", 400, "parameter_malformed"),
        ("all", f"{API}/stop?extenOrUniqueId=4%0a10", 400, "parameter_malformed"),
        ("all", f"{API}/stop?extenOrUniqueId=%zz", 400, "parameter_malformed"),
        ("all", f"{API}/stop?{'x' * 65}=1", 400, "parameter_malformed"),
        ("all", f"{API}/stop?{'&'.join(f'p{n}=1' for n in range(65))}", 400, "parameter_malformed"),
        ("all", f"{API}/subscribe?exten=410&lastSequenceNumber=0&timeOut=-1", 400, "parameter_malformed"),
        ("all", f"{API}/subscribe?exten=410&lastSequenceNumber=0&timeOut=100000", 400, "parameter_malformed"),
    ],
)
def test_a_caller_is_refused_what_is_not_his(
    house: House, noojee: Noojee, caller: str, target: str, status: int, reason: str
) -> None:
    """
    Refused with its reason, on record as a denial, without parameters after a 400.
    """
    response = house.call(target, caller)

    expect_refusal(house, noojee, response, status, reason)
    (denied,) = house.records_of(response, 1)
    assert ("call.denied", "deny", reason) == (denied["tag"], denied["decision"], denied["reason"])
    assert status != 400 or "parameters" not in denied


@pytest.mark.parametrize(
    "path",
    [
        "/servicemanager/rest/CallManagementAPI/../CallManagementAPI/stop",
        "/servicemanager/rest/CampaignAPI/../CallManagementAPI/stop",
        "/servicemanager/rest/CallManagementAPI%2fstop",
        "/servicemanager/rest/CallManagementAPI%2Fstop",
        "/servicemanager//rest/CallManagementAPI/stop",
        "//servicemanager/rest/CallManagementAPI/stop",
        "/servicemanager/rest/CallManagementAPI/stop/",
        "/servicemanager/rest/CallManagementAPI/stop%00",
        "/servicemanager/rest/CallManagementAPI/stop%20",
        "/servicemanager/rest/CallManagementAPI/stop.json",
        "/servicemanager/rest/CallManagementAPI/Stop",
        "/servicemanager/rest/callmanagementapi/stop",
        "/SERVICEMANAGER/rest/CallManagementAPI/stop",
        "/servicemanager/rest/CallManagementAPI/%73top",
        "/rest/CallManagementAPI/stop",
        "/servicemanager/rest/CallManagementAPI/stop%3Bjsessionid=1",
        "/",
        "/simulator/requests",
    ],
)
def test_path_tricks_are_unknown(house: House, noojee: Noojee, path: str) -> None:
    """
    The path is compared as raw bytes: no decoding, no normalisation.
    """
    expect_refusal(house, noojee, house.call(f"{path}?extenOrUniqueId=410"), 404, "operation_unknown")


@pytest.mark.parametrize("target", [f"{API}/stop;x=1?extenOrUniqueId=410", f"{API}/stop?extenOrUniqueId=410;x=1"])
def test_a_raw_semicolon_is_malformed(house: House, noojee: Noojee, target: str) -> None:
    """
    Servlet containers read path parameters after it; `%3B` is data.
    """
    expect_refusal(house, noojee, house.call(target), 400, "request_malformed")


@pytest.mark.parametrize(
    ("headers", "query", "status", "reason"),
    [
        ({}, "", 401, "token_missing"),
        ({"Authorization": "Basic TOKEN"}, "", 401, "token_missing"),
        ({"Authorization": "Bearer "}, "", 401, "token_missing"),
        ({}, "apikey=TOKEN", 401, "token_missing"),
        ({}, "timeStamp=1&hash=2", 401, "token_missing"),
        ({"Authorization": "Bearer njg_short"}, "", 401, "token_malformed"),
        ({"Authorization": "Bearer TOKENx"}, "", 401, "token_malformed"),
        ({"Authorization": "Bearer STRANGE"}, "", 401, "token_invalid"),
        ({"X-API-Key": "STRANGE"}, "", 401, "token_invalid"),
        ({"Authorization": "Bearer TOKEN"}, "apiKey=STRANGE", 400, "token_ambiguous"),
        ({"Authorization": "Bearer TOKEN", "X-API-Key": "STRANGE"}, "", 400, "token_ambiguous"),
        ({}, "apiKey=TOKEN&apiKey=STRANGE", 400, "token_ambiguous"),
        ({}, "apiKey=GLOBALKEY", 401, "upstream_key_presented"),
        ({"X-API-Key": "GLOBALKEY"}, "", 401, "upstream_key_presented"),
        ({"Authorization": "Bearer TOKEN"}, "apiKey=GLOBALKEY", 401, "upstream_key_presented"),
        ({}, "apiKey=00000000-0000-0000-0000-000000000000", 401, "upstream_key_presented"),
    ],
)
def test_who_has_no_valid_token_is_refused(
    house: House, noojee: Noojee, headers: dict[str, str], query: str, status: int, reason: str
) -> None:
    """
    Told before anything of the operation; every 401 names the scheme.
    """
    words = {"TOKEN": house.tokens["all"], "STRANGE": create_token_text()[1].reveal(), "GLOBALKEY": noojee.global_key}

    def fill(text: str) -> str:
        for word, value in words.items():
            text = text.replace(word, value)
        return text

    filled = {name: fill(value) for name, value in headers.items()}
    response = house.gateway.call(f"{API}/stop?extenOrUniqueId=410&{fill(query)}", headers=filled)

    expect_refusal(house, noojee, response, status, reason)
    assert status != 401 or "Bearer" == response.headers["www-authenticate"]


def test_unknown_expired_and_revoked_tokens_get_the_same_bytes(house: House, noojee: Noojee) -> None:
    """
    Nobody learns from the answer whether a token exists.
    """
    installation = house.installation
    revoked = installation.add_caller("revoked", [("everything", ["*"])])
    assert 0 == installation.verb("token", "revoke", revoked.split("_")[1]).returncode
    disabled = installation.add_caller("disabled", [("everything", ["*"])])
    assert 0 == installation.verb("caller", "disable", "disabled").returncode
    unknown = create_token_text()[1].reveal()

    bodies = set()
    for token in (revoked, disabled, unknown):
        response = house.gateway.call(f"{API}/stop?extenOrUniqueId=410", token)
        assert 401 == response.status
        bodies.add(response.body.replace(response.headers["x-request-id"].encode(), b"ID"))

    assert 1 == len(bodies)
    assert [] == noojee.requests()


@pytest.mark.parametrize(
    ("method", "caller", "status", "reason"),
    [
        ("GET", None, 405, "method_not_allowed"),
        ("GET", "all", 405, "method_not_allowed"),
        ("PUT", None, 405, "method_not_allowed"),
        ("PUT", "all", 405, "method_not_allowed"),
        ("OPTIONS", None, 405, "method_not_allowed"),
        ("DELETE", "all", 405, "method_not_allowed"),
        ("TRACE", None, 405, "method_not_allowed"),
        ("post", "all", 400, "request_malformed"),
        ("BREW", "all", 400, "request_malformed"),
    ],
)
def test_only_post_is_served(
    house: House, noojee: Noojee, method: str, caller: str | None, status: int, reason: str
) -> None:
    """
    A known method gets 405 and `Allow`, an unknown one is malformed.
    """
    response = house.call(f"{API}/stop?extenOrUniqueId=410", caller, method=method)

    expect_refusal(house, noojee, response, status, reason)
    assert status != 405 or "POST" == response.headers["allow"]


@pytest.mark.parametrize(
    ("headers", "body", "status", "reason"),
    [
        ({}, b"a=1", 415, "body_not_supported"),
        ({"Content-Type": "text/plain"}, b"a=1", 415, "body_not_supported"),
        ({"Content-Type": "application/x-www-form-urlencoded; charset=ibm037"}, b"a=1", 415, "body_not_supported"),
        ({"Content-Type": "application/x-www-form-urlencoded; charset=iso-8859-1"}, b"a=1", 415, "body_not_supported"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x--", 415, "body_not_supported"),
        ({**FORM, "Content-Encoding": "gzip"}, b"a=1", 415, "body_not_supported"),
        ({"Content-Type": "application/json"}, b"{}", 415, "body_not_supported"),
        (FORM, b"extenOrUniqueId=410", 400, "parameter_repeated"),
        (FORM, b"tag=%ff", 400, "parameter_malformed"),
        (FORM, b"x" * (1024 * 1024 + 1), 413, "body_too_large"),
    ],
)
def test_bodies_that_nobody_could_read_in_one_way_are_refused(
    house: House, noojee: Noojee, headers: dict[str, str], body: bytes, status: int, reason: str
) -> None:
    """
    `start` takes a form in UTF-8 and nothing else.
    """
    response = house.call(f"{API}/start?extenOrUniqueId=410", headers=headers, body=body)

    expect_refusal(house, noojee, response, status, reason)


def test_a_token_in_the_query_can_be_forbidden(house: House, noojee: Noojee) -> None:
    """
    An equal token in a header does not excuse it.
    """
    token = house.tokens["header-only"]

    alone = house.gateway.call(f"{API}/stop?extenOrUniqueId=410&apiKey={token}")
    beside = house.gateway.call(f"{API}/stop?extenOrUniqueId=410&apiKey={token}", token)

    expect_refusal(house, noojee, alone, 403, "query_token_not_allowed")
    expect_refusal(house, noojee, beside, 403, "query_token_not_allowed")
    assert 404 == house.gateway.call("/nowhere", token).status


def test_a_noojee_key_at_our_door_is_an_event_that_names_the_credential(house: House, noojee: Noojee) -> None:
    """
    The answer tells nothing, the event tells which credential it was, neither holds the key.
    """
    house.gateway.call(f"{API}/stop?apiKey={noojee.global_key}")

    events = wait_until(
        lambda: [each for each in house.installation.journal() if each["tag"] == "upstream_key.presented"],
        "the event",
    )
    assert noojee.global_key not in json.dumps(events)
    assert 1 == len(events)  # at most one a minute and network


def test_campaign_calls_take_forms_too(house: House, noojee: Noojee) -> None:
    """
    Parameters in a form body are decided on like those of the query.
    """
    response = house.call(f"{CAMPAIGN_API}/getCampaignList", "campaigner", headers=FORM, body=b"fTemplateId=1")

    assert 200 == response.status
    assert [f"{CAMPAIGN_API}/getCampaignList?apiKey=USER"] == noojee.targets()
    assert {"text": "1"} == house.records_of(response)[0]["parameters"]["fTemplateId"]
