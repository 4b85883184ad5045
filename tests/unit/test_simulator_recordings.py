"""
The simulator's recordings: those of the calls that were placed, by tag, by unique id and by the hour.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from gateway.simulator.calls import Call
from gateway.simulator.messages import RefusalError
from gateway.simulator.recordings import Recordings

if TYPE_CHECKING:
    import httpx2

CALLS = "/servicemanager/rest/CallManagementAPI/"
RECORDINGS = "/njadmin/rest/RecordingAPI/"
MEMBERS = {
    "Source",
    "Destination",
    "UniqueId",
    "Username",
    "Start",
    "Duration",
    "Tag",
    "Direction",
    "CallRecordId",
    "DID",
    "Leg",
}


class Clock:
    """
    A clock that a test sets.
    """

    def __init__(self) -> None:
        self.now = datetime(2026, 9, 14, 15, 3, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        """
        The instant that it was set to.
        """
        return self.now


def list_recordings(noojee: httpx2.Client, method: str, **parameters: str) -> Any:
    """
    The bare list of a metadata operation.
    """
    response = noojee.post(RECORDINGS + method, params=parameters)
    assert response.status_code == 200
    return response.json()


def test_a_recorded_call_is_listed_by_its_tag_when_it_has_ended(noojee: httpx2.Client) -> None:
    """
    A bare list of one leg whose values are texts, without any code.
    """
    call = {"number": "0491570006", "extenOrUniqueId": "SIP/410", "record": "true", "tag": "vip"}
    noojee.post(CALLS + "dial", params=call)
    assert [] == list_recordings(noojee, "retrieveMetaData", tag="vip")
    noojee.post(CALLS + "hangup", params={"extenOrUniqueId": "410"})

    (leg,) = list_recordings(noojee, "retrieveMetaData", tag="vip")
    assert leg.keys() == MEMBERS
    assert all(isinstance(value, str) for value in leg.values())
    assert ("410", "0491570006", "vip", "1") == (leg["Source"], leg["Destination"], leg["Tag"], leg["Leg"])
    assert [] == list_recordings(noojee, "retrieveMetaData", tag="VIP")


def test_a_recording_is_listed_by_the_unique_id_of_its_call(noojee: httpx2.Client) -> None:
    """
    It is told with whom it was started for, at the old location too; a tag that two calls share lists both.
    """
    for _ in range(2):
        noojee.post(CALLS + "start", params={"extenOrUniqueId": "410", "agentLoginName": "alice", "tag": "a b"})
        noojee.post(CALLS + "stop", params={"extenOrUniqueId": "410"})
    first, second = list_recordings(noojee, "retrieveMetaData", tag="a b")
    assert first["CallRecordId"] != second["CallRecordId"]

    (leg,) = list_recordings(noojee, "retrieveMetaDataByUniqueId", uniqueId=first["UniqueId"])
    assert first == leg
    assert "alice" == leg["Username"]
    old = noojee.post(CALLS + "retrieveMetaDataByUniqueId", params={"uniqueId": first["UniqueId"]})
    assert [leg] == old.json()
    assert [first, second] == noojee.post(CALLS + "retrieveMetaData", params={"tag": "a b"}).json()


def test_a_call_that_was_not_recorded_is_not_listed(noojee: httpx2.Client) -> None:
    """
    A tag without `record=true` labels nothing, and a reset forgets what was recorded.
    """
    call = {"number": "0491570006", "extenOrUniqueId": "SIP/410", "tag": "vip"}
    for extra in ({}, {"record": "true"}):
        noojee.post(CALLS + "dial", params=call | extra)
        noojee.post(CALLS + "hangup", params={"extenOrUniqueId": "410"})
        assert len(extra) == len(list_recordings(noojee, "retrieveMetaData", tag="vip"))
    noojee.delete("/simulator/calls")
    assert [] == list_recordings(noojee, "retrieveMetaData", tag="vip")


def test_a_second_recorded_call_ends_the_recording_of_the_first(noojee: httpx2.Client) -> None:
    """
    One recording runs at an extension, and both are listed in the end.
    """
    for tag in ("one", "two"):
        call = {"number": "0491570006", "extenOrUniqueId": "SIP/410", "record": "true", "tag": tag}
        noojee.post(CALLS + "dial", params=call)
    assert 1 == len(list_recordings(noojee, "retrieveMetaData", tag="one"))
    noojee.post(CALLS + "hangup", params={"extenOrUniqueId": "410"})
    assert 1 == len(list_recordings(noojee, "retrieveMetaData", tag="two"))


def test_the_hourly_list_is_given_once_a_minute(noojee: httpx2.Client) -> None:
    """
    An empty list for an hour without recordings, then 429; a date that is none is a 400 and spends nothing.
    """
    asked = {"date": "2001/01/01", "hour": "9"}
    for wrong in ({"date": "2001-01-01"}, {"date": "2001/02/30"}, {"hour": "24"}, {"hour": "nine"}):
        assert 400 == noojee.post(RECORDINGS + "retrieveMetaDataByHour", params=asked | wrong).status_code
    assert [] == list_recordings(noojee, "retrieveMetaDataByHour", **asked)
    refused = noojee.post(RECORDINGS + "retrieveMetaDataByHour", params=asked)

    assert 429 == refused.status_code
    assert {"Code": -2, "Message": "Only one call a minute is allowed"} == refused.json()


def test_the_hour_is_that_in_which_a_recording_ended() -> None:
    """
    Its instants and its direction are words in this form, and its end is told.
    """
    clock = Clock()
    recordings = Recordings(clock)
    recordings.start(Call(1, "410", "1700000000.1", "0491570006"), tag="vip")
    clock.now += timedelta(minutes=58)
    recordings.stop("410")

    assert [] == recordings.list_by_hour("2026/09/14", 15)
    clock.now += timedelta(minutes=1)
    (leg,) = recordings.list_by_hour("2026/09/14", 16)
    assert leg.keys() == MEMBERS | {"callend"}
    assert "Mon Sep 14 15:03:30 UTC 2026" == leg["Start"]
    assert "Mon Sep 14 16:01:30 UTC 2026" == leg["callend"]
    assert "3480" == leg["Duration"]
    (other,) = recordings.list_by_tag("vip")
    assert "2026-09-14 15:03:30.0" == other["Start"]
    assert leg["Direction"].isalpha()
    assert other["Direction"].isdecimal()


def test_a_minute_must_be_between_hourly_lists() -> None:
    """
    From answer to answer; what was refused in between does not begin it anew.
    """
    clock = Clock()
    recordings = Recordings(clock)
    recordings.list_by_hour("2026/09/14", 15)
    clock.now += timedelta(seconds=59)
    with pytest.raises(RefusalError, match="one call a minute"):
        recordings.list_by_hour("2026/09/14", 15)
    clock.now += timedelta(seconds=1)

    assert [] == recordings.list_by_hour("2026/09/14", 15)
