"""
The reserve: blocks of the disk behind a stream, kept for what ends something. On file systems small enough to fill.
"""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from small_disk import SmallDisk

from gateway import durable
from gateway.audit import journal as journal_module
from gateway.audit.event import Tag
from gateway.audit.journal import Journal
from gateway.audit.recovery import recover
from gateway.clock import SystemClock
from gateway.errors import StorageError
from gateway.evidence.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

RESERVE_BYTES = 64 * 1024
CLOCK = SystemClock()


@pytest.fixture(autouse=True)
def _probes_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_PROBE_SECONDS", 0.05)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """
    A file system of 512 KiB.
    """
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k,mode=700", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    yield SmallDisk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def open_with_reserve() -> Iterator[Callable[..., Journal]]:
    """
    Opens `worker-0` with a reserve of 64 KiB; closed in the end.
    """
    journals: list[Journal] = []

    def open_one(root: Path, **options: Any) -> Journal:
        options = {"reserve_bytes": RESERVE_BYTES} | options
        journals.append(Journal.open(root, "worker-0", node="gw1", clock=CLOCK, **options))
        return journals[-1]

    yield open_one
    for journal in journals:
        journal.close()


def intended(request_id: str) -> dict[str, object]:
    """
    An intent.
    """
    return {"tag": Tag.CALL_INTENDED, "request_id": request_id, "attempt": 1}


def ended(request_id: str) -> dict[str, object]:
    """
    An outcome.
    """
    return {"tag": Tag.CALL_ENDED, "request_id": request_id, "attempt": 1, "outcome": "succeeded"}


def held_bytes(path: Path) -> int:
    """
    How many of the disk's bytes a file has beyond its own.
    """
    found = path.stat()
    return found.st_blocks * 512 - found.st_size


def wait_until(condition: Callable[[], bool], seconds: float = 5) -> None:
    """
    Look often, for a bounded time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def fill_until_refused(journal: Journal, disk: SmallDisk) -> str:
    """
    Take all space, and record until intents are refused; why they are.
    """
    disk.fill()
    for number in range(1000):
        try:
            journal.record_now(intended(f"full-{number}"))
        except StorageError as error:
            return error.detail
    raise AssertionError("the disk is not full")


def test_what_ends_something_is_recorded_on_a_full_disk(
    disk: SmallDisk, open_with_reserve: Callable[..., Journal]
) -> None:
    """
    Intents are refused, at once and without touching the disk; outcomes and what may use the reserve are durable.
    """
    journal = open_with_reserve(disk.path / "journal")
    journal.record_now(intended("a"))
    refusal = fill_until_refused(journal, disk)
    before = verify(disk.path / "journal").records

    for number in range(100):
        journal.record_soon(ended(f"r{number}"))
    journal.record_now({"tag": Tag.TOKEN_REVOKED}, may_use_reserve=True)
    with pytest.raises(StorageError, match="full but for the reserve of 64KiB"):
        asyncio.run(journal.record(intended("b")))

    assert "the disk of worker-0 is full but for the reserve of 64KiB" == refusal
    assert not journal.writable
    assert before + 101 == verify(disk.path / "journal").records
    assert ["00000001.jsonl"] == [path.name for path in journal.path.glob("*.jsonl")]

    disk.empty()
    wait_until(lambda: journal.writable)
    journal.record_now(intended("c"))
    assert held_bytes(journal.path / "00000001.jsonl") >= RESERVE_BYTES
    assert verify(disk.path / "journal").ok


def test_the_whole_reserve_can_be_written(disk: SmallDisk, open_with_reserve: Callable[..., Journal]) -> None:
    """
    A reserve of 64 KiB holds 64 KiB of records; then the disk is full for everybody, and comes back.
    """
    journal = open_with_reserve(disk.path / "journal")
    journal.record_now(intended("a"))
    fill_until_refused(journal, disk)
    segment = journal.path / "00000001.jsonl"
    size = segment.stat().st_size

    with pytest.raises(StorageError, match="No space left on device"):
        journal.record_now(*[ended("r")] * 2000, may_use_reserve=True)
    assert segment.stat().st_size - size > RESERVE_BYTES - 4096
    disk.empty()
    wait_until(lambda: journal.writable)

    assert verify(disk.path / "journal").ok
    assert "failing" not in repr(journal)


def test_the_reserve_outlives_its_process_and_serves_recovery(
    disk: SmallDisk, open_with_reserve: Callable[..., Journal]
) -> None:
    """
    A start on a full disk can close what is open, and says that it is not writable for anything new.
    """
    journal = open_with_reserve(disk.path / "journal")
    journal.record_now(intended("a"))
    fill_until_refused(journal, disk)
    journal.close()

    again = open_with_reserve(disk.path / "journal")
    recovery = recover(disk.path / "journal", again, CLOCK)

    assert recovery.total >= 1
    wait_until(lambda: not again.writable)
    assert verify(disk.path / "journal").ok


def test_a_new_segment_is_begun_when_it_can_hold_the_reserve_itself(
    disk: SmallDisk, open_with_reserve: Callable[..., Journal]
) -> None:
    """
    On a disk that is nearly full the old one goes on beyond its limit; with room its turn is over, and it lets go.
    """
    journal = open_with_reserve(disk.path / "journal", segment_limit_bytes=400)
    journal.record_now(intended("a"))
    disk.fill(leaving_bytes=32 * 1024)
    for number in range(10):
        journal.record_now(intended(f"r{number}"))
    names = [path.name for path in journal.path.glob("*.jsonl")]

    disk.empty()
    journal.record_now(intended("z"))

    assert ["00000001.jsonl"] == names
    assert held_bytes(journal.path / "00000001.jsonl") < 4096
    assert held_bytes(journal.path / "00000002.jsonl") >= RESERVE_BYTES
    assert verify(disk.path / "journal").ok


def test_a_stream_without_a_reserve_gives_back_what_another_held(
    root: Path, open_with_reserve: Callable[..., Journal]
) -> None:
    """
    A dead worker's stream, when its calls are closed by another.
    """
    journal = open_with_reserve(root)
    journal.record_now(intended("a"))
    journal.close()
    segment = root / "worker-0" / "00000001.jsonl"
    held = held_bytes(segment)

    open_with_reserve(root, reserve_bytes=0).close()

    assert held >= RESERVE_BYTES
    assert held_bytes(segment) < 32 * 1024


def test_a_torn_segment_gives_back_its_reserve(root: Path, open_with_reserve: Callable[..., Journal]) -> None:
    """
    The next one needs the room, and its torn bytes stay as they are.
    """
    journal = open_with_reserve(root)
    journal.record_now(intended("a"))
    journal.close()
    segment = root / "worker-0" / "00000001.jsonl"
    with segment.open("ab") as file:
        file.write(b'{"v":1,')
    data = segment.read_bytes()

    again = open_with_reserve(root)
    again.record_now(intended("b"))

    assert held_bytes(segment) < 32 * 1024
    assert data == segment.read_bytes()
    assert held_bytes(root / "worker-0" / "00000002.jsonl") >= RESERVE_BYTES


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    """
    A new file, opened for appending.
    """
    fd = durable.create_file(tmp_path / "file")
    yield fd
    os.close(fd)


def test_blocks_are_taken_without_lengthening_the_file_and_given_back(fd: int) -> None:
    """
    What `durable.allocate` and `durable.trim` promise.
    """
    durable.write(fd, b"x" * 100)
    durable.allocate(fd, 100, 200_000)
    taken = os.fstat(fd)
    durable.trim(fd)

    assert 100 == taken.st_size == os.fstat(fd).st_size
    assert taken.st_blocks * 512 >= 200_000
    assert os.fstat(fd).st_blocks * 512 < 32 * 1024


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.ENOSYS])
def test_where_blocks_cannot_be_taken_they_must_be_free(fd: int, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """
    The best that some systems offer: there is so much at this moment.
    """
    monkeypatch.setattr(durable, "_fallocate", lambda *_: code)
    durable.allocate(fd, 0, 4096)

    with pytest.raises(OSError, match="No space left") as caught:
        durable.allocate(fd, 0, 2**60)
    assert errno.ENOSPC == caught.value.errno


def test_an_interrupted_call_is_repeated_and_an_error_is_told(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    fallocate(2) may be interrupted by a signal.
    """
    codes = [errno.EINTR, errno.EINTR, errno.EIO]
    monkeypatch.setattr(durable, "_fallocate", lambda *_: codes.pop(0))

    with pytest.raises(OSError, match="Input/output error"):
        durable.allocate(fd, 0, 4096)
    assert codes == []
