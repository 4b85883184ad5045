"""
How a node ends: SIGTERM is an order to drain, and nobody who has come is left without an answer.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
from certificates import open_tls, write_certificate
from installation import API, Installation, wait_until

from gateway.settings.model import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from noojee import Noojee

START = f"{API}/start?extenOrUniqueId=410"
DIAL = f"{API}/dial?number=0412345678&extenOrUniqueId=SIP/411"


def render(target: str, token: str) -> bytes:
    """
    A call as it goes over the wire.
    """
    return f"POST {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def read_to_end(connection: socket.socket) -> bytes:
    """
    All that comes until the other side closes.
    """
    answer = b""
    while data := connection.recv(65536):
        answer += data
    return answer


def test_a_drain_lasts_longer_than_any_call_that_dials(tmp_path: Path) -> None:
    """
    A lead call may take 75 seconds, and then still be answered and recorded.
    """
    settings = Settings(data_dir=tmp_path)

    assert 90 == settings.drain_timeout.total_seconds()
    assert settings.drain_timeout > max(settings.lead_reply_timeout, settings.write_reply_timeout)


@pytest.mark.parametrize("dials", [False, True])
def test_who_has_connected_when_the_order_comes_gets_an_answer(
    installation: Installation, noojee: Noojee, *, dials: bool
) -> None:
    """
    Connections that the worker has not accepted yet, their calls in the kernel, and one that has yet to send.

    Whether a call runs, for which the drain lasts, or none.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    noojee.break_next("CallManagementAPI/dial", "delay", 4)
    with installation.serve() as gateway:
        worker = gateway.worker_pid
        dialling = socket.create_connection(("127.0.0.1", gateway.port), 20)
        if dials:
            dialling.sendall(render(DIAL, token))
            wait_until(noojee.requests, "the dial is at Noojee")
        late = socket.create_connection(("127.0.0.1", gateway.port), 20)
        wait_until(lambda: gateway.call("/readyz", method="GET").status == 200, "it was accepted")
        os.kill(worker, signal.SIGSTOP)
        waiting = [socket.create_connection(("127.0.0.1", gateway.port), 20) for _ in range(20)]
        for caller in waiting:
            caller.sendall(render(START, token))
        gateway.process.terminate()
        os.kill(worker, signal.SIGCONT)

        answers = [read_to_end(caller) for caller in waiting]
        late.sendall(render(START, token))
        answers.append(read_to_end(late))

        refused = [answer for answer in answers if answer.startswith(b"HTTP/1.1 503 ")]
        for answer in refused:
            head, _, body = answer.partition(b"\r\n\r\n")
            assert b"\r\nRetry-After: 5" in head
            assert "draining" == json.loads(body)["reason"]
        assert answers[-1] in refused
        # Some may have been heard before the order was.
        served = [answer for answer in answers if answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 "))]
        assert len(answers) == len(refused) + len(served)
        if dials:
            assert read_to_end(dialling).startswith(b"HTTP/1.1 200 ")
        assert 0 == gateway.process.wait(20)
        for caller in (*waiting, late, dialling):
            caller.close()
    assert len(served) + dials == len(noojee.requests())


def test_a_body_that_does_not_come_does_not_hold_up_the_end(installation: Installation, noojee: Noojee) -> None:
    """
    Nothing was sent for its call, which is refused and recorded as that; a call that runs has its time.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    noojee.break_next("CallManagementAPI/dial", "delay", 6)
    with installation.serve(GATEWAY_DRAIN_TIMEOUT="1m") as gateway:
        dialling, waiting = (socket.create_connection(("127.0.0.1", gateway.port), 20) for _ in range(2))
        with dialling, waiting:
            dialling.sendall(render(DIAL, token))
            waiting.sendall(render(START, token)[:-2] + b"Content-Length: 10\r\nExpect: 100-continue\r\n\r\n")
            assert waiting.recv(100).startswith(b"HTTP/1.1 100 ")
            wait_until(noojee.requests, "the dial is at Noojee")

            gateway.process.terminate()

            head, _, body = read_to_end(waiting).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nRetry-After: 5" in head
            assert "draining" == json.loads(body)["reason"]
            assert read_to_end(dialling).startswith(b"HTTP/1.1 200 ")
        assert 0 == gateway.process.wait(20)
    told = [(each["tag"], each.get("reason"), each.get("outcome")) for each in installation.calls()]
    assert [
        ("call.intended", None, None),
        ("call.denied", "draining", None),
        ("call.ended", None, "succeeded"),
    ] == told


@pytest.mark.parametrize("is_half", [False, True])
def test_a_handshake_that_is_under_way_is_waited_for(
    installation: Installation, tmp_path: Path, *, is_half: bool
) -> None:
    """
    Its caller, too, is told that the gateway is stopping; one that never speaks is not waited for long.
    """
    write_certificate(tmp_path)
    installation.environment |= {
        "GATEWAY_TLS_CERT_FILE": str(tmp_path / "tls.pem"),
        "GATEWAY_TLS_KEY_FILE": str(tmp_path / "tls.key"),
    }
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway:
        raw = socket.create_connection(("127.0.0.1", gateway.port), 20)
        open_tls(gateway.port).close()  # behind it in the queue
        gateway.process.terminate()
        if is_half:
            wait_until(lambda: not listens(gateway.port), "nobody can connect any more")
            with shake_hands(raw) as caller:
                caller.sendall(render(START, token))
                assert caller.recv(65536).startswith(b"HTTP/1.1 503 ")
        assert 0 == gateway.process.wait(20)
        raw.close()


def shake_hands(raw: socket.socket) -> socket.socket:
    """
    Begin TLS on a connection.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(raw)


def listens(port: int) -> bool:
    """
    Whether anybody does.
    """
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return False
    return True
