"""
The journal on a disk that hangs: who is told no and when, and what becomes of intents that reach the disk all the same.
"""

from __future__ import annotations

import asyncio
import errno
import shutil
import threading
import time
from typing import TYPE_CHECKING

import orjson
import pytest
from installation import API
from worker_in_loop import open_worker

from gateway import durable
from gateway.audit import backlog as backlog_module
from gateway.audit.event import Tag
from gateway.audit.journal import Journal
from gateway.audit.recovery import recover
from gateway.clock import SystemClock
from gateway.errors import StorageError
from gateway.evidence.reader import tail
from gateway.evidence.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from installation import Installation
    from noojee import Noojee

CLOCK = SystemClock()
PATIENCE_SECONDS = 0.1


class Disk:
    """
    The real disk, whose sync can hang, before or after it has done its work.

    Attributes:
        hangs: Set while a sync does.
        error: What a sync raises when it no longer hangs; None for nothing.
    """

    def __init__(self) -> None:
        self.hangs = threading.Event()
        self.error: OSError | None = None
        self._free = threading.Event()
        self._free.set()
        self._sync = durable.sync

    def hold(self) -> None:
        """
        From now on every sync hangs.
        """
        self._free.clear()

    def let_go(self) -> None:
        """
        Those that hang return, and later ones do not hang.
        """
        self._free.set()

    def sync(self, fd: int) -> None:
        """
        In place of `durable.sync`.
        """
        self._sync(fd)
        if not self._free.is_set():
            self.hangs.set()
            assert self._free.wait(20)
        if self.error is not None:
            error, self.error = self.error, None
            raise error


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """
    Stands between the journal and the disk; hangs for nobody in the end.
    """
    disk = Disk()
    monkeypatch.setattr(durable, "sync", disk.sync)
    yield disk
    disk.let_go()


@pytest.fixture
def journal(tmp_path: Path, disk: Disk) -> Iterator[Journal]:
    """
    A stream whose waiters have little patience, with one call on record.
    """
    assert not disk.hangs.is_set()
    root = tmp_path / "journal"
    journal = Journal.open(root, "worker-0", node="gw1", clock=CLOCK, stall_seconds=PATIENCE_SECONDS)
    journal.record_now(intended("first"), ended("first"))
    yield journal
    disk.let_go()
    journal.close()


def intended(request_id: str) -> dict[str, object]:
    """
    An intent.
    """
    return {
        "tag": Tag.CALL_INTENDED,
        "request_id": request_id,
        "attempt": 1,
        "caller": "crm",
        "operation": "CallManagementAPI/dial",
        "credential": "everything",
        "parameters": {"number": {"hmac": "0" * 64, "key_id": "1"}},
        "decision": "allow",
    }


def ended(request_id: str) -> dict[str, object]:
    """
    An outcome.
    """
    return {"tag": Tag.CALL_ENDED, "request_id": request_id, "attempt": 1, "outcome": "succeeded"}


def read(journal: Journal) -> list[tuple[str, str | None, str | None]]:
    """
    Tag, request id and outcome of each record behind the first call's.
    """
    records: list[dict[str, Any]] = [orjson.loads(line) for line in tail(journal.path.parent, 100_000)]
    return [(record["tag"], record.get("request_id"), record.get("outcome")) for record in records[2:]]


def wait_until(condition: Callable[[], bool]) -> None:
    """
    Look often, for 5 seconds at most.
    """
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


async def hand_in(journal: Journal, *request_ids: str) -> list[asyncio.Task[None]]:
    """
    Intents that wait for the disk, each in a task.
    """
    tasks = [asyncio.create_task(journal.record(intended(request_id))) for request_id in request_ids]
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # the journal's thread is woken behind the turn in which they hand in
    return tasks


def test_whoever_waits_for_a_disk_that_hangs_is_refused_in_time(journal: Journal, disk: Disk) -> None:
    """
    One in the group that hangs, one behind it; then the journal is not writable, and refuses at once.

    The disk comes back: the first one's intent is there, and is closed as `not_sent`; the second's never was.
    """

    async def transcript() -> None:
        disk.hold()
        (first,) = await hand_in(journal, "under way")
        await asyncio.to_thread(disk.hangs.wait, 5)
        (second,) = await hand_in(journal, "behind it")
        begun_at = time.monotonic()
        told = await asyncio.gather(first, second, return_exceptions=True)

        assert ["the disk of worker-0 has not answered for 0.1 seconds"] * 2 == [str(error) for error in told]
        assert {StorageError} == {type(error) for error in told}
        assert time.monotonic() - begun_at < 2
        assert not journal.writable
        with pytest.raises(StorageError, match="has not answered"):
            await journal.record(intended("later"))
        disk.let_go()
        await asyncio.to_thread(wait_until, lambda: journal.writable)
        await journal.record(intended("again"))

    asyncio.run(transcript())

    assert [
        ("call.intended", "under way", None),
        ("journal.resumed", None, None),
        ("call.ended", "under way", "not_sent"),
        ("call.intended", "again", None),
    ] == read(journal)
    resumed, closure, _ = map(orjson.loads, tail(journal.path.parent, 3))
    assert ("disk_stalled", {"refused": 3}) == (resumed["reason"], resumed["counts"])
    assert "audit_unavailable" == closure["reason"]
    assert ("crm", "CallManagementAPI/dial", 1) == (closure["caller"], closure["operation"], closure["attempt"])
    assert "parameters" not in closure
    assert verify(journal.path.parent).ok


def test_a_thread_has_no_more_patience_than_a_task(journal: Journal, disk: Disk) -> None:
    """
    A verb of the command line on a disk that hangs ends with an error, and does not hang too.
    """
    disk.hold()
    with pytest.raises(StorageError, match="has not answered"):
        journal.record_now(intended("a"), intended("b"))
    disk.let_go()
    wait_until(lambda: journal.writable)
    journal.close()

    assert [
        ("call.intended", "a", None),
        ("call.intended", "b", None),
        ("journal.resumed", None, None),
        ("call.ended", "a", "not_sent"),
        ("call.ended", "b", "not_sent"),
    ] == read(journal)


def test_a_disk_that_hangs_and_then_fails_leaves_nothing_to_close(journal: Journal, disk: Disk) -> None:
    """
    The intent is torn then, so there is no outcome of it either. Real outcomes are kept, in their order.
    """
    disk.hold()
    journal.record_soon(ended("real"))
    with pytest.raises(StorageError):
        journal.record_now(intended("a"))
    disk.error = OSError(errno.EIO, "marked")
    disk.let_go()
    wait_until(lambda: journal.writable)
    journal.close()

    assert [("journal.resumed", None, None), ("call.ended", "real", "succeeded")] == read(journal)
    assert verify(journal.path.parent).ok


def test_outcomes_outlast_a_disk_that_hangs(journal: Journal, disk: Disk) -> None:
    """
    Nobody waits for them, so nobody loses patience: they are written when the disk answers again.
    """
    disk.hold()
    journal.record_soon(ended("a"))
    assert disk.hangs.wait(5)
    for number in range(100):
        journal.record_soon(ended(f"r{number}"))
    time.sleep(PATIENCE_SECONDS * 1.5)
    assert journal.writable
    disk.let_go()
    journal.close()

    assert ["a", *(f"r{number}" for number in range(100))] == [request_id for _, request_id, _ in read(journal)]


def test_a_crash_after_a_refusal_leaves_the_cautious_word(journal: Journal, disk: Disk, tmp_path: Path) -> None:
    """
    The intent reached the disk, its closure did not: recovery cannot know more than `unknown`.
    """
    disk.hold()
    with pytest.raises(StorageError):
        journal.record_now(intended("a"))
    root = tmp_path / "after the crash"
    shutil.copytree(journal.path.parent, root)
    disk.let_go()
    again = Journal.open(root, "worker-0", node="gw1", clock=CLOCK)
    recover(root, again, CLOCK)

    assert ("call.ended", "a", "unknown") in read(again)
    again.close()


@pytest.mark.parametrize("when", ["before its group", "in its group", "on the disk", "told"])
def test_an_intent_whose_task_was_cancelled_does_not_stand_open(journal: Journal, disk: Disk, when: str) -> None:
    """
    Nobody acts on it: not written at all, or closed as `not_sent`, before the worker says that nothing is open.
    """

    async def transcript() -> None:
        loop = asyncio.get_running_loop()
        if when in {"before its group", "in its group"}:
            disk.hold()
        (task,) = await hand_in(journal, "a")
        if when == "before its group":
            await asyncio.to_thread(disk.hangs.wait, 5)
            (task,) = await hand_in(journal, "b")
        elif when == "in its group":
            await asyncio.to_thread(disk.hangs.wait, 5)
        else:
            # The loop stands still until the disk has it, and then hears of that only behind us.
            wait_until(lambda: journal._stream.head.seq == 3)
        if when == "told":
            wait_until(lambda: journal._backlog._sleep != 0)  # the thread has called the loop and sleeps again
            loop.call_soon_threadsafe(task.cancel)
        else:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        journal.record_soon({"tag": Tag.WORKER_STOPPED, "counts": {"open": 0}})
        disk.let_go()

    asyncio.run(transcript())
    journal.close()

    if when == "before its group":
        assert "b" not in {request_id for _, request_id, _ in read(journal)}
    else:
        assert [
            ("call.intended", "a", None),
            ("call.ended", "a", "not_sent"),
            ("worker.stopped", None, None),
        ] == read(journal)
        assert "withdrawn" == orjson.loads(tail(journal.path.parent, 2)[0])["reason"]


def test_those_who_leave_do_not_keep_the_others_from_being_told(journal: Journal, disk: Disk) -> None:
    """
    Every second of twenty is cancelled behind a group that hangs for a moment; the others are told, and only they.
    """

    async def transcript() -> None:
        disk.hold()
        (first,) = await hand_in(journal, "first one")
        await asyncio.to_thread(disk.hangs.wait, 5)
        tasks = await hand_in(journal, *(f"r{number}" for number in range(20)))
        for task in tasks[::2]:
            task.cancel()
        await asyncio.sleep(0)
        disk.let_go()
        await asyncio.gather(first, *tasks[1::2])

    asyncio.run(transcript())

    assert [f"r{number}" for number in range(1, 20, 2)] == [request_id for _, request_id, _ in read(journal)[1:]]


def test_what_waits_in_memory_is_bounded(journal: Journal, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Beyond the bound whoever would wait is refused, what is no outcome is dropped and counted, and outcomes are kept.
    """
    monkeypatch.setattr(backlog_module, "BACKLOG_LIMIT_BYTES", 20_000)
    disk.hold()
    journal.record_soon(ended("a"))
    assert disk.hangs.wait(5)
    for number in range(50):
        journal.record_soon(ended(f"r{number}"))
    for _ in range(3):
        journal.record_soon({"tag": Tag.ANONYMOUS_SUMMARISED, "counts": {"token_missing": 1}})
    with pytest.raises(StorageError, match="more than 19KiB to write"):
        journal.record_now(intended("b"))
    assert not journal.writable
    disk.let_go()
    wait_until(lambda: journal.writable)
    journal.record_now(intended("c"))

    records = read(journal)
    assert ["a", None, *(f"r{number}" for number in range(50)), "c"] == [request_id for _, request_id, _ in records]
    resumed = next(line for line in map(orjson.loads, tail(journal.path.parent, 100)) if "reason" in line)
    assert {"refused": 1, "lost": 3} == resumed["counts"]


def test_a_call_that_meets_a_disk_that_hangs_is_refused_and_not_sent(
    installation: Installation, noojee: Noojee, disk: Disk
) -> None:
    """
    503 `audit_unavailable` within the bound and nothing at Noojee, then 503 at once; when the disk is back, 200.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    target = f"{API}/dial?number=0412345678&extenOrUniqueId=SIP/410"

    async def transcript() -> None:
        async with open_worker(installation) as worker:
            worker.worker._journal._stall_seconds = PATIENCE_SECONDS
            disk.hold()
            for _ in range(2):
                refused = await worker.call(target, token)
                assert (503, "audit_unavailable") == (refused.status, refused.reason)
            assert "unready" == worker.worker.readiness().state
            disk.let_go()
            await asyncio.to_thread(wait_until, lambda: worker.worker._journal.writable)
            assert [] == noojee.requests()
            assert 200 == (await worker.call(target, token)).status

    asyncio.run(transcript())

    assert 1 == len(noojee.requests())
    (resumed,) = [record for record in installation.journal() if record["tag"] == "journal.resumed"]
    assert {"refused": 2} == resumed["counts"], "the one that waited, and the one that was not even handed in"
    records = [(record["tag"], record.get("outcome")) for record in installation.calls()]
    assert [
        ("call.intended", None),
        ("call.ended", "not_sent"),
        ("call.intended", None),
        ("call.ended", "succeeded"),
    ] == records
