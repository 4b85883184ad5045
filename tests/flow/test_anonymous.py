"""
Requests without a valid token: counted exactly, and on record as one event a minute and one at the stop.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from installation import API, wait_until

from gateway.access.token import create_token_text
from gateway.data_plane.worker import Worker, WorkerPlan

if TYPE_CHECKING:
    from installation import Gateway, Installation
    from noojee import Noojee

STOP = f"{API}/stop?extenOrUniqueId=410"


def summaries(installation: Installation) -> list[dict[str, Any]]:
    """
    The events on record.
    """
    return [record for record in installation.journal() if record["tag"] == "anonymous.summarised"]


def send_raw(port: int, data: bytes) -> bytes:
    """
    What comes back for bytes that no HTTP client would send.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(data)
        return connection.recv(4096)


def call_without_token(port: int) -> None:
    """
    Be refused once.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", STOP)
    assert 401 == connection.getresponse().status
    connection.close()


def refuse_many(gateway: Gateway, key: str) -> dict[str, int]:
    """
    Be refused for many reasons, and tell how often for each. Long enough for events of a second to show.
    """
    unknown = create_token_text()[1].reveal()
    counts = {
        "token_missing": 7,
        "token_invalid": 5,
        "token_malformed": 3,
        "token_ambiguous": 2,
        "upstream_key_presented": 2,
        "method_not_allowed": 2,
        "request_malformed": 3,
        "target_too_long": 1,
        "headers_too_large": 1,
        "body_too_large": 1,
    }
    for _ in range(7):
        assert 401 == gateway.call(STOP).status
    for _ in range(5):
        assert 401 == gateway.call(STOP, unknown).status
    for _ in range(3):
        assert 401 == gateway.call(STOP, "njg_short").status
    for _ in range(2):
        assert 400 == gateway.call(STOP, unknown, headers={"X-API-Key": "another"}).status
        assert 401 == gateway.call(f"{STOP}&apiKey={key}").status
    assert 405 == gateway.call(STOP, method="GET").status
    assert 405 == gateway.call(STOP, method="PUT").status
    assert b" 400 " in send_raw(gateway.port, b"nonsense\r\n\r\n")
    assert b" 400 " in send_raw(gateway.port, b"POST / HTTP/1.1\r\n\r\n")
    assert 400 == gateway.call(f"{STOP};x").status
    assert 414 == gateway.call(f"{STOP}&tag={'x' * 17_000}").status
    assert 431 == gateway.call(STOP, headers={"X-Large": "x" * 33_000}).status
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
    assert b" 413 " in send_raw(gateway.port, head)
    return counts


def test_the_stop_writes_one_event_with_exact_counts(installation: Installation, noojee: Noojee) -> None:
    """
    Each refusal of somebody without a valid token is counted once, by its reason; health and callers' calls are not.
    """
    token = installation.add_caller("crm", [("everything", ["CallManagementAPI/start"])])
    began = datetime.now(UTC).replace(second=0, microsecond=0)
    with installation.serve() as gateway:
        gateway.call("/readyz", method="GET")
        assert 200 == gateway.call(f"{API}/start?extenOrUniqueId=410", token).status
        assert 403 == gateway.call(STOP, token).status
        expected = refuse_many(gateway, noojee.global_key)
    minutes = (datetime.now(UTC).replace(second=0, microsecond=0) - began) // timedelta(minutes=1)

    found = summaries(installation)

    total: dict[str, int] = {}
    for event in found:
        for reason, count in event["counts"].items():
            total[reason] = total.get(reason, 0) + count
    assert expected == total
    assert 1 <= len(found) <= 1 + minutes  # a minute may have ended meanwhile
    assert {"127.0.0.0/24"} == {event["peer"] for event in found}
    assert {"v", "stream", "seq", "prev", "at", "tag", "counts", "peer"} >= found[-1].keys()
    assert "worker.stopped" == installation.journal()[-1]["tag"]


def test_nobody_refused_leaves_no_event(installation: Installation) -> None:
    """
    A quiet gateway writes nothing about strangers.
    """
    with installation.serve() as gateway:
        assert b"ready" == gateway.call("/readyz", method="GET").body

    assert [] == summaries(installation)


class HeldClock:
    """
    Stands still until it is moved.
    """

    def __init__(self) -> None:
        self.instant = datetime(2026, 5, 3, 9, 15, 0, tzinfo=UTC)

    def now(self) -> datetime:
        """
        The instant it was moved to.
        """
        return self.instant

    def monotonic(self) -> float:
        """
        The same in seconds.
        """
        return self.instant.timestamp()


def test_each_minutes_end_writes_one_event(installation: Installation) -> None:
    """
    Nothing before the minute is over, then one event, and the next minute counts anew.
    """
    clock = HeldClock()
    found = asyncio.run(_live_through_minutes(installation, clock))

    assert [
        ("2026-05-03T09:16:00.500000Z", {"token_missing": 3}),
        ("2026-05-03T09:17:00.500000Z", {"token_missing": 1}),
    ] == [(event["at"], event["counts"]) for event in found]


async def _live_through_minutes(installation: Installation, clock: HeldClock) -> list[dict[str, Any]]:
    """
    Three requests, two of them seconds apart, in the first minute, one in the next; the events of both minutes.
    """
    worker = await Worker.open(WorkerPlan(**installation.settings, number_country="61"), clock)
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    bound.setblocking(False)
    port = bound.getsockname()[1]
    await worker.serve([bound], None)
    try:
        await asyncio.to_thread(call_without_token, port)
        await asyncio.to_thread(call_without_token, port)
        clock.instant += timedelta(seconds=59)
        # More than the second in which a minute's end is noticed: the event must not come sooner.
        await asyncio.sleep(1.3)
        assert [] == summaries(installation)
        await asyncio.to_thread(call_without_token, port)
        clock.instant += timedelta(seconds=1.5)
        await asyncio.to_thread(wait_until, lambda: len(summaries(installation)) == 1, "the first minute's event")
        await asyncio.to_thread(call_without_token, port)
        clock.instant += timedelta(minutes=1)
        await asyncio.to_thread(wait_until, lambda: len(summaries(installation)) == 2, "the second minute's event")
    finally:
        await worker.drain()
        await worker.close()
        bound.close()
    return summaries(installation)
