"""
`explain`: the same code as a call's, from the command line's words to the value that is printed.
"""

from __future__ import annotations

import os

import pytest

from gateway.access.caller import Caller
from gateway.access.credential import Credential, Kind
from gateway.access.explain import explain, find_operation
from gateway.access.grant import Grant
from gateway.access.upstream import Upstream
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
