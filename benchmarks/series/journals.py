"""
1 to 10 million records that are there already: start to ready and throughput.

The records are two of a real call, repeated in a valid chain (journal_fill.py). The start after a crash, where nothing
says that all before it is closed, reads back to the last start; it is measured apart, at a million records.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.candidates import ours
from benchmarks.comparison import CONNECTIONS
from benchmarks.machine import ROOT
from benchmarks.node import install, is_journal_whole, serving
from benchmarks.outcome import Series

if TYPE_CHECKING:
    from benchmarks.node import Installation
    from benchmarks.range import Range

__all__ = ["measure_journals"]

_COUNTS = (0, 1_000_000, 10_000_000)
_CRASHED = 1_000_000
_RECORD_BYTES = 800
"""More than a record takes, for a look at the disk's room."""

_ROUNDS = 2
_SECONDS = 5


@dataclass(slots=True)
class _Found:
    name: str
    ready: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    is_whole: bool = True


def measure_journals(place: Range) -> Series:
    """
    Fill, start, load; each number in a folder of its own.
    """
    found = []
    failures = 0
    for count in _COUNTS:
        if shutil.disk_usage(place.folder).free < 2 * count * _RECORD_BYTES:
            print(f"  {count:,} records are left out: too little room on the disk", flush=True)
            continue
        installation = _fill(place, count, is_orderly=True)
        each = _Found(f"{count:,}")
        for _ in range(_ROUNDS):
            with serving(installation, core=place.cores.gateway) as node:
                each.ready.append(node.ready_seconds)
                gateway = ours(place, node, installation, f"journal-{count}")
                place.warm_up(gateway, connections=CONNECTIONS, seconds=1)
                window = place.measure(gateway, connections=CONNECTIONS, seconds=_SECONDS)
                each.rates.append(window.load.per_second)
                failures += window.load.failures
        if count <= _CRASHED:  # ten million take a minute, and tell nothing more
            each.is_whole = is_journal_whole(installation, core=place.cores.gateway)
        found.append(each)
        _tell(each)
        shutil.rmtree(installation.data_dir.parent)
    found.append(_crash(place))
    base = statistics.median(found[0].rates)
    damaged = [each.name for each in found if not each.is_whole]
    return Series(
        name="journals",
        title="Records that are there already",
        text="Start to ready is from the start of the process to its ready line, on the one core.",
        columns=("records", "start to ready s", "calls/s", "x none"),
        rows=tuple(_render(each, base) for each in found),
        failures=failures,
        faults=tuple(f"the journal of {name} records does not verify" for name in damaged),
    )


def _crash(place: Range) -> _Found:
    installation = _fill(place, _CRASHED, is_orderly=False)
    each = _Found(f"{_CRASHED:,}, after a crash")
    with serving(installation, core=place.cores.gateway) as node:
        each.ready.append(node.ready_seconds)
    each.is_whole = is_journal_whole(installation, core=place.cores.gateway)
    _tell(each)
    shutil.rmtree(installation.data_dir.parent)
    return each


def _fill(place: Range, count: int, *, is_orderly: bool) -> Installation:
    installation = install(place.folder / f"journal-{count}-{is_orderly}", place.upstream)
    with serving(installation, core=place.cores.gateway) as node:
        gateway = ours(place, node, installation, "journal-sample")
        place.warm_up(gateway, connections=1, seconds=1)
    stream = installation.data_dir / "journal" / "worker-0"
    command = [sys.executable, "-m", "benchmarks.journal_fill", str(stream), str(count)]
    subprocess.run([*command, *([] if is_orderly else ["--as-after-a-crash"])], cwd=ROOT, check=True)
    return installation


def _tell(found: _Found) -> None:
    rate = f", {statistics.median(found.rates):,.0f} /s" if found.rates else ""
    print(f"  {found.name} records: ready in {statistics.median(found.ready):.2f} s{rate}", flush=True)


def _render(found: _Found, base: float) -> tuple[str, ...]:
    ready = f"{statistics.median(found.ready):.2f}"
    if not found.rates:
        return (found.name, ready, "", "")
    rate = statistics.median(found.rates)
    return (found.name, ready, f"{rate:,.0f}", f"{rate / base:.2f}")
