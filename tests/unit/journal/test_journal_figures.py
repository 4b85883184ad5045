"""
What a journal tells of itself in numbers.
"""

from __future__ import annotations

import asyncio
import errno
import threading
from typing import TYPE_CHECKING

import pytest
from installation import wait_until

from gateway import durable
from gateway.audit import journal as journal_module
from gateway.audit.event import Tag
from gateway.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.audit.journal import Journal

INTENDED = {"tag": Tag.CALL_INTENDED, "request_id": "0", "attempt": 1}


def test_groups_and_their_time_are_counted(
    open_journal: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What comes while one group is synced is one group; each group has one time.
    """
    syncing, free, sync = threading.Event(), threading.Event(), durable.sync

    def hold(fd: int) -> None:
        syncing.set()
        assert free.wait(10)
        sync(fd)

    journal = open_journal()

    async def story() -> None:
        first = asyncio.create_task(journal.record(INTENDED))
        await asyncio.to_thread(syncing.wait, 10)
        others = [asyncio.create_task(journal.record(INTENDED)) for _ in range(5)]
        await asyncio.sleep(0)
        assert 5 == journal.figures.backlog_records
        assert 0 < journal.figures.backlog_bytes
        free.set()
        await asyncio.gather(first, *others)

    monkeypatch.setattr(durable, "sync", hold)
    asyncio.run(story())

    figures = journal.figures
    assert figures.is_writable
    assert [1, 0, 0, 1] == figures.group_records.counts[:4]  # one of 1, one of 5 to 8
    assert 6 == figures.group_records.total
    assert 2 == sum(figures.write_seconds.counts)
    assert (0, 0) == (figures.backlog_records, figures.backlog_bytes)
    assert {} == dict(figures.failures)


def test_a_failure_is_counted_once_by_its_reason(
    open_journal: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    However often it is tried again; a group that failed has no time.
    """
    monkeypatch.setattr(journal_module, "_PROBE_SECONDS", 0.01)
    journal = open_journal()
    errors = [OSError(errno.ENOSPC, "full")] * 3
    sync = durable.sync

    def fail(fd: int) -> None:
        if errors:
            raise errors.pop()
        sync(fd)

    monkeypatch.setattr(durable, "sync", fail)
    with pytest.raises(StorageError):
        journal.record_now(INTENDED)
    assert not journal.figures.is_writable
    wait_until(lambda: journal.writable, "the journal has found out that it can be written again")

    assert {"disk_full": 1} == dict(journal.figures.failures)
    assert 1 <= sum(journal.figures.write_seconds.counts)


def test_a_stall_is_counted_too(open_journal: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch) -> None:
    """
    By those who wait, because the thread that writes is the one that hangs.
    """
    free, sync = threading.Event(), durable.sync

    def hang(fd: int) -> None:
        assert free.wait(10)
        sync(fd)

    journal = open_journal(stall_seconds=0.05)
    monkeypatch.setattr(durable, "sync", hang)
    with pytest.raises(StorageError):
        journal.record_now(INTENDED)
    free.set()

    assert {"disk_stalled": 1} == dict(journal.figures.failures)


@pytest.mark.skipif(not hasattr(durable, "_fallocate"), reason="only Linux holds blocks")
def test_the_reserve_is_told_as_it_is_held(open_journal: Callable[..., Journal]) -> None:
    """
    Nothing before the first record, at least the whole reserve behind it.
    """
    journal = open_journal(reserve_bytes=65536)
    before = journal.figures
    journal.record_now(INTENDED)

    assert (65536, 0) == (before.reserve_bytes, before.reserve_held_bytes)
    assert 65536 <= journal.figures.reserve_held_bytes
