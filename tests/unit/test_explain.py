"""
`explain`: the same code as a call's, from the command line's words to the value that is printed.
"""

from __future__ import annotations

import os

import pytest

from gateway.access.caller import Caller
from gateway.access.credential import Credential, Kind
from gateway.access.explain import explain, find_operation, find_operations, survey
from gateway.access.grant import Grant
from gateway.access.rules import parse_rule
from gateway.access.upstream import Upstream
from gateway.errors import Reason
from gateway.noojee.catalogue import load_catalogue

GLOBAL = Credential("c1", "main-global", Upstream("main", "noojee.example.com", 443), Kind.GLOBAL, None, b"sealed")
USER = Credential("c2", "alice-key", Upstream("main", "noojee.example.com", 443), Kind.USER, "alice", b"sealed")
CALLER = Caller(
    "crm",
    (),
    query_token_allowed=True,
    grants=(Grant("g1", GLOBAL, ("CallManagementAPI/st*",)), Grant("g2", USER, ("CampaignAPI/*", "systemHealth/*"))),
)


def explained(operation_text: str, *parameters: tuple[str, str]) -> dict[str, object]:
    """
    What `explain --json` prints for the caller of this module.
    """
    return explain(CALLER, load_catalogue(), operation_text, parameters, "61").as_json(7)


def test_an_allowance_names_credential_and_grant() -> None:
    """
    All members of contract section 3, in the order in which they stand there.
    """
    expected = {
        "decision": "allow",
        "reason": None,
        "operation": "CallManagementAPI/stop",
        "credential": "main-global",
        "grant_id": "g1",
        "rule": None,
        "policy_version": 7,
    }
    got = explained("CallManagementAPI/stop", ("extenOrUniqueId", "410"))

    assert expected == got
    assert list(expected) == list(got)


@pytest.mark.parametrize(
    ("operation", "parameters", "reason", "credential"),
    [
        ("CallManagementAPI/Stop", [], "operation_unknown", None),
        ("/servicemanager/rest/CallManagementAPI/stop/", [], "operation_unknown", None),
        ("Time", [], "operation_not_served", None),
        ("njadmin-api-recording", [], "operation_not_served", None),
        ("CallManagementAPI/dial", [], "operation_not_granted", None),
        ("systemHealth/test", [], "operation_needs_global_credential", "alice-key"),
        ("CallManagementAPI/stop", [("ExtenOrUniqueId", "410")], "parameter_malformed", None),
        ("CallManagementAPI/stop", [("extenOrUniqueId", "4\n")], "parameter_malformed", None),
        ("CallManagementAPI/stop", [("tag", "1"), ("tag", "2")], "parameter_repeated", None),
        ("CallManagementAPI/stop", [("x", "")] * 2000, "parameter_malformed", None),
    ],
)
def test_a_denial_has_the_reason_of_the_call(
    operation: str, parameters: list[tuple[str, str]], reason: str, credential: str | None
) -> None:
    """
    The same reason code that the call would be refused with.
    """
    got = explained(operation, *parameters)

    assert ("deny", reason, credential) == (got["decision"], got["reason"], got["credential"])


@pytest.mark.parametrize(
    ("text", "operation"),
    [("CallManagementAPI/stop", "CallManagementAPI/stop"), ("Time", "Time"), ("No/such", None)],
)
def test_a_disabled_caller_s_tokens_are_invalid(text: str, operation: str | None) -> None:
    """
    Whatever the operation: the token is looked at first.
    """
    got = explain(None, load_catalogue(), text, [], "61").as_json(7)

    assert ("deny", "token_invalid", operation) == (got["decision"], got["reason"], got["operation"])


def test_an_operation_is_named_by_its_path_too() -> None:
    """
    Both ways lead to the same operation.
    """
    catalogue = load_catalogue()
    for operation in catalogue.operations:
        assert operation is find_operation(catalogue, CALLER, operation.name)
        assert operation is find_operation(catalogue, CALLER, operation.path.decode())


def test_the_rule_that_refused_is_named_as_it_was_written() -> None:
    """
    With the sentence that tells what is wrong; an allowance names none.
    """
    rules = (parse_rule("extension", "400-450,500"), parse_rule("number", "04*"))
    ruled = Caller("ruled", (), query_token_allowed=True, grants=(Grant("g1", GLOBAL, ("*",), rules),))

    def told(*parameters: tuple[str, str]) -> tuple[object, object, str | None]:
        explanation = explain(ruled, load_catalogue(), "CallManagementAPI/dial", parameters, "61")
        got = explanation.as_json(7)
        return got["reason"], got["rule"], explanation.decision.detail

    allowed = (("extenOrUniqueId", "SIP/410"), ("number", "+61412345678"))
    assert (None, None, None) == told(*allowed)
    assert ("parameter_not_granted", "extension=400-450,500", "extenOrUniqueId must be sent.") == told(allowed[1])
    assert ("parameter_not_granted", "number=04*", "This value of number is not granted.") == told(
        allowed[0], ("number", "0912345678")
    )


def test_a_granted_path_is_explained_to_whom_it_is_granted() -> None:
    """
    For others it does not exist, as at a call.
    """
    path = "/servicemanager/rest/SmsAPI/send"
    granted = Caller("granted", (), query_token_allowed=True, grants=(Grant("g9", GLOBAL, (path,)),))
    got = explain(granted, load_catalogue(), path, [("anything", "1")], "61").as_json(7)

    assert ("allow", path, "g9") == (got["decision"], got["operation"], got["grant_id"])
    assert "operation_unknown" == explained(path)["reason"]
    assert "operation_unknown" == explain(granted, load_catalogue(), "SmsAPI/send", [], "61").as_json(7)["reason"]


def test_a_caller_s_operations_are_the_catalogue_s_and_its_own_paths() -> None:
    """
    Each surveyed as if its parameters passed, because nobody knows them yet.
    """
    path = "/servicemanager/rest/SmsAPI/send"
    gone = Credential("c3", "gone", GLOBAL.upstream, Kind.GLOBAL, None, None)
    rules = (parse_rule("extension", "410"),)
    grants = (Grant("g0", gone, ("*/hangup",)), Grant("g1", GLOBAL, ("*",), rules), Grant("g2", GLOBAL, (path, path)))
    caller = Caller("crm", (), query_token_allowed=True, grants=grants)
    operations = find_operations(load_catalogue(), caller)
    decisions = {each.name: survey(caller, each) for each in operations}

    assert len(load_catalogue().operations) + 1 == len(operations)
    assert ["g1", "g1", "g2"] == [
        each.grant.grant_id if each.grant else None
        for each in (decisions["CallManagementAPI/stop"], decisions["CallManagementAPI/hangup"], decisions[path])
    ]
    assert Reason.OPERATION_NOT_GRANTED is decisions["CampaignAPI/getCampaignList"].reason
    assert Reason.OPERATION_NOT_SERVED is decisions["Time"].reason
    alone = Caller("crm", (), query_token_allowed=True, grants=grants[:1])
    assert Reason.CREDENTIAL_UNAVAILABLE is survey(alone, operations[1]).reason
    assert Reason.TOKEN_INVALID is survey(None, operations[0]).reason
    assert load_catalogue().operations == find_operations(load_catalogue(), None)


def test_credentials_among_the_parameters_are_taken_out() -> None:
    """
    As in a call: they have no influence, not even twice.
    """
    assert "allow" == explained("CallManagementAPI/stop", ("apiKey", "x"), ("API_KEY", "y"), ("hash", "\n"))["decision"]


def test_words_of_the_command_line_that_are_no_utf_8_are_refused() -> None:
    """
    Such bytes arrive as surrogates, and a reason comes out, not an exception.
    """
    word = os.fsdecode(b"\xff")

    assert "operation_unknown" == explained(f"/{word}")["reason"]
    assert "operation_unknown" == explained(word)["reason"]
    assert "parameter_malformed" == explained("CallManagementAPI/stop", ("tag", word))["reason"]
    assert "parameter_malformed" == explained("CallManagementAPI/stop", (word, "1"))["reason"]
