"""
What the journal costs: CPU time of each record, how long its waiters wait, and what the disk alone takes beside it.

Every waiter does what a call does: it makes a request id, renders and records an intent, waits until that is durable,
then renders and hands in an outcome. The loop is uvloop's, and works for 30 us between the two where the row says
`busy`, as a call does; that work is not counted. In turn with each row, on the same disk, one thread writes groups of
the same size to a file of its own and syncs them: `raw`. The second table is what preallocated segments would bring.

Of the loop's time some is the waiting's and not the journal's: `of it, not ours` is what the same calls take where a
future stands for the journal, which nothing is rendered for and nothing written.

Run it with `python benchmarks/journal_speed.py [FOLDER]` on a machine that has nothing else to do; FOLDER is where the
disk is, the system's place for temporary files by default. CPU times are microseconds a record, waits microseconds.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import uvloop

from gateway import durable
from gateway.audit.journal import Journal
from gateway.clock import SystemClock, create_request_id
from gateway.data_plane.call_record import CallRecord, Ending
from gateway.data_plane.carriers import Carrier
from gateway.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
SECONDS = 0.6
WORK_SECONDS = 30e-6
MEBIBYTE = 1024 * 1024
ROWS = [(1, False), (32, False), (256, False), (32, True), (256, True)]

STANDING: Any = SimpleNamespace(
    caller=SimpleNamespace(name="crm"),
    token=SimpleNamespace(token_id="t3kXw9Qa0LmZ"),  # noqa: S106 - the part of a token that is public
    carrier=Carrier.AUTHORIZATION,
    snapshot=SimpleNamespace(version=17),
)
OPERATION: Any = SimpleNamespace(name="CallManagementAPI/start")
GRANT: Any = SimpleNamespace(
    grant_id="0196a1b2-0000-7000-8000-000000000001", credential=SimpleNamespace(name="everything", owner=None)
)
ENDING = Ending(Outcome.SUCCEEDED, upstream_status=200, noojee_code=0, reply_bytes=44)


class Run(NamedTuple):
    """
    One row, once.
    """

    loop_us: float
    without_us: float
    thread_us: float
    per_second: float
    group: float
    p50_us: float
    p99_us: float


class Raw(NamedTuple):
    """
    Write and sync without a journal.
    """

    p50_us: float
    p99_us: float
    cpu_us: float


def work(turns: int) -> int:
    """
    What stands for the rest of a call.
    """
    return sum(range(turns))


def find_turns() -> int:
    """
    How many turns of `work` take `WORK_SECONDS`.
    """
    begun = time.thread_time()
    work(2_000_000)
    return round(2_000_000 * WORK_SECONDS / (time.thread_time() - begun))


class NoJournal:
    """
    What takes the same calls and does nothing but let them wait for the loop's next turn.
    """

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    async def record(self, _: object) -> None:
        """
        As `Journal.record`.
        """
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        if not self._waiters:
            loop.call_soon(self._tell)
        self._waiters.append(waiter)
        await waiter

    def record_soon(self, _: object) -> None:
        """
        As `Journal.record_soon`.
        """

    def _tell(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.set_result(None)


class NoRecord(CallRecord):
    """
    What renders nothing.
    """

    def intended(self) -> Any:
        """
        As `CallRecord.intended`.
        """

    def ended(self, *_: object) -> Any:
        """
        As `CallRecord.ended`.
        """


async def run_without(waiters: int) -> float:
    """
    The loop's CPU microseconds a record where there is no journal.
    """
    waits: list[float] = []
    journal = NoJournal()
    begun = time.thread_time()
    until = time.monotonic() + SECONDS / 2
    await asyncio.gather(*(call(journal, NoRecord, until, 0, waits) for _ in range(waiters)))
    return (time.thread_time() - begun) / len(waits) / 2 * 1e6


async def call(
    journal: Journal | NoJournal, create: type[CallRecord], until: float, turns: int, waits: list[float]
) -> None:
    """
    One call after the other.
    """
    while time.monotonic() < until:
        now = time.monotonic()
        record = create(create_request_id(), STANDING, "10.20.30.40", now, OPERATION, GRANT)
        record.parameters = {"extenOrUniqueId": {"text": "410"}}
        begun = time.perf_counter()
        await journal.record(record.intended())
        waits.append(time.perf_counter() - begun)
        work(turns)
        journal.record_soon(record.ended(ENDING, time.monotonic()))


async def run(folder: Path, waiters: int, turns: int) -> Run:
    """
    Many calls at a time, for a moment.
    """
    without_us = await run_without(waiters)
    journal = Journal.open(folder, "worker-0", node="bench", clock=SystemClock(), reserve_bytes=64 * MEBIBYTE)
    groups = count_groups(journal)
    await journal.record({"tag": "worker.started"})
    journal_clock = time.pthread_getcpuclockid(journal._writer._thread.ident or 0)  # its CPU time
    waits: list[float] = []
    groups.clear()
    thread, loop, begun = time.clock_gettime(journal_clock), time.thread_time(), time.monotonic()
    await asyncio.gather(*(call(journal, CallRecord, begun + SECONDS, turns, waits) for _ in range(waiters)))
    thread, loop = time.clock_gettime(journal_clock) - thread, time.thread_time() - loop
    seconds = time.monotonic() - begun
    if turns:
        loop -= len(waits) * WORK_SECONDS
    journal.close()
    records = 2 * len(waits)
    waits.sort()
    return Run(
        loop / records * 1e6,
        without_us,
        thread / records * 1e6,
        records / seconds,
        records / len(groups),
        waits[len(waits) // 2] * 1e6,
        waits[len(waits) * 99 // 100] * 1e6,
    )


def count_groups(journal: Journal) -> list[int]:
    """
    A list that grows by one with each group.
    """
    groups: list[int] = []
    stream: Any = journal._stream
    append = stream.append

    def append_and_count(drafts: list[Any], *, keeps_reserve: bool) -> None:
        groups.append(len(drafts))
        append(drafts, keeps_reserve=keeps_reserve)

    stream.append = append_and_count
    return groups


def run_raw(path: Path, size_bytes: int, prepare: Callable[[int], None] = lambda _: None) -> Raw:
    """
    Write so many bytes and sync, one thread, nothing else. With `prepare`, into what that prepared.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    prepare(fd)
    os.lseek(fd, 0, os.SEEK_SET)
    data = b"x" * size_bytes
    waits = []
    cpu, until = time.thread_time(), time.monotonic() + SECONDS / 2
    while time.monotonic() < until:
        begun = time.perf_counter()
        durable.write(fd, data)
        durable.sync(fd)
        waits.append(time.perf_counter() - begun)
    cpu = time.thread_time() - cpu
    os.close(fd)
    path.unlink()
    waits.sort()
    return Raw(waits[len(waits) // 2] * 1e6, waits[len(waits) * 99 // 100] * 1e6, cpu / len(waits) * 1e6)


def hold_blocks(fd: int) -> None:
    """
    Blocks, without lengthening the file: what the reserve does.
    """
    durable.allocate(fd, 0, 64 * MEBIBYTE)
    os.fsync(fd)


def fill_with_zeros(fd: int) -> None:
    """
    Blocks that were written before: neither the length nor the map changes any more.
    """
    for _ in range(64):
        durable.write(fd, bytes(MEBIBYTE))
    os.fsync(fd)


def middle(runs: list[Any]) -> list[float]:
    """
    The median of each figure.
    """
    return [statistics.median(column) for column in zip(*runs, strict=True)]


def print_runs(runs: dict[tuple[int, bool], list[Run]], raws: dict[tuple[int, bool], list[Raw]]) -> None:
    """
    The first table.
    """
    print(f"{'waiters':10}{'CPU us: loop':>13}{'of it, not ours':>17}{'thread':>8}{'ours':>6}", end="")
    print(f"{'records/s':>11}{'a group':>9}", end="")
    print(f"{'p50':>7}{'p99':>7}{'raw p50':>9}{'raw p99':>9}{'raw CPU':>9}")
    for row, of_it in runs.items():
        loop_us, without_us, thread_us, per_second, group, p50, p99 = middle(of_it)
        raw_p50, raw_p99, raw_cpu = middle(raws[row])
        name = f"{row[0]} busy" if row[1] else f"{row[0]}"
        print(f"{name:10}{loop_us:13.1f}{without_us:17.1f}{thread_us:8.1f}", end="")
        print(f"{loop_us - without_us + thread_us:6.1f}{per_second:11,.0f}{group:9.1f}{p50:7.0f}{p99:7.0f}", end="")
        print(f"{raw_p50:9.0f}{raw_p99:9.0f}{raw_cpu:9.1f}")


def main() -> None:
    """
    Both tables.
    """
    base = sys.argv[1] if len(sys.argv) > 1 else None
    turns = find_turns()
    with tempfile.TemporaryDirectory(dir=base) as name:
        folder = Path(name)
        runs: dict[tuple[int, bool], list[Run]] = {row: [] for row in ROWS}
        raws: dict[tuple[int, bool], list[Raw]] = {row: [] for row in ROWS}
        for turn in range(ROUNDS):
            for row in ROWS:
                waiters, is_busy = row
                journal = folder / f"{turn}-{waiters}-{is_busy}"
                runs[row].append(uvloop.run(run(journal, waiters, turns if is_busy else 0)))
                raws[row].append(run_raw(folder / "raw", round(runs[row][-1].group * 500)))
        print_runs(runs, raws)
        print(f"\n{'write + sync of':18}{'p50':>7}{'p99':>7}{'CPU us':>8}")
        ways: dict[str, Callable[[int], None]] = {
            "a growing file": lambda _: None,
            "one that holds blocks": hold_blocks,
            "zeros written before": fill_with_zeros,
        }
        for size_bytes in (1000, 15_000):
            found: dict[str, list[Raw]] = {way: [] for way in ways}
            for _ in range(ROUNDS):
                for way, prepare in ways.items():
                    found[way].append(run_raw(folder / "raw", size_bytes, prepare))
            for way, of_it in found.items():
                p50, p99, cpu_us = middle(of_it)
                print(f"{size_bytes:6} bytes, {way:24}{p50:7.0f}{p99:7.0f}{cpu_us:8.1f}")


if __name__ == "__main__":
    main()
