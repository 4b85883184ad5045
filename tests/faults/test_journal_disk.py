"""
The journal on a bad disk: who is told, what is kept, and how it comes back by itself.
"""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import orjson
import pytest

from gateway import durable
from gateway.audit import journal as journal_module
from gateway.audit.event import Tag
from gateway.audit.journal import Journal, StreamBusyError
from gateway.audit.recovery import recover
from gateway.clock import SystemClock
from gateway.errors import StorageError
from gateway.evidence.reader import tail
from gateway.evidence.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

CLOCK = SystemClock()


class Disk:
    """
    The real disk behind `durable`, which can be made to fail.

    Attributes:
        fault: What happens to each write and sync from now on: `write` (nothing gets through), `half` (half of each
            write does), `sync` (all of it does, and the sync fails), `hang`, or None.
        code: The errno that a fault raises.
        touched: How often it was written or synced.
    """

    def __init__(self) -> None:
        self.fault: str | None = None
        self.code = errno.EIO
        self.touched = 0
        self.released = threading.Event()
        self._write = durable.write
        self._sync = durable.sync

    def write(self, fd: int, data: bytes) -> None:
        """
        In place of `durable.write`.
        """
        self.touched += 1
        if self.fault == "half":
            self._write(fd, data[: len(data) // 2])
        if self.fault in {"write", "half"}:
            raise OSError(self.code, "marked")
        self._write(fd, data)

    def sync(self, fd: int) -> None:
        """
        In place of `durable.sync`.
        """
        self.touched += 1
        self._sync(fd)
        if self.fault == "hang":
            self.released.wait(10)
        if self.fault == "sync":
            raise OSError(self.code, "marked")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """
    Stands between the journal and the disk. A failing one is probed every 50 ms.
    """
    disk = Disk()
    monkeypatch.setattr(durable, "write", disk.write)
    monkeypatch.setattr(durable, "sync", disk.sync)
    monkeypatch.setattr(journal_module, "_PROBE_SECONDS", 0.05)
    yield disk
    disk.released.set()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """
    A file system of 256 KiB.
    """
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def opened() -> Iterator[list[Journal]]:
    """
    Journals to close in the end.
    """
    journals: list[Journal] = []
    yield journals
    for journal in journals:
        journal.close()


@pytest.fixture
def open_journal(tmp_path: Path, opened: list[Journal]) -> Callable[..., Journal]:
    """
    Opens `worker-0` in `tmp_path / "journal"`, or in another folder.
    """

    def open_one(root: Path = tmp_path / "journal") -> Journal:
        opened.append(Journal.open(root, "worker-0", node="gw1", clock=CLOCK))
        return opened[-1]

    return open_one


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


def read(journal: Journal) -> list[tuple[str, str | None]]:
    """
    Tag and request id of each record.
    """
    records: list[dict[str, Any]] = [orjson.loads(line) for line in tail(journal.path.parent, 100_000)]
    return [(record["tag"], record.get("request_id")) for record in records]


def wait_until(condition: Callable[[], bool], seconds: float = 5) -> None:
    """
    Look often, for a bounded time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


FAULTS = ["write", "half", "sync"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failed_group_counts_for_nothing(open_journal: Callable[..., Journal], disk: Disk, fault: str) -> None:
    """
    Whoever waited is told; the next segment goes on from the last proven record; nothing of the group is left.
    """
    journal = open_journal()
    journal.record_now(intended("a"))

    disk.fault = fault
    with pytest.raises(StorageError, match=r"worker-0/00000001\.jsonl cannot be written: Input/output error"):
        asyncio.run(journal.record(intended("b")))
    assert not journal.writable
    disk.fault = None
    wait_until(lambda: journal.writable)
    journal.record_now(intended("c"))

    report = verify(journal.path.parent)
    assert read(journal) == [("call.intended", "a"), ("journal.resumed", None), ("call.intended", "c")]
    assert (None, ()) == (report.first_bad, report.torn)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failed_group_that_stays_on_the_disk_is_torn(
    open_journal: Callable[..., Journal], disk: Disk, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """
    The disk refuses to be cut back too.

    What stands there was refused, so it is no record: not for verify, not for recovery, not for whoever reads.
    """
    journal = open_journal()
    journal.record_now(intended("a"))

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "marked")

    with monkeypatch.context() as context:
        context.setattr(os, "ftruncate", refuse)
        disk.fault = fault
        with pytest.raises(StorageError):
            journal.record_now(intended("b"))
        disk.fault = None
        wait_until(lambda: journal.writable)
    journal.close()
    again = open_journal()
    recovery = recover(again.path.parent, again, CLOCK)

    report = verify(again.path.parent)
    assert ("call.intended", "b") not in read(again)
    assert recovery.total == 1
    assert report.ok
    assert (fault != "write") == bool(report.torn)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_probe_that_stays_on_the_disk_is_torn(
    open_journal: Callable[..., Journal], disk: Disk, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """
    The same for a new segment that can neither be written nor removed: the next one takes its place in the chain.
    """
    journal = open_journal()
    journal.record_now(intended("a"))

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "marked")

    with monkeypatch.context() as context:
        context.setattr("pathlib.Path.unlink", refuse)
        disk.fault = fault
        with pytest.raises(StorageError):
            journal.record_now(intended("b"))
        wait_until((journal.path / "00000003.jsonl").exists)
        disk.fault = None
        wait_until(lambda: journal.writable)

    report = verify(journal.path.parent)
    assert read(journal) == [("call.intended", "a"), ("journal.resumed", None)]
    assert report.ok
    assert (fault != "write") == bool(report.torn)


def test_outcomes_wait_for_the_disk_in_their_order(open_journal: Callable[..., Journal], disk: Disk) -> None:
    """
    Those in the group that failed, and those that came while it was bad, among intents that are refused.
    """
    journal = open_journal()
    journal.record_now(intended("a"))

    disk.fault = "sync"
    journal.record_soon(ended("a"))
    with pytest.raises(StorageError):
        journal.record_now(intended("b"))
    journal.record_soon(ended("c"))
    with pytest.raises(StorageError):
        journal.record_now(intended("d"))
    journal.record_soon(ended("e"))
    assert "failing" in repr(journal)
    disk.fault = None
    wait_until(lambda: journal.writable)

    assert read(journal)[1:] == [
        ("journal.resumed", None),
        ("call.ended", "a"),
        ("call.ended", "c"),
        ("call.ended", "e"),
    ]
    resumed = orjson.loads(tail(journal.path.parent, 4)[0])
    assert ({"refused": 2}, "disk_error") == (resumed["counts"], resumed["reason"])


def test_a_failing_disk_is_left_alone_between_probes(
    open_journal: Callable[..., Journal], disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A thousand refused intents and outcomes do not touch it, and are refused at once.
    """
    monkeypatch.setattr(journal_module, "_PROBE_SECONDS", 60.0)
    journal = open_journal()
    disk.fault = "write"
    with pytest.raises(StorageError):
        journal.record_now(intended("a"))
    touched = disk.touched

    for _ in range(1000):
        journal.record_soon(ended("a"))
        with pytest.raises(StorageError):
            journal.record_now(intended("b"))
    after = disk.touched
    disk.fault = None
    journal.close()

    assert touched == after
    assert len(read(journal)) == 1001


def test_a_bad_disk_at_the_end_loses_outcomes_and_recovery_says_unknown(
    open_journal: Callable[..., Journal], disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The close tries once more, says what it could not write, and lets go of the lock.
    """
    journal = open_journal()
    journal.record_now(intended("a"))
    disk.fault = "write"
    journal.record_soon(ended("a"))
    wait_until(lambda: not journal.writable)
    journal.close()
    disk.fault = None

    again = open_journal()
    recover(again.path.parent, again, CLOCK)

    assert "was closed without 1 records" in caplog.text
    assert orjson.loads(tail(again.path.parent, 2)[0])["outcome"] == "unknown"


def test_the_log_tells_once_of_each_turn(
    open_journal: Callable[..., Journal], disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    """
    One line when it fails, however many probes follow, and one when it is good again.
    """
    journal = open_journal()
    disk.fault, disk.code = "write", errno.ENOSPC
    with pytest.raises(StorageError):
        journal.record_now(intended("a"))
    touched = disk.touched
    wait_until(lambda: disk.touched > touched + 2)
    disk.fault = None
    wait_until(lambda: journal.writable)
    journal.close()

    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "No space left on device" in caplog.records[0].getMessage()
    assert orjson.loads(tail(journal.path.parent, 1)[0])["reason"] == "disk_full"


def unlink(path: Path) -> None:
    """
    Somebody removes the file.
    """
    path.unlink()


def replace(path: Path) -> None:
    """
    An editor saves it: the same bytes in another file.
    """
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    copy.rename(path)


def lengthen(path: Path) -> None:
    """
    Somebody appends.
    """
    with path.open("ab") as file:
        file.write(b"x\n")


def shorten(path: Path) -> None:
    """
    A log rotation with copytruncate.
    """
    os.truncate(path, 0)


@pytest.mark.parametrize(("meddle", "is_whole"), [(unlink, False), (replace, True), (lengthen, True), (shorten, False)])
def test_a_file_that_is_not_ours_alone_is_noticed_before_anybody_is_told(
    open_journal: Callable[..., Journal],
    disk: Disk,
    meddle: Callable[[Path], None],
    is_whole: bool,  # noqa: FBT001 - a row of the table above
) -> None:
    """
    `fdatasync` says nothing of it. The group is refused, a new segment is begun, and verify shows what is gone.
    """
    journal = open_journal()
    journal.record_now(intended("a"))
    touched = disk.touched
    meddle(journal.path / "00000001.jsonl")

    with pytest.raises(StorageError, match=r"00000001\.jsonl was removed, replaced or changed"):
        journal.record_now(intended("b"))
    wait_until(lambda: journal.writable)
    journal.record_now(intended("c"))

    assert disk.touched > touched
    assert is_whole == verify(journal.path.parent).ok


def test_a_disk_that_hangs_does_not_hold_the_end_for_ever(
    open_journal: Callable[..., Journal], disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The close gives up, and keeps the lock: a write is under way, beside which nobody may append.
    """
    monkeypatch.setattr(journal_module, "_CLOSE_SECONDS", 0.1)
    journal = open_journal()
    disk.fault = "hang"
    journal.record_soon(ended("a"))
    wait_until(lambda: disk.touched == 2)

    journal.close()

    with pytest.raises(StreamBusyError):
        open_journal()
    disk.released.set()


def test_a_mistake_in_the_writer_leaves_nobody_waiting(
    open_journal: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """
    All who wait are refused, all who come later too, and the node is not ready any more.
    """
    journal = open_journal()

    def fail(*_: object) -> None:
        raise RuntimeError("marked")

    monkeypatch.setattr(journal._stream, "append", fail)

    for _ in range(2):
        with pytest.raises(StorageError):
            journal.record_now(intended("a"))
    assert not journal.writable
    assert "worker-0 stopped" in caplog.text


def test_verify_is_content_with_a_writer_on_a_bad_disk(open_journal: Callable[..., Journal], disk: Disk) -> None:
    """
    Groups fail and are cut back, probes come and go, while the reader looks.
    """
    journal = open_journal()
    stop = threading.Event()

    def record() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            disk.fault = ["sync", "half", None][turn % 3]
            journal.record_soon(ended(f"r{turn}"))
            time.sleep(0.005)

    thread = threading.Thread(target=record)
    thread.start()
    reports = []
    deadline = time.monotonic() + 1.5
    try:
        while time.monotonic() < deadline:
            reports.append(verify(journal.path.parent))
    finally:
        stop.set()
        thread.join()
    disk.fault = None
    wait_until(lambda: journal.writable)
    journal.close()

    assert {None} == {report.first_bad for report in reports}
    assert verify(journal.path.parent).as_json()["torn"] == []


def fill(folder: Path) -> Path:
    """
    Take all the space there is.
    """
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 - any other errno is no full disk
    return ballast


def test_a_full_disk_refuses_and_comes_back_by_itself(small_disk: Path, open_journal: Callable[..., Journal]) -> None:
    """
    A real one. Probes leave no file behind.

    With space again it is writable within about a second, and nothing that was promised is missing.
    """
    journal = open_journal(small_disk / "journal")
    journal.record_now(intended("a"))
    ballast = fill(small_disk)

    refused = 0
    for number in range(40):  # the last page of the file has room for some
        try:
            journal.record_now(intended(f"r{number}"))
        except StorageError as error:
            assert "No space left on device" in error.detail  # noqa: PT017 - some are written, most are not
            refused += 1
    journal.record_soon(ended("a"))
    time.sleep(1.2)  # a probe
    segments = len(list(journal.path.glob("*.jsonl")))
    assert refused > 20
    assert not journal.writable
    assert segments == 1

    ballast.unlink()
    wait_until(lambda: journal.writable, seconds=3)
    journal.record_now(intended("z"))

    written = read(journal)
    assert written[-3:] == [("journal.resumed", None), ("call.ended", "a"), ("call.intended", "z")]
    assert len(written) == 1 + (40 - refused) + 3
    assert (None, ()) == (verify(journal.path.parent).first_bad, verify(journal.path.parent).torn)
    journal.close()


def test_a_disk_that_becomes_read_only_refuses_and_comes_back(
    small_disk: Path, open_journal: Callable[..., Journal]
) -> None:
    """
    As the kernel does after an error, and an administrator undoes. The lock does not keep him from it.
    """
    journal = open_journal(small_disk / "journal")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StorageError, match="Read-only file system"):
        journal.record_now(intended("a"))
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)

    wait_until(lambda: journal.writable, seconds=3)

    assert orjson.loads(tail(journal.path.parent, 1)[0])["reason"] == "read_only"
    journal.close()


def test_a_file_size_limit_acts_like_a_full_disk(tmp_path: Path) -> None:
    """
    Needs no rights: a process that may write 4000 bytes to a file. What it was told is what is there.
    """
    script = """if True:
        import resource, sys
        from pathlib import Path
        from gateway.audit.journal import Journal
        from gateway.clock import SystemClock
        from gateway.errors import StorageError
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))
        journal = Journal.open(Path(sys.argv[1]), "worker-0", node="gw1", clock=SystemClock())
        try:
            while True:
                journal.record_now({"tag": "call.denied", "request_id": "r"})
                print("recorded")
        except StorageError as error:
            print(error.detail)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        journal.close()
    """
    root = tmp_path / "journal"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-c", script, str(root)], capture_output=True, text=True, check=True, env=environment
    )

    *recorded, refusal = done.stdout.splitlines()
    report = verify(root)
    assert refusal == "worker-0/00000001.jsonl cannot be written: File too large"
    assert (True, len(recorded) + 1) == (report.ok, report.records)  # one more: journal.resumed
