"""
Law 6, deny by default: a caller does what a grant covers, and a user credential never reaches a system operation.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gateway

if TYPE_CHECKING:
    from noojee import House, Noojee

CATALOGUE: list[dict[str, Any]] = json.loads(
    (Path(gateway.__file__).parent / "noojee" / "catalogue.json").read_text(encoding="utf-8")
)
"""The data itself, read without the code whose reading is in question."""

PATHS = [entry["path"] for entry in CATALOGUE]
SERVED = [entry for entry in CATALOGUE if entry["method"] and entry["status"] != "legacy"]


def call_all(house: House, caller: str) -> dict[str, tuple[int, str | None]]:
    """
    Call every path of the catalogue; status and reason of each answer, the reason None where it is Noojee's own.
    """
    answers: dict[str, tuple[int, str | None]] = {}
    for path in PATHS:
        response = house.call(f"{path}?timeOut=0", caller)
        is_ours = response.headers["content-type"] == "application/problem+json"
        answers[path] = (response.status, response.reason if is_ours else None)
    return answers


def sent_paths(noojee: Noojee, key: str) -> set[str]:
    """
    The paths that reached Noojee with one of the keys.
    """
    found = (target.split("?") for target in noojee.targets())
    return {path for path, query in found if query.split("&")[0] == f"apiKey={key}"}


def test_a_caller_without_grants_may_do_nothing(house: House, noojee: Noojee) -> None:
    """
    Its token is good, and each path of the catalogue is refused.
    """
    answers = call_all(house, "idle")

    assert {403, 404} == {status for status, _ in answers.values()}
    assert {(403, "operation_not_granted")} == {answers[entry["path"]] for entry in SERVED}
    assert [] == noojee.requests()


def test_a_caller_may_do_what_its_grant_names_and_nothing_else(house: House, noojee: Noojee) -> None:
    """
    Two operations of one family: of all the others not one goes up.
    """
    answers = call_all(house, "recorder")

    granted = {f"/servicemanager/rest/CallManagementAPI/{method}" for method in ("start", "stop")}
    assert granted == sent_paths(noojee, "GLOBAL")
    assert len(granted) == len(noojee.requests())
    assert granted == {path for path, (_, reason) in answers.items() if reason is None}


def test_a_user_credential_never_reaches_a_system_operation(house: House, noojee: Noojee) -> None:
    """
    Its grant says `*`, and campaign operations alone go up, those of unknown scope not.
    """
    answers = call_all(house, "overreaching")

    campaign = {entry["path"] for entry in SERVED if entry["scope"] == "campaign"}
    others = {entry["path"] for entry in SERVED} - campaign
    assert campaign == sent_paths(noojee, "USER")
    assert len(campaign) == len(noojee.requests())
    assert {(403, "operation_needs_global_credential")} == {answers[path] for path in others}
