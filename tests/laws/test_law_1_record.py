"""
Law 1, no record, no call: the intent is on disk before the first byte goes to the upstream.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from typing import TYPE_CHECKING

import pytest
from installation import API
from worker_in_loop import open_worker

from gateway import durable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from installation import Installation
    from noojee import Noojee

START = f"{API}/start?extenOrUniqueId=410"
LOOKS = 20
"""How often we look whether anything reached Noojee: some 50 ms, while a call on a warm connection takes 2."""


class HeldDisk:
    """
    The system call that makes records durable, held or failing at will.

    Attributes:
        held: Set while a call to it waits.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held = threading.Event()
        self._released = threading.Event()
        self._released.set()
        self._error: OSError | None = None
        self._persists = False
        # macOS has no fdatasync: there the function around its call is the lowest place that can be held.
        place, name = (os, "fdatasync") if hasattr(os, "fdatasync") else (durable, "sync")
        self._sync = getattr(place, name)
        monkeypatch.setattr(place, name, self._hold_or_sync)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """
        Let calls to it wait until the block ends.
        """
        self._released.clear()
        try:
            yield
        finally:
            self._released.set()

    def fail(self, number: int, *, persists: bool) -> None:
        """
        Let every call from now on fail; with `persists` only after the bytes are on the disk all the same.
        """
        self._error, self._persists = OSError(number, os.strerror(number)), persists

    def _hold_or_sync(self, fd: int) -> None:
        if not self._released.is_set():
            self.held.set()
            assert self._released.wait(30)
        if self._error is None or self._persists:
            self._sync(fd)
        if self._error is not None:
            raise self._error


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> HeldDisk:
    """
    A good disk, so far.
    """
    return HeldDisk(monkeypatch)


def test_nothing_reaches_noojee_before_the_intent_is_durable(
    installation: Installation, noojee: Noojee, disk: HeldDisk
) -> None:
    """
    While the disk holds the sync, the intent's bytes are written and no byte of the call is at Noojee.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])

    async def transcript() -> None:
        async with open_worker(installation) as worker:
            # The first call opens the connection: now nothing but the disk keeps the second.
            assert 200 == (await worker.call(START, token)).status
            # A denial is awaited and comes behind the first call's outcome: the disk has nothing more to do.
            assert 404 == (await worker.call("/nowhere", token)).status
            noojee.reset()

            with disk.hold():
                calling = asyncio.create_task(worker.call(START.replace("410", "411"), token))
                is_held = await asyncio.to_thread(disk.held.wait, 5)

                assert is_held, "the call went on without a sync"
                for _ in range(LOOKS):
                    assert [] == await asyncio.to_thread(noojee.requests)
                assert not calling.done()
                # What is being synced is the intent itself: a sync before the write would prove nothing.
                assert ["call.intended"] == [record["tag"] for record in installation.calls()[3:]]

            assert 200 == (await calling).status
            assert [f"{API}/start?apiKey=GLOBAL&extenOrUniqueId=411"] == noojee.targets()

    asyncio.run(transcript())


@pytest.mark.parametrize(
    ("what", "number"), [("write", errno.ENOSPC), ("sync", errno.EIO), ("sync that persists", errno.EIO)]
)
def test_a_call_that_cannot_be_recorded_is_not_made(
    installation: Installation,
    noojee: Noojee,
    disk: HeldDisk,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    number: int,
) -> None:
    """
    503 and nothing sent, whether the disk kept the bytes after all or not; the next call is refused at once.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])

    def refuse_to_write(_fd: int, _data: bytes) -> None:
        raise OSError(number, os.strerror(number))

    async def transcript() -> None:
        async with open_worker(installation) as worker:
            assert 200 == (await worker.call(START, token)).status
            noojee.reset()
            if what == "write":
                monkeypatch.setattr(durable, "write", refuse_to_write)
            else:
                disk.fail(number, persists=what == "sync that persists")

            for _ in range(2):
                response = await worker.call(START, token)

                assert (503, "audit_unavailable") == (response.status, response.reason)
                assert [] == noojee.requests()
            assert "unready" == worker.worker.readiness().state
            monkeypatch.undo()  # the disk is good again, so that the journal can close

    asyncio.run(transcript())
