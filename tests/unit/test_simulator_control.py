"""
The simulator's log of requests, its white-list and its control interface.
"""

from __future__ import annotations

import hashlib
import http.client
import ssl
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.simulator import run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx2

START = "/servicemanager/rest/CallManagementAPI/start"


def test_a_request_is_logged_as_it_was_received(noojee: httpx2.Client, connect: Callable[[], ssl.SSLSocket]) -> None:
    """
    Raw target, header names as written, the body's digest, the peer; control requests are not logged.
    """
    body = b"tag=%41"
    target = "/nowhere//x%2Fy?apiKey=k&a=b;c#d"
    with connect() as caller:
        caller.sendall(
            f"PUT {target} HTTP/1.1\r\nHost: h\r\nX-oDD: v\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )
        assert caller.recv(65536).startswith(b"HTTP/1.1 404 ")
    noojee.post(START)
    first, second = noojee.get("/simulator/requests").json()
    assert (first["seq"], second["seq"]) == (1, 2)
    assert ("PUT", target, "127.0.0.1") == (first["method"], first["target"], first["peer"])
    assert first["headers"] == [["Host", "h"], ["X-oDD", "v"], ["Content-Length", "7"]]
    assert first["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert second["body_sha256"] == hashlib.sha256(b"").hexdigest()
    one, other = noojee.get("/simulator/connections").json()
    assert one["connection"] != other["connection"]
    assert first["at"].endswith("Z")


def test_the_log_starts_again_after_a_reset(noojee: httpx2.Client) -> None:
    """
    An empty list, then number 1.
    """
    noojee.post(START)
    assert noojee.delete("/simulator/requests").json() == []
    assert noojee.get("/simulator/requests").json() == []
    noojee.post(START)
    assert [entry["seq"] for entry in noojee.get("/simulator/requests").json()] == [1]


def test_a_request_that_stays_incomplete_is_logged_when_its_connection_ends(
    noojee: httpx2.Client, connect: Callable[[], ssl.SSLSocket]
) -> None:
    """
    Nobody can say that nothing arrived; without its whole body it has no digest.
    """
    with connect() as caller:
        caller.sendall(f"POST {START} HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc".encode())
    entries = wait_for_requests(noojee)
    assert [(entry["target"], entry["body_sha256"]) for entry in entries] == [(START, None)]


def wait_for_requests(noojee: httpx2.Client) -> list[Any]:
    """
    The log as soon as there is something on it.
    """
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        entries = noojee.get("/simulator/requests").json()
        if entries:
            return list(entries)
        time.sleep(0.01)
    pytest.fail("nothing was logged within 5 seconds")


@pytest.mark.parametrize(
    ("verb", "name", "status"),
    [
        ("POST", "requests", 405),
        ("PUT", "requests", 405),
        ("PUT", "calls", 405),
        ("POST", "faults", 405),
        ("GET", "", 404),
        ("GET", "everything", 404),
        ("DELETE", "requests/1", 404),
    ],
)
def test_the_control_interface_refuses_what_it_has_not(
    noojee: httpx2.Client, verb: str, name: str, status: int
) -> None:
    """
    With a sentence in JSON; a wrong verb with the right ones.
    """
    response = noojee.request(verb, f"/simulator/{name}")
    assert response.status_code == status
    assert response.json()["error"]
    assert ("allow" in response.headers) == (status == 405)


def ask(port: int, ca_file: Path, verb: str, target: str, source: str) -> tuple[int, bytes]:
    """
    Status and body of a request made from a source address of the loopback network.
    """
    context = ssl.create_default_context(cafile=str(ca_file))
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, source_address=(source, 0), timeout=5)
    try:
        connection.request(verb, target)
        response = connection.getresponse()
        return response.status, response.read()
    except OSError as error:
        pytest.skip(f"no source address {source} here: {error}")
    finally:
        connection.close()


def test_an_address_outside_the_white_list_is_refused(tmp_path: Path) -> None:
    """
    403 with JSON, before the key is looked at and without touching a fault; the control interface knows loopback alone.
    """
    with run_in_background(tmp_path / "data", allow=["127.0.0.2"]) as simulator:
        port = int(simulator.url.rpartition(":")[2])
        target = f"{START}?extenOrUniqueId=410&apiKey={simulator.global_key_file.read_text().strip()}"
        assert ask(port, simulator.ca_file, "GET", "/simulator/requests", "127.0.0.1")[0] == 200
        status, body = ask(port, simulator.ca_file, "POST", target, "127.0.0.1")
        assert (status, body) == (403, b'{"Code": -2, "Message": "Address not on the white-list"}')
        assert ask(port, simulator.ca_file, "POST", target, "127.0.0.2")[0] == 200


def test_a_white_list_of_elsewhere_refuses_loopback(tmp_path: Path) -> None:
    """
    `allow` stands in place of the default; several networks can be named.
    """
    with run_in_background(tmp_path / "data", allow=["10.0.0.0/8", "2001:db8::/32"]) as simulator:
        port = int(simulator.url.rpartition(":")[2])
        assert ask(port, simulator.ca_file, "POST", "/servicemanager/rest/Time", "127.0.0.1")[0] == 403
