"""
What protects the record: a caller's rate and concurrency, and the denials that are counted instead of recorded.
"""

from __future__ import annotations

import asyncio
import http.client
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from installation import API, CAMPAIGN_API, call, wait_until
from worker_in_loop import HandHeldClock, open_worker

from gateway.administration import callers

if TYPE_CHECKING:
    from installation import Installation, Response
    from noojee import Noojee

LIST = f"{CAMPAIGN_API}/getCampaignList?fTemplateId=1"
POLL = f"{API}/subscribe?exten=410&lastSequenceNumber=0&timeOut=30"
STOP = f"{API}/stop?extenOrUniqueId=410"
NOWHERE = "/servicemanager/rest/Nowhere/nothing"


def limit(installation: Installation, **limits: str) -> None:
    """
    Change the caller's limits, as an operator does it; in force when this returns.
    """
    with installation.desk() as desk:
        callers.change(desk, "crm", **limits)  # type: ignore[arg-type] # all of them are texts


def told(response: Response) -> tuple[int, str | None, str | None]:
    """
    Status, reason and Retry-After.
    """
    reason = response.reason if b'"reason"' in response.body else None
    return response.status, reason, response.headers.get("retry-after")


def find(installation: Installation, tag: str) -> list[dict[str, Any]]:
    """
    The records of that tag.
    """
    return [record for record in installation.journal() if record["tag"] == tag]


def begin_poll(port: int, token: str) -> http.client.HTTPConnection:
    """
    A poll that is on its way.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", POLL, headers={"Authorization": f"Bearer {token}"})
    return connection


def test_a_rate_is_kept_and_refused_with_when_to_come_again(installation: Installation, noojee: Noojee) -> None:
    """
    A burst passes; then one call every ten seconds. The refusals are on record, and nothing of them goes up.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    other = installation.add_caller("web", [("everything", ["*"])])
    limit(installation, rate="6/m", burst="3")
    clock = HandHeldClock()

    async def transcript() -> None:
        async with open_worker(installation, clock) as worker:
            passed = [told(await worker.call(LIST, token)) for _ in range(3)]
            refused = await worker.call(LIST, token)
            of_another = await worker.call(LIST, other)
            clock.move(timedelta(seconds=9))
            early = told(await worker.call(LIST, token))
            clock.move(timedelta(seconds=1))
            again = told(await worker.call(LIST, token))
            await asyncio.to_thread(limit, installation, rate="1000/s", burst="50")
            clock.move(timedelta(seconds=1))
            widened = [told(await worker.call(LIST, token))[0] for _ in range(20)]

        assert [(200, None, None)] * 3 == passed
        assert (429, "rate_limited", "10") == told(refused)
        assert 200 == of_another.status
        assert (429, "rate_limited", "1") == early
        assert (200, None, None) == again
        assert [200] * 20 == widened
        denied = installation.calls(refused.headers["x-request-id"])
        assert [("call.denied", "rate_limited", "CampaignAPI/getCampaignList")] == [
            (record["tag"], record["reason"], record["operation"]) for record in denied
        ]
        assert {"text": "1"} == denied[0]["parameters"]["fTemplateId"]

    asyncio.run(transcript())
    assert 3 + 1 + 1 + 20 == len(noojee.requests())


def test_only_so_many_calls_run_at_once(installation: Installation, noojee: Noojee) -> None:
    """
    Waiting polls count; a changed limit counts those that wait already; one that ends makes place.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    limit(installation, concurrency="2")
    with installation.serve() as gateway:
        polls = [begin_poll(gateway.port, token) for _ in range(2)]
        wait_until(lambda: len(noojee.polls()) == 2, "both wait at Noojee")

        assert (429, "concurrency_limited", "1") == told(gateway.call(LIST, token))
        limit(installation, concurrency="3")
        assert 200 == gateway.call(LIST, token).status
        limit(installation, concurrency="1")
        assert (429, "concurrency_limited", "1") == told(gateway.call(LIST, token))
        polls.pop().close()
        wait_until(lambda: len(noojee.polls()) == 1, "one has gone")
        assert (429, "concurrency_limited", "1") == told(gateway.call(LIST, token))
        polls.pop().close()
        wait_until(lambda: told(gateway.call(LIST, token))[0] == 200, "there is place", every_seconds=0.1)
        assert 200 == gateway.call(LIST, token).status


def test_beyond_a_hundred_refusals_a_minute_the_disk_takes_no_more(installation: Installation, noojee: Noojee) -> None:
    """
    Each further one gets 429 until the minute's end and is counted by its reason, exactly; what is granted is served.
    """
    token = installation.add_caller("crm", [("everything", ["CampaignAPI/*"])])
    clock = HandHeldClock()
    clock.move(timedelta(seconds=60 - clock.now().second, microseconds=-clock.now().microsecond))

    async def transcript() -> None:
        async with open_worker(installation, clock) as worker:

            def refuse(target: str, times: int) -> list[tuple[int, str | None, str | None]]:
                with ThreadPoolExecutor(4) as threads:
                    calls = threads.map(lambda _: call(worker.port, target, token), range(times))
                    return [told(response) for response in calls]

            first = await asyncio.to_thread(refuse, STOP, 100)
            full = len(find(installation, "call.denied"))
            clock.move(timedelta(seconds=20.5))
            beyond = await asyncio.to_thread(refuse, STOP, 230)
            beyond += await asyncio.to_thread(refuse, NOWHERE, 30)
            served = await worker.call(LIST, token)
            unchanged = len(find(installation, "call.denied"))
            refusal = await worker.call(STOP, token)
            clock.move(timedelta(seconds=40))
            await asyncio.to_thread(wait_until, lambda: find(installation, "denials.summarised"), "the minute's event")
            afresh = await worker.call(STOP, token)

        assert [(403, "operation_not_granted", None)] * 100 == first
        assert [(429, "rate_limited", "40")] * 260 == beyond
        assert (100, 100) == (full, unchanged)
        assert 200 == served.status
        assert "operation_not_granted" in refusal.json()["detail"]
        assert (403, "operation_not_granted", None) == told(afresh)
        (event,) = find(installation, "denials.summarised")
        assert ("crm", {"operation_not_granted": 231, "operation_unknown": 30}) == (event["caller"], event["counts"])
        assert 101 == len(find(installation, "call.denied"))

    asyncio.run(transcript())
    assert 1 == len(noojee.requests())


def test_the_stop_writes_what_was_counted(installation: Installation) -> None:
    """
    Records and counts together are all the refusals there were.
    """
    token = installation.add_caller("crm", [("everything", ["CampaignAPI/*"])])
    with installation.serve() as gateway:
        statuses = [gateway.call(STOP, token).status for _ in range(250)]

    counted = sum(event["counts"]["operation_not_granted"] for event in find(installation, "denials.summarised"))
    recorded = len(find(installation, "call.denied"))
    assert {403, 429} == set(statuses)
    assert statuses.count(403) == recorded
    assert 250 == recorded + counted
    assert recorded <= 200  # two minutes' worth, should a minute have ended meanwhile
    assert "worker.stopped" == installation.journal()[-1]["tag"]
