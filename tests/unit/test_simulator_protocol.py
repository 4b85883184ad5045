"""
The simulator's connections: what a peculiar client sends, and how everything ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING

import pytest
import uvloop

from gateway.simulator import Simulator, run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx2

TIME = "/servicemanager/rest/Time"


def converse(caller: ssl.SSLSocket, request: bytes) -> bytes:
    """
    Send, then read until the simulator closes.
    """
    caller.sendall(request)
    received = b""
    while data := caller.recv(65536):
        received += data
    return received


def test_a_post_without_a_length_is_answered(connect: Callable[[], ssl.SSLSocket]) -> None:
    """
    The vendor's Java client sends none.
    """
    with connect() as caller:
        reply = converse(caller, f"POST {TIME} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
    assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close\r\n" in reply


def test_requests_sent_at_once_are_answered_in_order_on_one_connection(
    noojee: httpx2.Client, connect: Callable[[], ssl.SSLSocket]
) -> None:
    """
    The last one says that it is the last; head bytes may arrive in pieces.
    """
    first = f"GET {TIME} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
    second = f"POST {TIME} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
    with connect() as caller:
        caller.sendall(first[:9])
        reply = converse(caller, first[9:] + second)
    assert reply.startswith(b"HTTP/1.1 405 ")
    assert reply.count(b"HTTP/1.1 ") == 2
    assert len({entry["connection"] for entry in noojee.get("/simulator/connections").json()}) == 1


def test_an_absolute_target_is_served(connect: Callable[[], ssl.SSLSocket]) -> None:
    """
    Its authority counts for nothing.
    """
    with connect() as caller:
        reply = converse(caller, f"POST https://elsewhere.example{TIME} HTTP/1.0\r\n\r\n".encode())
    assert reply.startswith(b"HTTP/1.1 200 ")


def test_a_head_request_is_answered_without_a_body(connect: Callable[[], ssl.SSLSocket]) -> None:
    """
    Otherwise the body would be read as the next reply.
    """
    with connect() as caller:
        reply = converse(caller, f"HEAD {TIME} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
    assert reply.startswith(b"HTTP/1.1 405 ")
    assert reply.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("junk", [b"\x00\x01\r\n\r\n", b"POST /x HTTP/1.1\r\nBad Header: 1\r\n\r\n"])
def test_what_is_not_http_gets_a_400_and_the_end(connect: Callable[[], ssl.SSLSocket], junk: bytes) -> None:
    """
    Also behind a good request, which is answered first.
    """
    with connect() as caller:
        assert converse(caller, junk).startswith(b"HTTP/1.1 400 ")
    with connect() as caller:
        reply = converse(caller, f"POST {TIME} HTTP/1.1\r\nHost: h\r\n\r\n".encode() + junk)
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 400 " in reply


def test_an_upgrade_is_not_made(connect: Callable[[], ssl.SSLSocket]) -> None:
    """
    The request is answered and the connection closed.
    """
    head = f"POST {TIME} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    with connect() as caller:
        assert converse(caller, head.encode()).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_asks_first_is_told_to_go_on(connect: Callable[[], ssl.SSLSocket]) -> None:
    """
    `Expect: 100-continue` is answered before the body comes.
    """
    head = f"POST {TIME} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    with connect() as caller:
        caller.sendall(head.encode())
        assert caller.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert converse(caller, b"ab").startswith(b"HTTP/1.1 200 ")


def test_a_body_beyond_the_bound_is_refused(noojee: httpx2.Client) -> None:
    """
    It is read to its end, so that the answer arrives.
    """
    response = noojee.post(TIME, content=b"x" * (16 * 2**20 + 1))
    assert response.status_code == 413


def test_a_slow_reader_gets_a_large_reply_whole(noojee: httpx2.Client) -> None:
    """
    Writing waits for the reader instead of filling memory.
    """
    noojee.put("/simulator/faults", json=[{"operation": "Time", "kind": "large", "value": 8_000_000}])
    with noojee.stream("POST", TIME) as response:
        time.sleep(0.2)
        assert sum(len(chunk) for chunk in response.iter_raw()) == 8_000_000


def test_a_caller_of_tls_1_1_is_refused(simulator: Simulator) -> None:
    """
    At least TLS 1.2.
    """
    port = int(simulator.url.rpartition(":")[2])
    context = ssl.create_default_context(cafile=str(simulator.ca_file))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match=r"TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1

    async def shake_hands() -> None:
        await asyncio.open_connection("127.0.0.1", port, ssl=context)

    with pytest.raises((ssl.SSLError, ConnectionError)):
        asyncio.run(shake_hands())


def test_a_stop_answers_polls_and_leaves_nothing_open(tmp_path: Path) -> None:
    """
    A waiting poll gets its idle reply, an idle connection is closed, an endless delay is cut off after a second.
    """

    async def run() -> list[bytes]:
        simulator = Simulator(tmp_path / "data")
        await simulator.start()
        port = int(simulator.url.rpartition(":")[2])
        context = ssl.create_default_context(cafile=str(simulator.ca_file))
        key = simulator.global_key_file.read_text().strip()
        poll = f"/servicemanager/rest/CallManagementAPI/subscribe?exten=1&lastSequenceNumber=0&timeOut=60&apiKey={key}"
        fault = b'[{"operation": "Time", "kind": "delay", "value": 60}]'
        callers = [await asyncio.open_connection("127.0.0.1", port, ssl=context) for _ in range(3)]
        callers[0][1].write(b"PUT /simulator/faults HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(fault), fault))
        await callers[0][0].readuntil(b"]")
        callers[1][1].write(f"POST {TIME} HTTP/1.1\r\n\r\n".encode())
        callers[2][1].write(f"POST {poll} HTTP/1.1\r\n\r\n".encode())
        callers[0][1].write(b"GET /simulator/polls HTTP/1.1\r\n\r\n")
        await callers[0][0].readuntil(b"}]")
        began = time.monotonic()
        await simulator.stop()
        await simulator.stop()
        assert time.monotonic() - began < 4
        assert "not started" in repr(simulator)
        received = []
        for reader, writer in callers:
            received.append(await reader.read())
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        return received

    idle, delayed, polled = asyncio.run(run())
    assert idle == b""
    assert delayed == b""
    assert polled.endswith(b'{"Data": {}, "seq": 0, "Code": 0}')


def test_a_simulator_is_started_again_on_its_folder_with_the_same_keys(tmp_path: Path) -> None:
    """
    Keys and CA stay; what was removed is made again.
    """
    with run_in_background(tmp_path / "data") as simulator:
        kept = (simulator.ca_file.read_bytes(), simulator.global_key_file.read_bytes())
        url, alice = simulator.url, simulator.user_key_files["alice"].read_bytes()
    simulator.user_key_files["alice"].unlink()
    with pytest.raises(RuntimeError, match="not started"):
        _ = simulator.url
    port = int(url.rpartition(":")[2])
    with run_in_background(tmp_path / "data", user_logins=["alice", "bob"], port=port) as again:
        assert (again.ca_file.read_bytes(), again.global_key_file.read_bytes()) == kept
        assert again.user_key_files["alice"].read_bytes() != alice
        assert again.user_key_files["bob"].exists()
        assert again.url == url


def test_an_ipv6_address_is_written_in_brackets(tmp_path: Path) -> None:
    """
    `https://[::1]:PORT`, whose certificate names it.
    """
    with contextlib.suppress(OSError), run_in_background(tmp_path / "data", host="::1") as simulator:
        assert simulator.url.startswith("https://[::1]:")


def test_it_listens_on_both_loopback_addresses(simulator: Simulator) -> None:
    """
    With one port and one certificate, where the machine has ::1; the control interface answers there, too.
    """
    port = int(simulator.url.rpartition(":")[2])
    context = ssl.create_default_context(cafile=str(simulator.ca_file))
    try:
        plain = socket.create_connection(("::1", port), timeout=5)
    except OSError as error:
        pytest.skip(f"this machine has no ::1: {error}")
    with context.wrap_socket(plain, server_hostname="::1") as caller:
        caller.sendall(b"GET /simulator/requests HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert caller.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_port_that_is_taken_on_one_of_them_is_told_if_it_was_named(tmp_path: Path) -> None:
    """
    `localhost` would lead to a stranger; nothing is left listening.
    """
    try:
        taken = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"this machine has no ::1: {error}")
    with taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"), run_in_background(tmp_path / "data", port=port):
            pytest.fail("another listens on ::1")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


def test_it_also_runs_on_uvloop(tmp_path: Path) -> None:
    """
    A reset is a reset there too.
    """

    async def run() -> None:
        simulator = Simulator(tmp_path / "data")
        await simulator.start()
        port = int(simulator.url.rpartition(":")[2])
        context = ssl.create_default_context(cafile=str(simulator.ca_file))
        fault = b'[{"operation": "*", "kind": "reset_after"}]'
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(b"PUT /simulator/faults HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(fault), fault))
        await reader.readuntil(b"]")
        writer.write(f"POST {TIME} HTTP/1.1\r\n\r\n".encode())
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        writer.close()
        await simulator.stop()

    uvloop.run(run())


def test_a_simulator_in_the_background_ends_its_thread(tmp_path: Path) -> None:
    """
    Also when it could not start.
    """
    before = set(threading.enumerate())
    with run_in_background(tmp_path / "one") as simulator:
        port = int(simulator.url.rpartition(":")[2])
        with pytest.raises(OSError, match=r"in use"), run_in_background(tmp_path / "two", port=port):
            pytest.fail("two simulators on one port")
    assert set(threading.enumerate()) <= before
