"""
The simulator's checkState and answer.
"""

from __future__ import annotations

import concurrent.futures
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx2

CALLS = "/servicemanager/rest/CallManagementAPI/"


def call(noojee: httpx2.Client, method: str, **parameters: str) -> tuple[int, Any]:
    """
    Status and parsed body of a CallManagementAPI operation.
    """
    response = noojee.post(CALLS + method, params=parameters)
    return response.status_code, response.json()


def test_check_state_tells_the_latest_call_of_each_extension(noojee: httpx2.Client) -> None:
    """
    On Call, then Hung Up, by the bare extension; an extension without a call has a code alone.
    """
    call(noojee, "dial", number="0491570006", extenOrUniqueId="SIP/102")
    status, body = call(noojee, "checkState", extenOrUniqueId="SIP/102,101", timeOut="0")
    unique_id = body["State"]["102"]["uniqueCallId"]
    expected = {"102": {"uniqueCallId": unique_id, "Message": "On Call", "Code": 0}, "101": {"Code": 0}}
    assert (200, {"State": expected, "Code": 0}) == (status, body)

    call(noojee, "hangup", extenOrUniqueId="102")
    expected["102"]["Message"] = "Hung Up"
    assert {"State": expected, "Code": 0} == call(noojee, "checkState", extenOrUniqueId="102,101", timeOut="0")[1]


def test_check_state_waits_for_the_next_event(noojee: httpx2.Client) -> None:
    """
    It is among the polls while it waits, and an end of the polls answers it.
    """
    call(noojee, "dial", number="0491570006", extenOrUniqueId="SIP/102")
    wakes = (
        lambda: call(noojee, "hangup", extenOrUniqueId="102"),
        lambda: noojee.delete("/simulator/polls"),
    )
    for wake in wakes:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(call, noojee, "checkState", extenOrUniqueId="101,102")
            wait_for_poll(noojee)
            wake()
            _, body = waiting.result(5)
        assert "Hung Up" == body["State"]["102"]["Message"]


def wait_for_poll(noojee: httpx2.Client) -> None:
    """
    Return when a poll of ten seconds is waiting.
    """
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        polls = noojee.get("/simulator/polls").json()
        if polls:
            assert [("101,102", 10)] == [(poll["exten"], poll["timeOut"]) for poll in polls]
            return
        time.sleep(0.01)
    pytest.fail("nothing waits within 5 seconds")


def test_check_state_without_an_event_answers_when_its_time_is_over(noojee: httpx2.Client) -> None:
    """
    With the states as they are.
    """
    assert {"State": {"101": {"Code": 0}}, "Code": 0} == call(noojee, "checkState", extenOrUniqueId="101", timeOut="1")[
        1
    ]


def test_a_call_is_answered_by_its_unique_id_at_its_extension(noojee: httpx2.Client) -> None:
    """
    It tells its state again; another extension and an unknown call are errors.
    """
    call(noojee, "dial", number="0491570006", extenOrUniqueId="SIP/410")
    _, events = call(noojee, "subscribe", exten="410", lastSequenceNumber="0", timeOut="0")
    unique_id = events["Data"]["410"][0]["CallData"]["uniqueCallId"]

    answered = call(noojee, "answer", uniqueId=unique_id, exten="SIP/410", answerString="Call-Info: answer-after=0")
    assert (200, {"Message": "Call answered", "Code": 0}) == answered
    _, later = call(noojee, "subscribe", exten="410", lastSequenceNumber=str(events["seq"]), timeOut="0")
    assert ["Connected"] == [each["CallData"]["status"] for each in later["Data"]["410"]]
    for wrong in ({"exten": "411"}, {"uniqueId": "1700000000.999"}):
        refused = call(noojee, "answer", **({"uniqueId": unique_id, "exten": "410"} | wrong))
        assert (400, {"Code": -2, "Message": "No such channel"}) == refused
