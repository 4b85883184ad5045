"""
The simulator's rosters and health, which are known from the vendor's own client alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx2

ROSTERS = "/servicemanager/rest/rosterApi/getActiveRosters"
HEALTH = "/servicemanager/rest/systemHealth/test"
MEMBERS = {"id", "login", "extension", "phoneNumber", "mobileNumber", "email", "statckPostion"}


def list_team(noojee: httpx2.Client, team: str) -> Any:
    """
    The shifts of a team.
    """
    answered = noojee.post(ROSTERS, params={"teamName": team}).json()
    assert (0, "OK") == (answered["code"], answered["message"])
    return answered["entities"]


def test_a_roster_lists_the_shifts_of_its_team(noojee: httpx2.Client) -> None:
    """
    Ids and positions are numbers, everything else is text; a team that there is not is empty.
    """
    shifts = list_team(noojee, "Sales")

    assert ["alice", "bob"] == [shift["login"] for shift in shifts]
    assert [1, 2] == [shift["statckPostion"] for shift in shifts]
    assert [MEMBERS, MEMBERS] == [set(shift) for shift in shifts]
    assert [] == list_team(noojee, "sales")


def test_rosters_change_through_the_control_interface(noojee: httpx2.Client) -> None:
    """
    What was put is told until it is taken away again.
    """
    shown = noojee.put("/simulator/rosters", json=[{"teamName": "Night", "login": "dora", "extension": "499"}]).json()
    (shift,) = list_team(noojee, "Night")
    assert [{"teamName": "Night", **shift}] == shown == noojee.get("/simulator/rosters").json()
    assert ("dora", "499", "") == (shift["login"], shift["extension"], shift["email"])
    assert [] == list_team(noojee, "Sales")
    noojee.delete("/simulator/rosters")
    assert 2 == len(list_team(noojee, "Sales"))


@pytest.mark.parametrize(
    "value", [{}, [1], [{}], [{"login": "dora"}], [{"teamName": 1}], [{"teamName": "Night", "shoe": "41"}]]
)
def test_a_roster_that_cannot_be_read_changes_nothing(noojee: httpx2.Client, value: Any) -> None:
    """
    400 with a sentence.
    """
    answered = noojee.put("/simulator/rosters", json=value)

    assert 400 == answered.status_code
    assert answered.json()["error"]
    assert 2 == len(list_team(noojee, "Sales"))


def test_health_is_one_object_of_figures(noojee: httpx2.Client) -> None:
    """
    With the members that the vendor's client reads.
    """
    answered = noojee.post(HEALTH).json()
    (figures,) = answered["entities"]

    assert (0, "OK") == (answered["code"], answered["message"])
    assert {"ioWait", "cores", "steal", "dbPoolUsage", "backupStarting", "pingData"} <= figures.keys()
    assert figures["lastBackupSuccess"].endswith(" 00:00")


@pytest.mark.parametrize("path", [ROSTERS, HEALTH])
def test_both_are_given_to_get_too(noojee: httpx2.Client, path: str) -> None:
    """
    As their one known client asks; other verbs are refused.
    """
    assert 200 == noojee.get(path, params={"teamName": "Sales"}).status_code
    refused = noojee.put(path)
    assert (405, "POST, GET") == (refused.status_code, refused.headers["allow"])
    assert refused.json() == {"code": -2, "message": "The method must be POST or GET"}
