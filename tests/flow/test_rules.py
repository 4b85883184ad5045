"""
Rules on parameters through the door: what is decided on is what goes up, and the refusal tells the rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import pytest
from installation import API, Installation
from noojee import House, Noojee

from gateway.administration import callers, grants, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
SMS = "/servicemanager/rest/SmsAPI/send"

GRANTS: dict[str, list[tuple[list[str], list[tuple[str, str]], bool]]] = {
    "ruled": [(["*"], [("extension", "400-450,500"), ("number", "04*")], False)],
    "unique": [(["*/stop", "*/answer"], [("extension", "400-450,500")], True)],
    "two": [(["*/stop"], [("extension", "410")], False), (["*/stop"], [("extension", "411")], False)],
    "campaign": [(["CampaignAPI/*"], [("fTemplateId", "1")], False)],
    "path": [([SMS], [], False)],
    "all": [(["*"], [], False)],
}


@pytest.fixture(scope="module")
def house(running_noojee: Noojee, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """
    A gateway whose callers have grants with rules.
    """
    installation = Installation(tmp_path_factory.mktemp("rules") / "data", running_noojee.simulator)
    installation.set_up()
    found = {}
    with installation.desk() as desk:
        for name, granted in GRANTS.items():
            callers.add(desk, name, networks=[], query_token_allowed=True)
            for operations, rules, allow_unique_ids in granted:
                grants.add(
                    desk,
                    name,
                    credential="everything",
                    operations=operations,
                    rules=rules,
                    allow_unique_ids=allow_unique_ids,
                )
            found[name] = tokens.issue(desk, name, expires_in=None)[1].reveal()
    with installation.serve() as gateway:
        yield House(installation, gateway, found)


@pytest.mark.parametrize(
    ("caller", "query", "form"),
    [
        ("ruled", "stop?extenOrUniqueId=410", b""),
        ("ruled", "stop?extenOrUniqueId=SIP%2f410,500", b""),
        ("ruled", "stop?%65xtenOrUniqueId=%34%31%30&apiKey=TOKEN", b""),
        ("ruled", "dial?extenOrUniqueId=SIP/410&number=0412345678", b""),
        ("ruled", "dial?extenOrUniqueId=SIP/410&number=+61412345678", b""),
        ("ruled", "dial?extenOrUniqueId=SIP/410&number=%2B61412345678", b""),
        ("ruled", "dial?number=0412345678", b"extenOrUniqueId=PJSIP%2F450"),
        ("ruled", "dial", b"number=0412345678&extenOrUniqueId=410"),
        ("unique", "stop?extenOrUniqueId=1700000000.12", b""),
        ("two", "stop?extenOrUniqueId=411", b""),
    ],
)
def test_what_the_rules_allow_goes_up_as_it_came(
    house: House, noojee: Noojee, caller: str, query: str, form: bytes
) -> None:
    """
    Byte for byte behind the key, in the query as in a form; the intent is on record with the grant that served.
    """
    target = f"{API}/{query.replace('TOKEN', house.tokens[caller])}"
    response = house.call(target, caller, headers=FORM if form else {}, body=form or None)

    path, _, sent = query.partition("?")
    kept = "&".join(item for item in sent.split("&") if item and not item.startswith("apiKey"))
    assert "x-request-id" in response.headers
    assert [f"{API}/{path}?apiKey=GLOBAL" + (f"&{kept}" if kept else "")] == noojee.targets()
    assert "call.intended" == house.records_of(response)[0]["tag"]


HOSTILE = [
    ("stop?extenOrUniqueId=451", "extension=400-450,500", "value of extenOrUniqueId"),
    ("stop?extenOrUniqueId=410,", "extension=400-450,500", "1 to 10 digits"),
    ("stop?extenOrUniqueId=,410", "extension=400-450,500", "1 to 10 digits"),
    ("stop?extenOrUniqueId=SIP/410%26SIP/411", "extension=400-450,500", "1 to 10 digits"),
    ("stop?extenOrUniqueId=SIP/trunk/0412345678", "extension=400-450,500", "1 to 10 digits"),
    ("stop?extenOrUniqueId=Local/410@x", "extension=400-450,500", "1 to 10 digits"),
    ("stop?extenOrUniqueId=%EF%BC%94%EF%BC%91%EF%BC%90", "extension=400-450,500", "1 to 10 digits"),
    ("stop?extenOrUniqueId=+410", "extension=400-450,500", "1 to 10 digits"),
    ("stop?extenOrUniqueId=1700000000.12", "extension=400-450,500", "unique id"),
    ("stop?extenOrUniqueId=410,1700000000.12", "extension=400-450,500", "unique id"),
    ("stop?extenOrUniqueId=410&agentLoginName=bob", "extension=400-450,500", "agentLoginName"),
    ("stop?extenOrUniqueId=410&unheardOf=1", "extension=400-450,500", "documented parameters"),
    ("stop", "extension=400-450,500", "must be sent"),
    ("answer?exten=410&uniqueId=1.2", "extension=400-450,500", "uniqueId"),
    ("dial?extenOrUniqueId=410", "number=04*", "must be sent"),
    ("dial?extenOrUniqueId=410&number=0412345678%3Bext%3D0900", "number=04*", "one telephone number"),
    ("dial?extenOrUniqueId=410&number=0412345678,,1900123456", "number=04*", "one telephone number"),
    ("dial?extenOrUniqueId=410&number=1900123456", "number=04*", "value of number"),
    ("dial?extenOrUniqueId=410&number=0412345678&callerId=0390001111", "extension=400-450,500", "callerId"),
]


@pytest.mark.parametrize(("query", "rule", "sentence"), HOSTILE)
def test_what_a_rule_refuses_never_leaves(house: House, noojee: Noojee, query: str, rule: str, sentence: str) -> None:
    """
    403 with the rule as it was written, in the query as in a form; nothing reaches Noojee, and `explain` says the same.
    """
    path, _, sent = query.partition("?")
    in_query = house.call(f"{API}/{query}", "ruled")
    in_form = house.call(f"{API}/{path}", "ruled", headers=FORM, body=sent.encode() or None)

    for response in (in_query, in_form):
        assert (403, "parameter_not_granted") == (response.status, response.reason)
        assert f"The rule is {rule}." in response.json()["detail"]
        assert sentence in response.json()["detail"]
        (denied,) = house.records_of(response, 1)
        assert ("call.denied", "parameter_not_granted") == (denied["tag"], denied["reason"])
    assert [] == noojee.requests()


def test_explain_says_what_the_call_is_told(house: House) -> None:
    """
    The same reason and the same rule.
    """
    query, rule, _ = HOSTILE[3]
    path, _, sent = query.partition("?")
    words = [f"{name}={value}" for name, value in parse_qsl(sent)]
    explained = house.installation.verb("explain", "ruled", f"CallManagementAPI/{path}", *words)

    assert 1 == explained.returncode
    assert f"rule {rule})" in explained.stdout


@pytest.mark.parametrize(
    ("query", "form", "reason"),
    [
        ("stop?extenOrUniqueId=410", b"extenOrUniqueId=451", "parameter_repeated"),
        ("stop?extenOrUniqueId=410", b"exten%4FrUniqueId=410", "parameter_repeated"),
        ("stop?extenOrUniqueId=410", b"ExtenOrUniqueId=451", "parameter_malformed"),
        ("stop?extenOrUniqueId=410", b"a=1;extenOrUniqueId=451", "parameter_malformed"),
        ("stop?extenOrUniqueId=410%00", b"", "parameter_malformed"),
        ("stop?extenOrUniqueId=410%FF", b"", "parameter_malformed"),
        ("stop?extenOrUniqueId=%C0%B4%C0%B1%C0%B0", b"", "parameter_malformed"),
        ("stop?extenOrUniqueId=410;451", b"", "request_malformed"),
    ],
)
def test_what_two_readers_could_read_in_two_ways_is_malformed(
    house: House, noojee: Noojee, query: str, form: bytes, reason: str
) -> None:
    """
    Told before any rule is asked, and never sent.
    """
    response = house.call(f"{API}/{query}", "ruled", headers=FORM if form else {}, body=form or None)

    assert (400, reason) == (response.status, response.reason)
    assert [] == noojee.requests()


def test_an_operation_no_rule_reaches_is_not_covered(house: House, noojee: Noojee) -> None:
    """
    The grant's glob is `*`, and yet campaigns are not in it.
    """
    response = house.call("/servicemanager/rest/CampaignAPI/getCampaignTemplateList", "ruled")

    assert (403, "operation_not_granted") == (response.status, response.reason)
    assert [] == noojee.requests()


def test_what_a_json_body_holds_is_not_ruled(house: House, noojee: Noojee) -> None:
    """
    Rules are on query and form; a body of JSON is no parameter, and goes up as it came.
    """
    target = "/servicemanager/rest/CampaignAPI/insertLeadFast?fTemplateId=1&fCampaignId=1&fAllocationId=1"
    house.call(target, "campaign", headers=JSON, body=b'{"fTemplateId":2}')
    refused = house.call(target.replace("fTemplateId=1", "fTemplateId=2"), "campaign", headers=JSON, body=b"{}")

    assert [target.replace("?", "?apiKey=GLOBAL&")] == noojee.targets()
    assert (403, "parameter_not_granted") == (refused.status, refused.reason)


def test_a_granted_path_takes_query_form_and_json(house: House, noojee: Noojee) -> None:
    """
    Up it goes with the global key; the journal has its path for a name, and no value of it.
    """
    house.call(f"{SMS}?to=0412345678", "path", headers=FORM, body=b"text=hello&apiKey=x")
    response = house.call(f"{SMS}?to=0412345678&api_key=x", "path", headers=JSON, body=b'{"text":"hello"}')
    intended, ended = house.records_of(response)

    assert [f"{SMS}?apiKey=GLOBAL&to=0412345678"] * 2 == noojee.targets()
    assert SMS == intended["operation"] == ended["operation"]
    assert ["?"] == list(intended["parameters"])
    assert "0412345678" not in str(intended)


@pytest.mark.parametrize(
    ("caller", "path"),
    [
        ("all", SMS),
        ("ruled", SMS),
        ("path", f"{SMS}/"),
        ("path", "/servicemanager/rest/SmsAPI/Send"),
        ("path", "/servicemanager/rest/SmsAPI/%73end"),
        ("path", "/servicemanager//rest/SmsAPI/send"),
        ("path", "/njadmin/rest/SmsAPI/send"),
    ],
)
def test_a_granted_path_is_unknown_to_everybody_else(house: House, noojee: Noojee, caller: str, path: str) -> None:
    """
    As is everything that is not exactly its bytes: 404, the same as for a path that nobody was granted.
    """
    response = house.call(path, caller)
    nowhere = house.call("/servicemanager/rest/NoSuchAPI/send", caller)

    assert (404, "operation_unknown") == (response.status, response.reason)
    hidden = [each.body.replace(each.headers["x-request-id"].encode(), b"ID") for each in (response, nowhere)]
    assert hidden[0] == hidden[1]
    assert [] == noojee.requests()
