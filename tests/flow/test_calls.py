"""
Calls that are made: what came in, what reached Noojee, what the journal holds, what went out.
"""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from installation import API, CAMPAIGN_API

if TYPE_CHECKING:
    from noojee import House, Noojee


def test_a_call_goes_up_with_the_key_and_comes_down_as_it_was(house: House, noojee: Noojee) -> None:
    """
    A local token in, the global key out; Noojee's status, type and body down; an intent and an outcome on record.
    """
    response = house.call(f"{API}/start?extenOrUniqueId=410")

    assert 200 == response.status
    assert {"Message": "Recording started", "Code": 0} == response.json()
    assert "application/json" == response.headers["content-type"]
    assert [f"{API}/start?apiKey=GLOBAL&extenOrUniqueId=410"] == noojee.targets()
    intended, ended = house.records_of(response)
    assert ("call.intended", "call.ended") == (intended["tag"], ended["tag"])
    assert {
        "attempt": 1,
        "caller": "all",
        "carrier": "authorization",
        "peer": "127.0.0.1",
        "operation": "CallManagementAPI/start",
        "credential": "everything",
        "decision": "allow",
        "parameters": {"extenOrUniqueId": {"text": "410"}},
    }.items() <= intended.items()
    assert intended["token_id"] == house.tokens["all"].split("_")[1]
    assert {"attempt": 1, "outcome": "succeeded", "upstream_status": 200, "noojee_code": 0}.items() <= ended.items()
    assert len(response.body) == ended["reply_bytes"]


def test_what_noojee_refuses_is_passed_on_and_recorded_as_refused(house: House, noojee: Noojee) -> None:
    """
    A stop without a start is Noojee's error, not ours.
    """
    response = house.call(f"{API}/stop?extenOrUniqueId=499")

    assert 400 == response.status
    assert response.json()["Code"] < 0
    assert "reason" not in response.json()
    assert 1 == len(noojee.requests())
    assert "refused" == house.records_of(response)[1]["outcome"]


@pytest.mark.parametrize(
    ("caller", "target", "key"),
    [
        ("both", f"{CAMPAIGN_API}/getCampaignList?fTemplateId=1", "USER"),
        ("both", f"{API}/hangup?extenOrUniqueId=477", "GLOBAL"),
        ("campaigner", f"{CAMPAIGN_API}/getCampaignList?fTemplateId=1", "USER"),
        ("all", f"{CAMPAIGN_API}/getCampaignList?fTemplateId=1", "GLOBAL"),
    ],
)
def test_the_least_powerful_key_that_serves_is_used(
    house: House, noojee: Noojee, caller: str, target: str, key: str
) -> None:
    """
    The kind of key is fixed by the operation and the caller's grants.
    """
    house.call(target, caller)

    path, _, query = target.partition("?")
    assert [f"{path}?apiKey={key}&{query}"] == noojee.targets()


@pytest.mark.parametrize("carrier", ["bearer", "x-api-key", "query", "all"])
def test_each_carrier_of_a_token_is_read_and_none_goes_up(house: House, noojee: Noojee, carrier: str) -> None:
    """
    Authorization, X-API-Key and apiKey in the query; the same token in all three is fine.
    """
    token = house.tokens["all"]
    headers = {}
    query = "extenOrUniqueId=410"
    if carrier in {"bearer", "all"}:
        headers["Authorization"] = f"bEARER {token}"
    if carrier in {"x-api-key", "all"}:
        headers["X-API-Key"] = token
    if carrier in {"query", "all"}:
        query = f"apiKey={token}&{query}"

    response = house.gateway.call(f"{API}/hangup?{query}", headers=headers)

    assert "Code" in response.json()
    assert "reason" not in response.json()
    assert [f"{API}/hangup?apiKey=GLOBAL&extenOrUniqueId=410"] == noojee.targets()
    expected = {"bearer": "authorization", "all": "authorization"}.get(carrier, carrier)
    assert expected == house.records_of(response)[0]["carrier"]
    up = {name.lower() for name, _ in noojee.requests()[0]["headers"]}
    assert not up & {"authorization", "x-api-key", "cookie"}


CREDENTIAL_SPELLINGS = [
    "apikey=x",
    "API_KEY=x",
    "api%4Bey=x",
    "%61%70%69%4B%65%79%5F=x",
    "api-key=x",
    "a.p.i.k.e.y=x",
    "timeStamp=1700000000000",
    "time+stamp=1",
    "hash=abc",
    "HASH=abc&Hash=def",
    "apikey",
]


@pytest.mark.parametrize("spelling", CREDENTIAL_SPELLINGS)
@pytest.mark.parametrize("place", ["query", "form"])
def test_credential_parameters_never_go_up(house: House, noojee: Noojee, spelling: str, place: str) -> None:
    """
    In any case, any encoding, in the query and in a form, repeated or not: they are taken out, the rest stays.
    """
    if place == "query":
        if "4B" in spelling:
            spelling = spelling.replace("=x", f"={house.tokens['all']}")  # decoded it is apiKey itself: a carrier
        response = house.call(f"{API}/hangup?{spelling}&extenOrUniqueId=410")
    else:
        response = house.call(
            f"{API}/hangup",
            body=f"{spelling}&extenOrUniqueId=410&{spelling}".encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )

    assert "reason" not in response.json()
    (request,) = noojee.requests()
    expected = f"{API}/hangup?apiKey=GLOBAL" + ("&extenOrUniqueId=410" if place == "query" else "")
    assert [expected] == noojee.targets()
    if place == "form":
        assert "19" == dict(request["headers"])["Content-Length"]  # extenOrUniqueId=410 and nothing else


def test_only_the_headers_of_the_contract_go_up(house: House, noojee: Noojee) -> None:
    """
    What the caller sends beside them stays here: cookies, forwarded addresses, a foreign Host.
    """
    house.call(
        f"{API}/hangup?extenOrUniqueId=410",
        headers={
            "Accept": "application/json",
            "Accept-Language": "en-AU",
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "Cookie": "session=1",
            "X-Forwarded-For": "192.0.2.1",
            "Host": "evil.example",
            "User-Agent": "Java/17",
            "Accept-Encoding": "gzip",
        },
    )

    (request,) = noojee.requests()
    headers = {name.lower(): value for name, value in request["headers"]}
    assert {
        "host": noojee.simulator.url.removeprefix("https://"),
        "user-agent": headers["user-agent"],
        "accept-encoding": "identity",
        "accept": "application/json",
        "accept-language": "en-AU",
        "content-type": "application/x-www-form-urlencoded; charset=UTF-8",
        "content-length": "0",
    } == headers
    assert headers["user-agent"].startswith("noojee-gateway/")


def test_an_absolute_target_has_no_influence_on_where_the_call_goes(house: House, noojee: Noojee) -> None:
    """
    Its authority is ignored: the upstream is fixed by configuration.
    """
    response = house.call(f"http://evil.example{API}/hangup?extenOrUniqueId=410")

    assert "reason" not in response.json()
    assert [f"{API}/hangup?apiKey=GLOBAL&extenOrUniqueId=410"] == noojee.targets()


def test_a_lead_goes_up_byte_for_byte(house: House, noojee: Noojee) -> None:
    """
    A JSON body is forwarded unchanged and stands on record as an HMAC only.
    """
    body = json.dumps({"phone": "0412345678", "name": "Zoë"}, ensure_ascii=False).encode()

    response = house.call(
        f"{CAMPAIGN_API}/insertLeadFast?fTemplateId=1&fCampaignId=1&fAllocationId=1",
        "campaigner",
        body=body,
        headers={"Content-Type": "application/json"},
    )

    assert 200 == response.status, response.body
    (request,) = noojee.requests()
    import hashlib

    assert hashlib.sha256(body).hexdigest() == request["body_sha256"]
    intended, _ = house.records_of(response)
    assert len(body) == intended["body_bytes"]
    assert 64 == len(intended["body_hmac"])
    assert "0412345678" not in json.dumps(house.installation.calls())


def test_numbers_stand_on_record_as_an_hmac_in_one_canonical_form(house: House, noojee: Noojee) -> None:
    """
    `+61412...`, ` 61412...` and `0412...` are one number to whoever searches, and are nowhere to be read.
    """
    marks = []
    for number in ("0412345678", quote("+61412345678"), "+61412345678"):
        response = house.call(f"{API}/dial?number={number}&extenOrUniqueId=SIP/410")
        assert 200 == response.status, response.body
        marks.append(house.records_of(response)[0]["parameters"]["number"]["hmac"])

    assert 1 == len(set(marks))
    assert 3 == len(noojee.requests())
    assert "412345678" not in json.dumps(house.installation.calls())


def test_names_that_are_not_noojees_stand_on_record_without_their_name(house: House, noojee: Noojee) -> None:
    """
    The Java client writes `tag22` where it means `tag=22`: it goes up, and its name does not reach the journal.
    """
    response = house.call(f"{API}/start?extenOrUniqueId=455&tag22")

    assert 200 == response.status
    assert [f"{API}/start?apiKey=GLOBAL&extenOrUniqueId=455&tag22"] == noojee.targets()
    parameters = house.records_of(response)[0]["parameters"]
    assert {"extenOrUniqueId", "?"} == parameters.keys()
    assert 1 == len(parameters["?"])


def test_health_is_told_on_both_ports(house: House) -> None:
    """
    One word on the callers' port, details on the operators'; neither needs a token nor names a caller.
    """
    assert b"ok" == house.gateway.call("/healthz", method="GET").body
    assert b"ready" == house.gateway.call("/readyz", method="GET").body
    refused = house.gateway.call("/readyz")
    assert (405, "method_not_allowed") == (refused.status, refused.reason)
    details: dict[str, Any] = house.gateway.call("/readyz", method="GET", port=house.gateway.admin_port).json()
    assert "ready" == details["state"]
    assert 200 == house.gateway.call("/healthz", method="GET", port=house.gateway.admin_port).status


@pytest.mark.parametrize(
    ("request_line", "hosts", "status"),
    [
        ("GET /healthz", ["localhost"], 200),
        ("GET /healthz", ["[::1]:8081"], 200),
        ("GET /healthz", ["127.0.0.1:8081"], 200),
        ("GET /healthz", ["[::1"], 400),
        ("GET /healthz", ["localhost", "evil.example"], 400),
        ("GET /healthz", ["localhost:x"], 400),
    ],
)
def test_the_operators_port_is_asked_for_by_one_name_of_its_own(
    house: House, request_line: str, hosts: list[str], status: int
) -> None:
    """
    So that no page in an operator's browser reads it under another (DNS rebinding).
    """
    with socket.create_connection(("127.0.0.1", house.gateway.admin_port), 10) as connection:
        head = [f"{request_line} HTTP/1.1", *(f"Host: {host}" for host in hosts), "Connection: close", "", ""]
        connection.sendall("\r\n".join(head).encode())
        answer = connection.makefile("rb").readline()

    assert f"HTTP/1.1 {status}" == answer.decode()[:12]


@pytest.mark.parametrize(
    ("method", "target", "host", "status"),
    [("GET", "/metrics-not-yet", None, 404), ("POST", "/readyz", None, 405), ("GET", "/readyz", "evil.example", 400)],
)
def test_the_operators_port_serves_nothing_else(
    house: House, method: str, target: str, host: str | None, status: int
) -> None:
    """
    GET of the health paths alone, under a name of its own.
    """
    headers = {"Host": host} if host else {}

    response = house.gateway.call(target, method=method, headers=headers, port=house.gateway.admin_port)

    assert status == response.status
