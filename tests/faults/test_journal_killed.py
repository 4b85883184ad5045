"""
Processes killed while they write the journal, at every point where that can matter.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import orjson
import pytest

from gateway.audit.event import Tag
from gateway.audit.journal import Journal
from gateway.audit.recovery import recover
from gateway.clock import SystemClock
from gateway.evidence.reader import tail
from gateway.evidence.verify import verify

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

CLOCK = SystemClock()

# A process that forks one child for each point at which to die: before its first call of `durable`, in the middle of
# it, before its second, and so on, until a child lives to the end. What a child was told to be durable it writes down.
# A power cut is played by taking away all that was not synced: the names of files, and the ends of files.
WALK = """if True:
    import os, shutil, sys
    from pathlib import Path
    from gateway import durable
    from gateway.audit.journal import Journal
    from gateway.audit.recovery import recover
    from gateway.clock import SystemClock

    calls = 0
    synced_bytes = {}
    synced_names = set()

    def note_sync(name, target):
        if name == "sync":
            synced_bytes[os.fstat(target).st_ino] = os.fstat(target).st_size
        elif name == "sync_folder":
            synced_names.update(target / entry for entry in os.listdir(target))
        elif name == "create_folder":
            synced_names.add(target)

    def cut_power(root):
        for path in sorted(root.rglob("*"), reverse=True):
            if path not in synced_names and path.name != "lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            elif path.is_file():
                os.truncate(path, synced_bytes.get(path.stat().st_ino, 0))

    def watch(name, die_at, how):
        original = getattr(durable, name)
        def call(*arguments, **options):
            global calls
            calls += 1
            if calls == die_at:
                if how == "after":
                    original(*arguments, **options)
                elif name == "write":
                    original(arguments[0], arguments[1][:len(arguments[1]) * 2 // 3])
                if how == "powercut":
                    cut_power(root)
                os._exit(9)
            returned = original(*arguments, **options)
            note_sync(name, arguments[0])
            return returned
        setattr(durable, name, call)

    def record(root):
        told = os.open(root.parent / (root.name + ".told"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        journal = Journal.open(root, "worker-0", node="gw1", clock=SystemClock(), segment_limit_bytes=500)
        for number in range(4):
            journal.record_now({"tag": "call.intended", "request_id": f"r{number}", "attempt": 1})
            os.write(told, f"r{number} ".encode())

    def recover_all(root):
        own = Journal.open(root, "worker-0", node="gw1", clock=SystemClock())
        recover(root, own, SystemClock())

    work, folder, prepare = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    for how in ("halfway", "after", "powercut")[:2 if work == "recover" else 3]:
        for die_at in range(1, 200):
            root = folder / f"{how}-{die_at:03d}"
            if prepare:
                shutil.copytree(prepare, root)
            child = os.fork()
            if child == 0:
                for name in ("write", "sync", "sync_folder", "create_file", "create_folder", "lock"):
                    watch(name, die_at, how)
                {"record": record, "recover": recover_all}[work](root)
                os._exit(0)
            ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if ended == 0:
                break
            if ended != 9:
                sys.exit(f"{root} was not killed, it failed")
        else:
            sys.exit("no child lived to the end")
"""


def walk(work: str, folder: Path, prepared: Path | None = None) -> list[Path]:
    """
    Run the walk; one journal for each point of death.
    """
    folder.mkdir()
    command = [sys.executable, "-c", WALK, work, str(folder), str(prepared or "")]
    subprocess.run(command, check=True, env=uncovered())
    return sorted(path for path in folder.iterdir() if path.is_dir())


def uncovered() -> dict[str, str]:
    """
    The environment without coverage's hooks, which would write at an exit that must not write.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}


def read(root: Path) -> list[dict[str, Any]]:
    """
    All records.
    """
    return [orjson.loads(line) for line in tail(root, 100_000)]


def test_whatever_was_told_to_be_durable_is_there_wherever_the_process_died(tmp_path: Path) -> None:
    """
    And the journal is whole, and goes on: the next process writes behind what it finds.
    """
    roots = walk("record", tmp_path / "walk")
    lengths = set()

    for root in roots:
        told = root.with_suffix(".told")
        promised = told.read_text().split() if told.exists() else []
        found = [record["request_id"] for record in read(root)]
        assert promised == found[: len(promised)], root.name
        assert len(found) <= len(promised) + 1, root.name
        lengths.add(len(found))
        journal = Journal.open(root, "worker-0", node="gw1", clock=CLOCK)
        journal.record_now({"tag": Tag.CALL_DENIED, "request_id": "next"})
        journal.close()
        report = verify(root)
        assert (None, len(found) + 1) == (report.first_bad, report.records), root.name
    assert lengths == set(range(5))


@pytest.mark.parametrize("torn", [b"", b'{"v":1,"str'], ids=["whole", "torn"])
def test_a_power_cut_after_a_kill_leaves_a_whole_chain(tmp_path: Path, torn: bytes) -> None:
    """
    The first process was killed before its last sync, the second chained its records to what it found in memory.

    So it must have synced that first: here nothing of the first life is on the disk unless the second saw to it.
    """
    prepared = tmp_path / "prepared"
    journal = Journal.open(prepared, "worker-0", node="gw1", clock=CLOCK)
    fills_its_segment = {"x": {"text": "y" * 400}}
    journal.record_now({"tag": Tag.CALL_DENIED, "request_id": "first life", "parameters": fills_its_segment})
    journal.close()
    with (journal.path / "00000001.jsonl").open("ab") as file:
        file.write(torn)

    roots = walk("record", tmp_path / "walk", prepared)

    for root in roots:
        told = root.with_suffix(".told")
        promised = told.read_text().split() if told.exists() else []
        found = [record["request_id"] for record in read(root)]
        assert promised == found[1 : len(promised) + 1], root.name
        assert verify(root).ok, root.name
    assert len(roots) > 20


def test_recovery_can_be_killed_anywhere_and_repeated(tmp_path: Path) -> None:
    """
    Two dead workers with open calls, more than fit one group of closures. In the end each intent has one outcome.
    """
    prepared = tmp_path / "prepared"
    for stream, count in (("worker-0", 40), ("worker-1", 40)):
        journal = Journal.open(prepared, stream, node="gw1", clock=CLOCK)
        intents = ({"tag": Tag.CALL_INTENDED, "request_id": f"{stream}-{n}", "attempt": 1} for n in range(count))
        journal.record_now(*intents)
        journal.close()

    roots = walk("recover", tmp_path / "walk", prepared)
    found_closed, totals = set(), set()

    for root in roots:
        found_closed.add(sum(record["tag"] == "call.ended" for record in read(root)))
        own = Journal.open(root, "worker-0", node="gw1", clock=CLOCK)
        recover(root, own, CLOCK)
        own.close()
        records = read(root)
        intents_found = {record["request_id"] for record in records if record["tag"] == "call.intended"}
        closures = Counter(record["request_id"] for record in records if record["tag"] == "call.ended")
        assert dict.fromkeys(intents_found, 1) == closures, root.name
        assert verify(root).ok, root.name
        totals.add(len(closures))
    assert {0, 32, 40, 72, 80} <= found_closed  # it died in between of all that it does
    assert totals == {80}


@pytest.mark.parametrize("turn", range(3))
def test_a_killed_writer_loses_nothing_that_it_was_told(tmp_path: Path, turn: int) -> None:
    """
    SIGKILL among groups with many waiters; then recovery closes all that is open, once.
    """
    script = """if True:
        import asyncio, os, sys
        from pathlib import Path
        from gateway.audit.journal import Journal
        from gateway.clock import SystemClock

        root = Path(sys.argv[1])
        journal = Journal.open(root, "worker-0", node="gw1", clock=SystemClock(), segment_limit_bytes=50_000)

        async def call(number):
            for turn in range(10_000):
                request = {"request_id": f"{number}-{turn}", "attempt": 1}
                await journal.record({"tag": "call.intended", **request})
                os.write(1, f"{number}-{turn}\\n".encode())
                journal.record_soon({"tag": "call.ended", **request, "outcome": "succeeded"})

        async def main():
            await asyncio.gather(*(call(number) for number in range(20)))

        asyncio.run(main())
    """
    root = tmp_path / "journal"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(root)], stdout=subprocess.PIPE, text=True, env=uncovered()
    ) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().strip() for _ in range(500 + turn * 777)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.read().split()

    intended = {record["request_id"] for record in read(root) if record["tag"] == "call.intended"}
    assert set(told) <= intended
    journal = Journal.open(root, "worker-0", node="gw1", clock=CLOCK)
    recovery = recover(root, journal, CLOCK)
    journal.close()

    outcomes = Counter(record["request_id"] for record in read(root) if record["tag"] == "call.ended")
    assert dict.fromkeys(intended, 1) == outcomes
    assert recovery.total > 0
    assert verify(root).ok
