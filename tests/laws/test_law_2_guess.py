"""
Law 2, no guess: one durable intent and one outcome for each attempt, and the outcome is what is known, not hoped.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.client
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from installation import API, CAMPAIGN_API, Installation, wait_until
from trap import create_server_context, open_trap
from worker_in_loop import open_worker

import gateway
from gateway.administration import upstreams

if TYPE_CHECKING:
    from noojee import House, Noojee

START = f"{API}/start?extenOrUniqueId=410"
DIAL = f"{API}/dial?number=0412345678&extenOrUniqueId=SIP/410"
READ = f"{CAMPAIGN_API}/getCampaignList?fTemplateId=1"


@pytest.mark.parametrize("target", [START, DIAL, READ])
@pytest.mark.parametrize(
    ("kind", "value", "outcome"),
    [
        ("body", '{"Code": 0}', "succeeded"),
        ("body", '{"Code": -7}', "refused"),
        ("status", 403, "refused"),
        ("status", 500, "failed"),
        ("status", 503, "failed"),
        ("redirect", "https://127.0.0.1:9/", "failed"),
        ("reset_before", None, "unknown"),
        ("reset_after", None, "unknown"),
        ("cut", 5, "unknown"),
        ("truncated", '{"Code": 0', "unknown"),
        ("raw", "HTTP/1.1 200 OK\r\nContent-Le", "unknown"),
    ],
)
def test_each_call_is_sent_once_and_has_one_outcome(
    house: House, noojee: Noojee, target: str, kind: str, value: object, outcome: str
) -> None:
    """
    Whatever Noojee does, and whether the catalogue calls the operation safe to retry or not.
    """
    noojee.break_next("*", kind, value)

    response = house.call(target)

    assert 1 == len(noojee.requests())
    records = house.records_of(response)
    assert [("call.intended", 1), ("call.ended", 1)] == [(record["tag"], record["attempt"]) for record in records]
    assert outcome == records[1]["outcome"]


@pytest.mark.parametrize(
    ("what", "outcomes", "fate"),
    [
        ("nobody listens", ["not_sent", "not_sent"], "it was not sent"),
        ("closed before the handshake", ["not_sent", "not_sent"], "it was not sent"),
        ("closed after the handshake", ["unknown"], "it may have been carried out"),
    ],
)
def test_not_sent_is_told_only_when_no_byte_was_handed_over(
    tmp_path: Path, noojee: Noojee, what: str, outcomes: list[str], fate: str
) -> None:
    """
    Without a handshake nothing can have left, and it goes once more; after it, a connection that breaks proves nothing.
    """
    context = create_server_context(noojee.simulator.ca_file.parent) if what == "closed after the handshake" else None
    with open_trap(context, reads=False) as trap:
        installation = Installation(tmp_path / "data", noojee.simulator)
        installation.set_up(url=f"https://127.0.0.1:{trap.port}")
        token = installation.add_caller("crm", [("everything", ["*"])])
        if what == "nobody listens":
            trap.close()

        async def transcript() -> None:
            async with open_worker(installation) as worker:
                response = await worker.call(START, token)

                assert 502 == response.status
                assert fate in response.json()["detail"]

        asyncio.run(transcript())
    expected = [pair for outcome in outcomes for pair in (("call.intended", None), ("call.ended", outcome))]
    records = installation.calls()
    assert expected == [(record["tag"], record.get("outcome")) for record in records]
    assert [1, 1, 2, 2][: len(records)] == [record["attempt"] for record in records]


def test_a_complete_reply_decides_though_the_caller_has_left(house: House, noojee: Noojee) -> None:
    """
    A telephone rings on; only a read is given up with its caller.
    """
    outcomes = []
    for target in (DIAL, READ):
        noojee.break_next("*", "delay", 0.5)
        before = {record["request_id"] for record in house.installation.calls()}
        connection = http.client.HTTPConnection("127.0.0.1", house.gateway.port)
        connection.request("POST", target, headers={"Authorization": f"Bearer {house.tokens['all']}"})
        wait_until(noojee.requests, "the call is at Noojee")

        connection.close()

        ended = wait_until(functools.partial(find_ended, house.installation, before), "its outcome")
        outcomes.append(ended[0]["outcome"])
        noojee.reset()

    assert ["succeeded", "abandoned"] == outcomes


def find_ended(installation: Installation, before: set[str]) -> list[dict[str, Any]]:
    """
    The outcomes of calls that are not among those before.
    """
    calls = installation.calls()
    return [record for record in calls if record["tag"] == "call.ended" and record["request_id"] not in before]


def test_a_call_that_we_end_is_unknown_once_it_was_handed_over(installation: Installation, noojee: Noojee) -> None:
    """
    At the end of a drain: the dial is at Noojee, and nobody waited for what became of it.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    noojee.break_next("CallManagementAPI/dial", "delay", 20)

    async def transcript() -> None:
        async with open_worker(installation, drain_seconds=0.1) as worker:
            calling = asyncio.create_task(worker.call(DIAL, token))
            await asyncio.to_thread(wait_until, noojee.requests, "the dial is at Noojee")
        assert "may have been carried out" in (await calling).json()["detail"]

    asyncio.run(transcript())
    assert "unknown" == installation.calls()[-1]["outcome"]


def test_what_a_crash_left_open_is_closed_as_unknown_and_not_sent_again(
    installation: Installation, noojee: Noojee
) -> None:
    """
    Killed while Noojee dials: the next start closes the intent once, the start after that finds nothing to close.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    noojee.break_next("CallManagementAPI/dial", "delay", 20)
    with installation.serve() as gateway:

        def dial() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):  # its gateway is killed
                gateway.call(DIAL, token)

        dialling = threading.Thread(target=dial)
        dialling.start()
        wait_until(noojee.requests, "the dial is at Noojee")
        gateway.kill()
        dialling.join()
    assert ["call.intended"] == [record["tag"] for record in installation.calls()]

    async def restart() -> None:
        async with open_worker(installation):
            pass

    for _ in range(2):
        asyncio.run(restart())

    intended, ended = installation.calls()
    assert (intended["request_id"], intended["attempt"]) == (ended["request_id"], ended["attempt"])
    assert ("call.ended", "unknown") == (ended["tag"], ended["outcome"])
    assert 1 == len(noojee.requests())


def test_no_code_reads_what_the_catalogue_calls_safe_to_retry() -> None:
    """
    It is documentation: nobody knows what a second sending does but Noojee.
    """
    package = Path(gateway.__file__).parent
    readers = [path for path in package.rglob("*.py") if "safe_to_retry" in path.read_text(encoding="utf-8")]

    assert [] == readers


EXPIRED = json.dumps({"Message": "Expired TimeStamp", "Code": -1})


@pytest.mark.parametrize(
    ("target", "accepted", "reply", "attempts"),
    [
        (START, True, EXPIRED, 2),
        (READ, True, EXPIRED, 2),
        (DIAL, True, EXPIRED, 1),
        (START, False, EXPIRED, 1),
        (START, True, EXPIRED.replace("-1", "-2"), 1),
        (START, True, EXPIRED.replace("}", ', "SessionID": 1}'), 1),
        (START, True, EXPIRED + " " * 65536, 1),
    ],
)
def test_only_an_accepted_pair_that_has_expired_is_followed_by_a_second_attempt(
    installation: Installation, noojee: Noojee, target: str, reply: str, attempts: int, *, accepted: bool
) -> None:
    """
    Never for a dial, never after anything else, and never a third time: each attempt has its intent and its outcome.
    """
    with installation.desk() as desk:
        upstreams.change(desk, "noojee", auth="hash")
    token = installation.add_caller("crm", [("everything", ["*"])])

    async def transcript() -> str:
        async with open_worker(installation) as worker:
            if accepted:
                await worker.call(f"{CAMPAIGN_API}/getCampaignTemplateList", token)
            noojee.forget("requests")
            noojee.break_next(target.partition("?")[0].removeprefix("/servicemanager/rest/"), "body", reply, times=9)
            return (await worker.call(target, token)).headers["x-request-id"]

    request_id = asyncio.run(transcript())

    path = target.partition("?")[0]
    assert attempts == len([target for target in noojee.targets() if target.startswith(path)])
    records = [(record["tag"], record["attempt"]) for record in installation.calls(request_id)]
    assert [(tag, 1 + number) for number in range(attempts) for tag in ("call.intended", "call.ended")] == records
