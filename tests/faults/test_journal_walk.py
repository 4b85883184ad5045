"""
Every system call of the journal's writer made to fail in turn: at the boundary to the system, and by the kernel.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from installation import API, wait_until
from judge import judge, read_stream

from gateway.audit import journal as journal_module
from gateway.audit.event import Tag
from gateway.audit.journal import Journal
from gateway.audit.recovery import recover
from gateway.clock import SystemClock
from gateway.errors import StorageError
from gateway.evidence.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from installation import Installation
    from noojee import Noojee

CLOCK = SystemClock()
SYSTEM_CALLS = ["open", "write", "fdatasync", "fsync", "fstat", "fstatvfs", "stat", "listdir", "unlink", "ftruncate"]
"""All that the writer asks of the system, beside `close`, which cannot fail so that anything is left to do."""

RESERVE_BYTES = 64 * 1024


class System:
    """
    `os`, with a fault at one of the calls that the journal makes. Only for threads named after it.
    """

    def __init__(self, *, at: int, persists: bool) -> None:
        self._at = at
        self._persists = persists
        self.seen = 0
        self.met: str | None = None

    def wrap(self, name: str) -> Callable[..., Any]:
        """
        The call with the fault in it.
        """
        original = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if not threading.current_thread().name.startswith("journal-"):
                return original(*arguments, **options)
            self.seen += 1
            if self.seen != self._at:
                return original(*arguments, **options)
            self.met = name
            if self._persists:
                returned = original(*arguments, **options)
                if name == "open":
                    os.close(returned)
            raise OSError(errno.EIO, "marked")

        return call


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


def in_journal_thread(act: Callable[[], None]) -> None:
    """
    Do it in a thread that counts as the journal's.
    """
    thread = threading.Thread(target=act, name="journal-opening")
    thread.start()
    thread.join()


def live(root: Path) -> tuple[set[str], set[str]]:
    """
    Open the journal, record calls over several segments, close. Which intents were told to be durable, and which not.
    """
    journals: list[Journal] = []

    def open_one() -> None:
        with contextlib.suppress(StorageError):
            journals.append(
                Journal.open(
                    root, "worker-0", node="gw1", clock=CLOCK, reserve_bytes=RESERVE_BYTES, segment_limit_bytes=400
                )
            )

    while not journals:
        in_journal_thread(open_one)
    (journal,) = journals
    kept, refused = set(), set()
    for number in range(6):
        request_id = f"r{number}"
        try:
            journal.record_now(intended(request_id))
        except StorageError:
            refused.add(request_id)
        else:
            kept.add(request_id)
            journal.record_soon(ended(request_id))
        until = time.monotonic() + 5
        while not journal.writable and time.monotonic() < until:
            time.sleep(0.001)
    journal.close()
    return kept, refused


def expect_whole(root: Path, kept: set[str], refused: set[str]) -> None:
    """
    What was told to be durable is there, once; what was refused is not; every call has one outcome; the chain holds.
    """
    journal = Journal.open(root, "worker-0", node="gw1", clock=CLOCK)
    recover(root, journal, CLOCK)
    journal.close()
    records = read_stream(root / "worker-0")
    intents = Counter(record["request_id"] for record in records if record["tag"] == "call.intended")
    endings = Counter(record["request_id"] for record in records if record["tag"] == "call.ended")

    assert dict.fromkeys(kept, 1) == intents
    assert intents == endings
    assert not refused & set(intents)
    assert verify(root).ok


@pytest.mark.parametrize("persists", [False, True], ids=["failed and did not persist", "failed but did persist"])
def test_any_call_to_the_system_may_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, persists: bool) -> None:
    """
    From the opening to the close, over several segments: the steps are counted as they come, until one is not met.
    """
    monkeypatch.setattr(journal_module, "_PROBE_SECONDS", 0.005)
    prepared = tmp_path / "prepared"
    live(prepared)
    met = []
    for at in range(1, 1000):
        root = tmp_path / f"{at}"
        shutil.copytree(prepared, root)
        system = System(at=at, persists=persists)
        with monkeypatch.context() as patch:
            for name in SYSTEM_CALLS:
                patch.setattr(os, name, system.wrap(name))
            kept, refused = live(root / "again")
        expect_whole(root / "again", kept, refused)
        shutil.rmtree(root)
        if system.met is None:
            break
        met.append(system.met)

    assert {"open", "write", "fdatasync", "fsync", "fstat", "stat", "listdir"} <= set(met)
    assert len(met) > 40


WRITER = """if True:
    import os, sys, time
    from pathlib import Path
    from gateway.audit import journal as journal_module
    from gateway.audit.journal import Journal
    from gateway.clock import SystemClock
    from gateway.errors import StorageError

    journal_module._PROBE_SECONDS = 0.02
    journal = Journal.open(
        Path(sys.argv[1]), "worker-0", node="gw1", clock=SystemClock(), reserve_bytes=65536, segment_limit_bytes=400
    )
    for number in range(6):
        call = {"request_id": f"r{number}", "attempt": 1}
        try:
            journal.record_now({"tag": "call.intended", **call})
        except StorageError:
            os.writev(1, [f"-r{number} ".encode()])
        else:
            os.writev(1, [f"+r{number} ".encode()])
            journal.record_soon({"tag": "call.ended", **call, "outcome": "succeeded"})
        while not journal.writable:
            time.sleep(0.001)
    journal.close()
"""


def find_strace() -> str:
    """
    The path of strace, where it may trace.
    """
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("there is no strace here")
    if subprocess.run([strace, "-o", "/dev/null", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("strace may trace nothing here")
    return strace


def uncovered() -> dict[str, str]:
    """
    The environment without coverage's hooks, which make system calls of their own.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}


@pytest.mark.parametrize(
    ("call", "error", "turns"),
    [
        ("write", "EIO", 4),
        ("write", "ENOSPC", 2),
        ("fdatasync", "EIO", 5),
        ("fsync", "EIO", 3),
        ("fallocate", "ENOSPC", 3),
        ("fallocate", "EOPNOTSUPP", 1),
    ],
)
def test_the_kernel_may_fail_any_of_them(tmp_path: Path, call: str, error: str, turns: int) -> None:
    """
    A process whose write is not carried out, whose sync fails with the bytes in the page cache, or that gets no blocks.
    """
    strace = find_strace()
    for turn in range(1, turns + 1):
        root = tmp_path / f"{turn}"
        fault = f"{call}:error={error}:when={turn}"
        traced = [strace, "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={fault}"]
        done = subprocess.run(
            [*traced, sys.executable, "-c", WRITER, str(root)],
            capture_output=True,
            text=True,
            check=False,
            env=uncovered(),
            timeout=60,
        )
        told = done.stdout.split()
        if call == "fsync" and turn < 3:  # the names of the folders: it does not open
            assert done.returncode != 0
            continue
        assert 0 == done.returncode, done.stderr
        expect_whole(root, {word[1:] for word in told if word[0] == "+"}, {word[1:] for word in told if word[0] == "-"})


@pytest.mark.parametrize(("call", "turn"), [("fdatasync", 1), ("fdatasync", 3)])
def test_the_kernel_may_kill_the_writer_at_a_sync(tmp_path: Path, call: str, turn: int) -> None:
    """
    SIGKILL in the system call itself.
    """
    strace = find_strace()
    root = tmp_path / "journal"
    traced = [strace, "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
    done = subprocess.run(
        [*traced, "-e", f"inject={call}:signal=KILL:when={turn}", sys.executable, "-c", WRITER, str(root)],
        capture_output=True,
        text=True,
        check=False,
        env=uncovered(),
        timeout=60,
    )
    told = {word[1:] for word in done.stdout.split()}

    intents = {record["request_id"] for record in read_stream(root / "worker-0") if record["tag"] == "call.intended"}
    assert told <= intents
    expect_whole(root, intents, set())


def test_the_kernel_may_fail_a_sync_of_a_running_gateway(installation: Installation, noojee: Noojee) -> None:
    """
    `serve`, traced while it runs: 503 and nothing sent for the intent's sync, an outcome kept for the other's.
    """
    strace = find_strace()
    token = installation.add_caller("crm", [("everything", ["*"])])
    statuses = []
    with installation.serve() as gateway:
        worker = gateway.worker_pid
        for turn in (1, 2):
            inject = f"inject=fdatasync:error=EIO:when={turn}"
            traced = [strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", inject]
            with subprocess.Popen([*traced, "-p", str(worker)], stderr=subprocess.DEVNULL) as tracer:
                wait_until(lambda: is_traced(worker), "it is traced")
                target = f"{API}/dial?number=0412345678&extenOrUniqueId=SIP/{turn}"
                statuses.append(gateway.call(target, token).status)
                wait_until(lambda: gateway.call("/readyz", method="GET").status == 503, "it failed")
                wait_until(lambda: gateway.call("/readyz", method="GET").status == 200, "it is good again")
                tracer.terminate()
    verdict = judge(noojee.requests(), installation.data_dir / "journal")

    assert [503, 200] == statuses
    assert verdict.is_clean, verdict
    assert 1 == verdict.requests == verdict.calls
    assert {"succeeded": 1} == dict(verdict.outcomes)


def is_traced(pid: int) -> bool:
    """
    Whether every thread of a process is.
    """
    states = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return all("TracerPid:\t0" not in state for state in states)
