"""
Law 7, refusals have a status of 400 or more: never a 200, never a silently closed connection, never a made-up seq.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
from typing import TYPE_CHECKING

import pytest
from installation import API, wait_until
from raw_call import read_response, send_raw
from worker_in_loop import open_worker

from gateway.audit.redaction import Redactor
from gateway.errors import Reason

if TYPE_CHECKING:
    from installation import Installation, Response
    from noojee import House, Noojee

START = f"{API}/start?extenOrUniqueId=410"
POLL = f"{API}/subscribe?exten=410&lastSequenceNumber=0&timeOut=30"
LINE = f"POST {START} HTTP/1.1\r\n"
HOST = "Host: x\r\n"


def expect_refusal(response: Response | None, noojee: Noojee | None = None) -> None:
    """
    An answer that no client takes for success, and nothing at Noojee where that is given.
    """
    assert response is not None, "the connection was closed without an answer"
    assert response.status >= 400
    problem = response.json()
    assert response.status == problem["status"]
    assert problem["Code"] < -1000
    assert not {"seq", "Data"} & problem.keys()
    assert 36 == len(response.headers["x-request-id"])
    assert noojee is None or [] == noojee.requests()


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.code)
def test_every_reason_has_a_status_and_a_code_of_refusal(reason: Reason) -> None:
    """
    -1 would send the vendor's clients round again, 0 and more would be success.
    """
    assert 400 <= reason.status < 600
    assert reason.noojee_code < -1000


@pytest.mark.parametrize(
    "head",
    [
        "nonsense\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        f"post {START} HTTP/1.1\r\n{HOST}\r\n",
        f"BREW {START} HTTP/1.1\r\n{HOST}\r\n",
        f"GET {START} HTTP/1.1\r\n{HOST}\r\n",
        f"OPTIONS * HTTP/1.1\r\n{HOST}\r\n",
        f"CONNECT x:443 HTTP/1.1\r\n{HOST}\r\n",
        f"POST {START} HTTP/3.0\r\n{HOST}\r\n",
        f"POST {START}\r\n\r\n",
        f"POST /{'x' * 17_000} HTTP/1.1\r\n{HOST}\r\n",
        f"{LINE}{HOST}X: {'x' * 40_000}\r\n\r\n",
        f"{LINE}\r\n",
        f"{LINE}{HOST}{HOST}\r\n",
        f"{LINE}{HOST}Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        f"{LINE}{HOST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        f"{LINE}{HOST}Transfer-Encoding: gzip\r\n\r\n",
        f"{LINE}{HOST}Content-Length: 99999999\r\n\r\n",
        f"{LINE}{HOST}\r\n",
        f"{LINE}{HOST}Authorization: Bearer njg_short\r\n\r\n",
        f"{LINE}{HOST}Authorization: Basic eDp5\r\n\r\n",
        f"{LINE}{HOST}Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        f"{LINE}{HOST}Expect: 100-continue\r\nContent-Length: 10\r\n\r\n",
    ],
)
def test_what_the_door_refuses_is_answered(house: House, noojee: Noojee, head: str) -> None:
    """
    Bytes of any kind on the callers' port.
    """
    expect_refusal(send_raw(house.gateway.port, head.encode("latin-1")), noojee)


@pytest.mark.parametrize(
    ("caller", "target", "head"),
    [
        ("all", "/nowhere", ""),
        ("all", "/servicemanager/rest/Time", ""),
        ("all", f"{START}&extenOrUniqueId=411", ""),
        ("recorder", f"{API}/hangup?extenOrUniqueId=410", ""),
        ("overreaching", START, ""),
        ("elsewhere", START, ""),
        ("all", START, "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx"),
        ("all", START, "Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        ("all", START, "Transfer-Encoding: chunked\r\n\r\n0\r\nX: trailer\r\n\r\n"),
        ("all", POLL.replace("30", "x"), ""),
    ],
)
def test_what_the_rules_refuse_is_answered(house: House, noojee: Noojee, caller: str, target: str, head: str) -> None:
    """
    Each step of a call has its refusals.
    """
    start = f"POST {target} HTTP/1.1\r\n{HOST}Authorization: Bearer {house.tokens[caller]}\r\n"

    expect_refusal(send_raw(house.gateway.port, f"{start}{head or chr(13) + chr(10)}".encode()), noojee)


def test_a_refusal_reaches_a_caller_that_is_still_sending(house: House, noojee: Noojee) -> None:
    """
    A connection closed over an unread body would be a reset in place of the answer, and the JDK would send it again.
    """
    body = b"x" * 2_000_000
    head = f"{LINE}{HOST}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"

    expect_refusal(send_raw(house.gateway.port, head.encode(), *[body[:200_000]] * 10), noojee)


def test_who_is_ended_by_us_is_told(installation: Installation, noojee: Noojee) -> None:
    """
    At the end a poll gets 503 and no seq of ours, and so do a half-received request and one that comes late.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    authorization = f"Authorization: Bearer {token}\r\n"

    async def transcript() -> None:
        async with open_worker(installation) as worker:
            with (
                socket.create_connection(("127.0.0.1", worker.port), timeout=10) as polling,
                socket.create_connection(("127.0.0.1", worker.port), timeout=10) as half,
            ):
                polling.sendall(f"POST {POLL} HTTP/1.1\r\n{HOST}{authorization}\r\n".encode())
                half.sendall(LINE.encode())
                await asyncio.to_thread(wait_until, noojee.polls, "the poll waits at Noojee")

                await worker.worker.drain()

                expect_refusal(await asyncio.to_thread(read_response, polling))
                half.sendall(f"{HOST}{authorization}\r\n".encode())
                expect_refusal(await asyncio.to_thread(read_response, half))
                assert 1 == len(noojee.requests())

    asyncio.run(transcript())


def test_a_mistake_of_ours_is_told(installation: Installation, noojee: Noojee, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whatever breaks within a call, its caller gets 500 and not a closed connection.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])

    def break_down(*_arguments: object) -> None:
        raise RuntimeError("a mistake of ours")

    async def transcript() -> None:
        async with open_worker(installation) as worker:
            monkeypatch.setattr(Redactor, "render_parameters", break_down)
            try:
                response = await worker.call(START, token)
            except (http.client.HTTPException, ConnectionError):
                response = None

            expect_refusal(response, noojee)
            assert response is not None
            assert 500 == response.status

    asyncio.run(transcript())
