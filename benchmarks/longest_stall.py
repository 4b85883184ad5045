"""
How long the event loop stands still, at the longest, while a registry of 100,000 tokens is read and while it changes.

Calls are served by one loop, so whatever holds it (or the interpreter) holds every call. The same parts run as in a
worker, `Feed` and `Snapshots`, on a registry in a temporary folder; a task that wants to run every millisecond tells
how late it came. Run it with `python benchmarks/longest_stall.py [TOKENS]` on a machine that has nothing else to do;
it prints what it finds and writes it to `benchmarks/results/longest_stall.json` (times in milliseconds).
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import platform
import sqlite3
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from gateway.clock import SystemClock
from gateway.data_plane.snapshots import Snapshots
from gateway.registry.feed import Feed
from gateway.registry.rows import CallerRow, TokenRow
from gateway.registry.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.access.snapshot import Snapshot
    from gateway.registry.transaction import Transaction

TICK_SECONDS = 0.001
RESULT = Path(__file__).parent / "results" / "longest_stall.json"
rows: list[dict[str, object]] = []
CRM = CallerRow("crm", (), query_token_allowed=True, is_enabled=True)
NOW = datetime(2026, 5, 3, 9, 15, tzinfo=UTC)


class Ticker:
    """
    A task that should run every millisecond.

    Attributes:
        longest_seconds: How late it came at the worst.
    """

    def __init__(self) -> None:
        self.longest_seconds = 0.0

    async def run(self) -> None:
        """
        Tick until cancelled.
        """
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK_SECONDS)
            self.longest_seconds = max(self.longest_seconds, time.perf_counter() - began - TICK_SECONDS)


@asynccontextmanager
async def watched(what: str) -> AsyncIterator[None]:
    """
    Print how long the block took, and the longest stall within it.
    """
    ticker = Ticker()
    ticking = asyncio.create_task(ticker.run())
    await asyncio.sleep(0.05)  # until it ticks evenly
    ticker.longest_seconds = 0.0
    began = time.perf_counter()
    try:
        yield
    finally:
        took = time.perf_counter() - began
        await asyncio.sleep(0.01)  # a stall at the very end is told by the tick after it
        ticking.cancel()
        stall = round(1000 * ticker.longest_seconds, 1)
        rows.append({"step": what, "took": round(1000 * took, 1), "longest_stall": stall})
        print(f"{what:<52} {1000 * took:8.1f} ms   longest stall {1000 * ticker.longest_seconds:6.1f} ms")


def fill(path: Path, tokens: int) -> None:
    """
    A registry whose caller `crm` has so many tokens, beside a thousand other callers with one each.
    """
    with Store.create(path) as store, store.transaction() as registry:
        registry.add_caller(CRM)
        for number in range(1000):
            name = f"caller-{number}"
            registry.add_caller(CallerRow(name, ("10.0.0.0/8",), query_token_allowed=True, is_enabled=True))
            token = TokenRow(f"x{number:011d}", name, NOW, None, None)
            registry.add_token(token, b"other %d" % number)
    with sqlite3.connect(path) as connection:
        connection.executemany(
            "INSERT INTO tokens (token_id, caller_name, digest, issued_at, expires_at, changed_in) "
            "VALUES (?, 'crm', randomblob(32), '2026-05-03T09:15:00.000000Z', '2036-05-03T09:15:00.000000Z', 2)",
            ((f"{number:012d}",) for number in range(tokens)),
        )
    connection.close()


async def change(store: Store, snapshots: Snapshots, what: str, statement: Callable[[Transaction], None]) -> None:
    """
    Make a change and bring it into force.
    """

    def commit() -> int:
        with store.transaction() as registry:
            statement(registry)
            return registry.version

    version = await asyncio.to_thread(commit)
    async with watched(what):
        assert await snapshots.refresh(version)


async def measure(path: Path, tokens: int) -> None:
    """
    Everything that can make the loop wait, one after the other.
    """
    store = Store.open(path)
    feed = Feed(store)
    store.version()  # imports what it needs
    gc.collect()
    gc.freeze()  # as a node does when it has started
    async with watched("nothing, for comparison"):
        await asyncio.sleep(1)  # as long as the longest of the parts below
    async with watched(f"{tokens} tokens are loaded"):
        first: Snapshot = await asyncio.to_thread(feed.load)
    snapshots = Snapshots(
        first,
        read_version=feed.version,
        read=feed.read,
        clock=SystemClock(),
        max_age_seconds=3600,
        changed=lambda: None,
    )
    issued = TokenRow("issued000000", "crm", NOW, None, None)
    disabled = CallerRow("crm", (), query_token_allowed=True, is_enabled=False)
    changes: dict[str, Callable[[Transaction], None]] = {
        "one token is issued": lambda registry: registry.add_token(issued, b"issued"),
        "one token is revoked": lambda registry: registry.revoke_token("issued000000", NOW),
        "another caller is changed": lambda registry: registry.set_caller(
            CallerRow("caller-1", (), query_token_allowed=False, is_enabled=True)
        ),
        f"the caller of {tokens} tokens is changed": lambda registry: registry.set_caller(CRM),
        f"the caller of {tokens} tokens is disabled": lambda registry: registry.set_caller(disabled),
        f"the caller of {tokens} tokens is enabled": lambda registry: registry.set_caller(CRM),
    }
    for what, statement in changes.items():
        await change(store, snapshots, what, statement)
    assert len(snapshots.current.tokens) == tokens + 1000
    await asyncio.to_thread(put_back, path)
    async with watched("a copy of the registry is put in its place"):
        assert await snapshots.refresh()
    store.close()


def put_back(path: Path) -> None:
    """
    Another file with the same contents, as after a backup was put back.
    """
    copy = path.with_name("copy.db")
    with sqlite3.connect(path) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    for connection in (source, target):
        connection.close()
    for log in ("-wal", "-shm"):
        path.with_name(path.name + log).unlink(missing_ok=True)
    copy.rename(path)


def main() -> None:
    """
    Fill, then measure on uvloop, as `serve` runs.
    """
    tokens = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gateway.db"
        fill(path, tokens)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(measure(path, tokens))
    RESULT.parent.mkdir(exist_ok=True)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    result = {"at": datetime.now(UTC).date().isoformat(), "machine": machine, "tokens": tokens, "steps": rows}
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
