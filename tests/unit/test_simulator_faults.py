"""
Each fault of the simulator, seen from the other end of a real TLS connection.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS = "/servicemanager/rest/CallManagementAPI/"
START = CALLS + "start"


def put(noojee: httpx2.Client, kind: str, value: Any = None, operation: str = "CallManagementAPI/*") -> None:
    """
    Put one fault for one request.
    """
    fault = {"operation": operation, "times": 1, "kind": kind}
    if value is not None:
        fault["value"] = value
    response = noojee.put("/simulator/faults", json=[fault])
    assert response.status_code == 200


def start(noojee: httpx2.Client) -> httpx2.Response:
    """
    Start a recording at 410.
    """
    return noojee.post(START, params={"extenOrUniqueId": "410"})


def is_recording(noojee: httpx2.Client) -> bool:
    """
    True if a recording at 410 could be stopped; it is stopped then.
    """
    return noojee.post(CALLS + "stop", params={"extenOrUniqueId": "410"}).status_code == 200


def render_start(noojee: httpx2.Client) -> bytes:
    """
    The bytes of a request to start a recording at 410.
    """
    target = f"{START}?extenOrUniqueId=410&apiKey={noojee.params['apiKey']}"
    return f"POST {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def read_all(noojee: httpx2.Client, connect: Callable[[], ssl.SSLSocket]) -> tuple[bytes, bool]:
    """
    What a bare socket gets for a start, up to its end, and whether that end was announced by close_notify.
    """
    received = b""
    with connect() as caller:
        caller.sendall(render_start(noojee))
        try:
            while data := caller.recv(65536):
                received += data
        except ssl.SSLEOFError:
            return received, False
        return received, True


def test_a_delay_comes_after_the_operation(noojee: httpx2.Client) -> None:
    """
    The caller gives up, and the operation was carried out all the same.
    """
    put(noojee, "delay", 0.5)
    began = time.monotonic()
    assert start(noojee).status_code == 200
    assert time.monotonic() - began >= 0.5
    assert is_recording(noojee)
    put(noojee, "delay", 30)
    with pytest.raises(httpx2.ReadTimeout):
        noojee.post(START, params={"extenOrUniqueId": "410"}, timeout=0.3)
    assert is_recording(noojee)


def test_a_status_stands_in_place_of_the_operation(noojee: httpx2.Client) -> None:
    """
    The body is an error in the envelope of the family.
    """
    put(noojee, "status", 503)
    response = start(noojee)
    assert response.status_code == 503
    assert response.json()["Code"] < 0
    assert not is_recording(noojee)
    put(noojee, "status", 418, "CampaignAPI/*")
    assert noojee.post("/servicemanager/rest/CampaignAPI/getCampaignTemplateList").json()["code"] < 0


def test_a_redirect_stands_in_place_of_the_operation(noojee: httpx2.Client) -> None:
    """
    302 with the location that was asked for.
    """
    put(noojee, "redirect", "https://elsewhere.example/login")
    response = start(noojee)
    assert response.status_code == 302
    assert response.headers["location"] == "https://elsewhere.example/login"
    assert not is_recording(noojee)


def test_a_cookie_comes_with_the_ordinary_reply(noojee: httpx2.Client) -> None:
    """
    Nothing else about the reply changes.
    """
    put(noojee, "set_cookie", "JSESSIONID=abc; Path=/")
    response = start(noojee)
    assert response.json() == {"Message": "Recording started", "Code": 0}
    assert response.headers["set-cookie"] == "JSESSIONID=abc; Path=/"


@pytest.mark.parametrize("kept", [0, 7])
def test_a_cut_reply_has_its_true_length_and_fewer_bytes(
    noojee: httpx2.Client, connect: Callable[[], ssl.SSLSocket], kept: int
) -> None:
    """
    The operation was carried out; the body ends after the bytes asked for.
    """
    put(noojee, "cut", kept)
    received, is_announced = read_all(noojee, connect)
    head, _, body = received.partition(b"\r\n\r\n")
    whole = b'{"Message": "Recording started", "Code": 0}'
    assert f"Content-Length: {len(whole)}".encode() in head
    assert body == whole[:kept]
    assert is_announced
    assert is_recording(noojee)


@pytest.mark.parametrize(("kind", "is_done"), [("reset_before", False), ("reset_after", True)])
def test_a_reset_is_a_real_one_and_the_request_is_on_the_log(
    noojee: httpx2.Client, connect: Callable[[], ssl.SSLSocket], kind: str, *, is_done: bool
) -> None:
    """
    The kernel reports ECONNRESET, not an end; whether the operation was carried out is what the kinds differ in.
    """
    put(noojee, kind)
    with connect() as caller:
        caller.sendall(render_start(noojee))
        # Asked of the kernel, because Python's ssl tells a reset as an ordinary end.
        deadline = time.monotonic() + 5
        while not (error := caller.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) and time.monotonic() < deadline:
            time.sleep(0.01)
    assert error == errno.ECONNRESET
    assert len(noojee.get("/simulator/requests").json()) == 1
    assert is_recording(noojee) == is_done


def test_a_body_replaces_the_replys(noojee: httpx2.Client) -> None:
    """
    Status 200, the operation carried out.
    """
    put(noojee, "body", '{"Code": -7}')
    response = start(noojee)
    assert (response.status_code, response.json()) == (200, {"Code": -7})
    assert is_recording(noojee)


def test_a_large_reply_is_filled_with_spaces(noojee: httpx2.Client) -> None:
    """
    Three megabytes arrive, and they are the same JSON value.
    """
    put(noojee, "large", 3_000_000)
    response = start(noojee)
    assert len(response.content) == 3_000_000
    assert response.json()["Code"] == 0


@pytest.mark.parametrize(("kind", "is_announced"), [("close_delimited", True), ("truncated", False)])
def test_a_reply_without_a_length_ends_with_its_connection(
    noojee: httpx2.Client, connect: Callable[[], ssl.SSLSocket], kind: str, *, is_announced: bool
) -> None:
    """
    With close_notify or without; the body is the true one unless another is given.
    """
    put(noojee, kind)
    received, was_announced = read_all(noojee, connect)
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"Content-Length" not in head
    assert body == b'{"Message": "Recording started", "Code": 0}'
    assert was_announced == is_announced
    put(noojee, kind, '{"Code": ')
    assert read_all(noojee, connect)[0].endswith(b'\r\n\r\n{"Code": ')


def test_an_idle_connection_is_closed_unannounced(noojee: httpx2.Client, connect: Callable[[], ssl.SSLSocket]) -> None:
    """
    The reply promises nothing about the connection, which then ends.
    """
    put(noojee, "close_idle")
    received, _ = read_all(noojee, connect)
    assert b"Connection:" not in received
    assert received.endswith(b'"Code": 0}')


def test_a_raw_reply_goes_out_as_it_is(noojee: httpx2.Client, connect: Callable[[], ssl.SSLSocket]) -> None:
    """
    Whatever a test wants to see a client choke on.
    """
    put(noojee, "raw", "HTTP/1.1 200 O\xff\r\nContent-Le")
    assert read_all(noojee, connect) == (b"HTTP/1.1 200 O\xff\r\nContent-Le", True)


def test_a_stalled_reply_never_ends(noojee: httpx2.Client, connect: Callable[[], ssl.SSLSocket]) -> None:
    """
    What was asked for arrives, then nothing; the operation was carried out.
    """
    put(noojee, "stall", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")
    with connect() as caller:
        caller.sendall(render_start(noojee))
        assert caller.recv(65536).endswith(b"\r\n\r\n{")
        caller.settimeout(0.2)
        with pytest.raises(TimeoutError):
            caller.recv(65536)
    assert is_recording(noojee)


def test_a_status_without_a_body_leaves_the_connection_in_order(noojee: httpx2.Client) -> None:
    """
    204 has neither body nor length, and the next reply is read as such.
    """
    put(noojee, "status", 204)
    response = start(noojee)
    assert (response.status_code, response.content) == (204, b"")
    assert start(noojee).status_code == 200
    assert len({entry["connection"] for entry in noojee.get("/simulator/connections").json()}) == 1


def test_faults_serve_the_requests_they_match_in_order_and_are_used_up(noojee: httpx2.Client) -> None:
    """
    The first that matches serves; `*` is any run of characters and nothing else in a glob is special.
    """
    faults = [
        {"operation": "CallManagementAPI/st?p", "times": 1, "kind": "status", "value": 599},
        {"operation": "Call*/sto*", "times": 2, "kind": "status", "value": 500},
        {"operation": "*", "times": 1, "kind": "status", "value": 502},
    ]
    noojee.put("/simulator/faults", json=faults)
    seen = [noojee.post(CALLS + "stop").status_code for _ in range(4)]
    assert seen == [500, 500, 502, 400]
    assert noojee.get("/simulator/faults").json() == faults[:1]
    assert noojee.delete("/simulator/faults").json() == []
    assert noojee.get("/simulator/faults").json() == []


def test_the_time_and_unknown_paths_can_be_faulty_too(noojee: httpx2.Client) -> None:
    """
    `Time` has no method in its name; a path of another form has no name and is matched by `*` alone.
    """
    put(noojee, "status", 500, "Time")
    assert noojee.post("/other").status_code == 404
    assert noojee.post("/servicemanager/rest/Time").status_code == 500
    put(noojee, "status", 500, "*")
    assert noojee.post("/other").status_code == 500


@pytest.mark.parametrize(
    "faults",
    [
        {},
        [1],
        [{"operation": "*", "kind": "unknown"}],
        [{"operation": "*"}],
        [{"operation": "", "kind": "reset_after"}],
        [{"kind": "reset_after"}],
        [{"operation": "*", "kind": "reset_after", "value": 1}],
        [{"operation": "*", "kind": "reset_after", "times": 0}],
        [{"operation": "*", "kind": "reset_after", "times": True}],
        [{"operation": "*", "kind": "reset_after", "often": 2}],
        [{"operation": "*", "kind": "delay"}],
        [{"operation": "*", "kind": "delay", "value": -1}],
        [{"operation": "*", "kind": "delay", "value": True}],
        [{"operation": "*", "kind": "status", "value": 100}],
        [{"operation": "*", "kind": "redirect", "value": "/\r\nX: y"}],
        [{"operation": "*", "kind": "set_cookie", "value": 1}],
        [{"operation": "*", "kind": "cut", "value": -1}],
        [{"operation": "*", "kind": "large", "value": "much"}],
        [{"operation": "*", "kind": "body"}],
        [{"operation": "*", "kind": "raw", "value": "\u20ac"}],
        [{"operation": "*", "kind": "truncated", "value": 4}],
    ],
)
def test_a_list_that_cannot_be_read_is_refused_whole(noojee: httpx2.Client, faults: Any) -> None:
    """
    400 with a sentence, and the faults in force stay.
    """
    put(noojee, "delay", 0)
    before = noojee.get("/simulator/faults").json()
    response = noojee.put("/simulator/faults", json=faults)
    assert response.status_code == 400
    assert response.json()["error"]
    assert noojee.get("/simulator/faults").json() == before


@pytest.mark.parametrize("body", [b"", b"[", b"\xff", b"[" * 100_000])
def test_faults_that_are_not_json_are_refused(noojee: httpx2.Client, body: bytes) -> None:
    """
    400 with a sentence.
    """
    response = noojee.put("/simulator/faults", content=body)
    assert (response.status_code, response.json()) == (400, {"error": "the body is not JSON"})
