"""
The simulator's long poll: real waiting, one sequence for the server, events for the extensions asked for.
"""

from __future__ import annotations

import concurrent.futures
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx2

CALLS = "/servicemanager/rest/CallManagementAPI/"


def subscribe(noojee: httpx2.Client, exten: str, last: int = 0, time_out: int | None = 0) -> Any:
    """
    The parsed reply of a poll.
    """
    parameters = {"exten": exten, "lastSequenceNumber": str(last)}
    if time_out is not None:
        parameters["timeOut"] = str(time_out)
    response = noojee.post(CALLS + "subscribe", params=parameters, timeout=30)
    assert response.status_code == 200
    return response.json()


def dial(noojee: httpx2.Client, extension: str, **parameters: str) -> None:
    """
    Place a call from an extension.
    """
    parameters = {"number": "0412345678", "extenOrUniqueId": f"SIP/{extension}"} | parameters
    assert noojee.post(CALLS + "dial", params=parameters).status_code == 200


def wait_until(condition: Callable[[], bool]) -> None:
    """
    Return when the condition holds; fail after 5 seconds.
    """
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true within 5 seconds"
        time.sleep(0.01)


def get_states(reply: Any, extension: str) -> list[str]:
    """
    The states that a reply tells of an extension, in order.
    """
    return [entry["CallData"]["status"] for entry in reply["Data"][extension]]


def test_events_that_are_there_come_at_once_for_the_extensions_asked_for(noojee: httpx2.Client) -> None:
    """
    Several events of several extensions stand in one reply, under the bare extension, `seq` and `Code` beside `Data`.
    """
    dial(noojee, "410", callerId="0390000000")
    dial(noojee, "411")
    dial(noojee, "412")
    began = time.monotonic()
    reply = subscribe(noojee, "SIP/410,411", time_out=20)
    assert time.monotonic() - began < 5
    assert reply["Code"] == 0
    assert set(reply["Data"]) == {"410", "411"}
    assert get_states(reply, "410") == ["Dialing Out", "Connected"]
    entry = reply["Data"]["410"][1]
    assert entry["Code"] == 0
    assert entry["CallData"]["outboundDestination"] == "0412345678"
    assert entry["CallData"]["callerId"] == "0390000000"
    assert entry["CallData"]["isClickToDialCall"] is True


def test_sequence_numbers_belong_to_the_server_and_are_not_told_twice(noojee: httpx2.Client) -> None:
    """
    Whoever passes the number on gets what is new, and nothing again.
    """
    dial(noojee, "410")
    first = subscribe(noojee, "410")
    dial(noojee, "411")
    idle = subscribe(noojee, "410", first["seq"])
    assert idle["Data"] == {}
    assert idle["seq"] > first["seq"]
    noojee.post(CALLS + "hangup", params={"extenOrUniqueId": "410"})
    assert get_states(subscribe(noojee, "410", idle["seq"]), "410") == ["Hungup"]
    assert get_states(subscribe(noojee, "410", first["seq"]), "410") == ["Hungup"]


def test_a_waiting_poll_is_listed_and_woken_by_its_extension_alone(noojee: httpx2.Client) -> None:
    """
    A call at another extension leaves it waiting; one at its own ends it long before its time.
    """
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        waiting = pool.submit(subscribe, noojee, "410,411", 0, 25)
        wait_until(lambda: len(noojee.get("/simulator/polls").json()) == 1)
        (poll,) = noojee.get("/simulator/polls").json()
        assert (poll["exten"], poll["timeOut"]) == ("410,411", 25)
        assert poll["since"].endswith("Z")
        dial(noojee, "999")
        assert len(noojee.get("/simulator/polls").json()) == 1
        dial(noojee, "411")
        assert get_states(waiting.result(), "411") == ["Dialing Out", "Connected"]
        assert time.monotonic() - began < 10
    assert noojee.get("/simulator/polls").json() == []


def test_an_idle_poll_lasts_its_time_and_brings_the_number(noojee: httpx2.Client) -> None:
    """
    One second of waiting, then an empty `Data`; the shortest poll is about 100 ms.
    """
    began = time.monotonic()
    assert subscribe(noojee, "410", 0, 1) == {"Data": {}, "seq": 0, "Code": 0}
    assert time.monotonic() - began >= 0.95
    began = time.monotonic()
    subscribe(noojee, "410", 0, 0)
    assert time.monotonic() - began >= 0.09


def test_without_a_time_a_poll_waits_ten_seconds(noojee: httpx2.Client) -> None:
    """
    The documented default shows on the list of polls, which can be ended there.
    """
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(subscribe, noojee, "410", 0, None)
        wait_until(lambda: len(noojee.get("/simulator/polls").json()) == 1)
        assert noojee.get("/simulator/polls").json()[0]["timeOut"] == 10
        assert noojee.delete("/simulator/polls").status_code == 200
        assert waiting.result()["Data"] == {}


def test_start_and_stop_of_a_recording_wake_a_poll(noojee: httpx2.Client) -> None:
    """
    They tell the state of the extension's call again.
    """
    noojee.post(CALLS + "start", params={"extenOrUniqueId": "410"})
    noojee.post(CALLS + "stop", params={"extenOrUniqueId": "410"})
    assert get_states(subscribe(noojee, "410"), "410") == ["Connected", "Connected"]


def test_a_call_dialled_unmonitored_has_no_events(noojee: httpx2.Client) -> None:
    """
    `monitored=no` keeps it from subscribers.
    """
    dial(noojee, "410", monitored="no")
    assert subscribe(noojee, "410")["Data"] == {}


def test_a_poll_ends_with_its_connection(noojee: httpx2.Client, connect: Callable[[], Any]) -> None:
    """
    A caller who leaves takes the waiting poll along.
    """
    target = f"{CALLS}subscribe?exten=410&lastSequenceNumber=0&timeOut=60&apiKey={noojee.params['apiKey']}"
    with connect() as caller:
        caller.sendall(f"POST {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        wait_until(lambda: len(noojee.get("/simulator/polls").json()) == 1)
    wait_until(lambda: noojee.get("/simulator/polls").json() == [])


def test_a_reset_of_calls_keeps_the_sequence_number(noojee: httpx2.Client) -> None:
    """
    Calls, recordings and events are gone; a subscriber who passes its number on still hears what comes next.
    """
    dial(noojee, "410")
    last = subscribe(noojee, "410")["seq"]
    noojee.delete("/simulator/calls")
    assert noojee.get("/simulator/calls").json() == []
    assert noojee.post(CALLS + "hangup", params={"extenOrUniqueId": "410"}).status_code == 400
    assert subscribe(noojee, "410") == {"Data": {}, "seq": last, "Code": 0}
    dial(noojee, "410")
    assert get_states(subscribe(noojee, "410", last), "410") == ["Dialing Out", "Connected"]
