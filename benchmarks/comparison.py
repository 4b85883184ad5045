"""
The main table: every candidate at 32 connections and at one, in alternation, medians over the rounds.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.candidates import DIRECT, LITELLM, NGINX, ONE_PAGER, OURS, direct, litellm, nginx, one_pager, ours
from benchmarks.children import pin
from benchmarks.machine import ROOT
from benchmarks.node import install, read_record, serving
from benchmarks.outcome import Honesty

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.range import Candidate, Range, Window

__all__ = ["CONNECTIONS", "Comparison", "Figures", "Plan", "compare", "summarise"]

CONNECTIONS = 32
_REST_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Plan:
    """
    How long a run measures.
    """

    rounds: int
    window_seconds: int
    warm_up_seconds: int
    single_seconds: int


@dataclass(frozen=True, slots=True)
class Figures:
    """
    Medians of a candidate's windows.

    Attributes:
        per_second: Answers a second.
        core_busy: The busy share of the candidate's core; `core_busy_least` of the window where it was least.
        core_waiting: The share in which that core waited for the disk alone.
        strangers: How many cores others used.
        failures: Of all windows together: answers of status 400 and more, and broken connections.
        windows: How many there were.
    """

    per_second: float
    p50_us: float
    p99_us: float
    cpu_us: float
    core_busy: float
    core_busy_least: float
    core_waiting: float
    strangers: float
    failures: int
    windows: int


@dataclass
class Comparison:
    """
    What the main table is made of.

    Attributes:
        loaded: At 32 connections, by candidate.
        single: At one connection.
        durable_write_us: One append and fdatasync on the journal's disk, measured between the rounds.
        rest_bytes: Memory of our node before its first call (PSS of all processes); `loaded_bytes` under load, by
            candidate.
        honesty: Of our gateway.
        skipped: What was left out, and why.
    """

    loaded: dict[str, Figures] = field(default_factory=dict)
    single: dict[str, Figures] = field(default_factory=dict)
    durable_write_us: float = 0.0
    rest_bytes: int = 0
    loaded_bytes: dict[str, int] = field(default_factory=dict)
    honesty: Honesty | None = None
    skipped: dict[str, str] = field(default_factory=dict)

    def figures(self) -> dict[str, float]:
        """
        What the targets are compared with, by the names of targets.py.
        """
        gateway, nginx, one_pager = (self.loaded[name] for name in (OURS, NGINX, ONE_PAGER))
        added_us = self.single[OURS].p50_us - self.single[DIRECT].p50_us - self.durable_write_us
        return {
            "throughput_ratio": gateway.per_second / nginx.per_second,
            "one_pager_ratio": gateway.per_second / one_pager.per_second,
            "cpu_ratio": gateway.cpu_us / nginx.cpu_us,
            "added_p50_ms": added_us / 1000,
            "rest_mb": self.rest_bytes / 1e6,
        }


def summarise(windows: Sequence[Window]) -> Figures:
    """
    The medians.
    """

    def median(values: Iterable[float]) -> float:
        return statistics.median(values)

    return Figures(
        per_second=median(window.load.per_second for window in windows),
        p50_us=median(window.load.p50_us for window in windows),
        p99_us=median(window.load.p99_us for window in windows),
        cpu_us=median(window.cpu_us for window in windows),
        core_busy=median(window.core_busy for window in windows),
        core_busy_least=min(window.core_busy for window in windows),
        core_waiting=median(window.core_waiting for window in windows),
        strangers=median(window.strangers for window in windows),
        failures=sum(window.load.failures for window in windows),
        windows=len(windows),
    )


def compare(place: Range, plan: Plan, nginx_program: str) -> Comparison:
    """
    Measure all candidates.
    """
    result = Comparison()
    installation = install(place.folder / "main", place.upstream)
    with serving(installation, core=place.cores.gateway) as node:
        time.sleep(_REST_SECONDS)
        result.rest_bytes = node.child.tree.pss_bytes()
        gateway = ours(place, node, installation)
        with nginx(place, nginx_program, installation.tokens) as second, one_pager(place, installation.tokens) as third:
            candidates = [direct(place), second, gateway, third]
            _measure_loaded(place, plan, candidates, result)
            _measure_single(place, plan, candidates, result)
    if gateway.tally is not None:
        result.honesty = Honesty(OURS, read_record(installation, core=place.cores.gateway), gateway.tally)
    with litellm(place) as last:
        if last is None:
            result.skipped[LITELLM] = "its environment .venv-bench is not there (make bench makes it)"
        else:
            short = Plan(1, plan.window_seconds, plan.warm_up_seconds + 2, plan.single_seconds)
            _measure_loaded(place, short, [last], result)
            _measure_single(place, short, [last], result)
    return result


def _measure_loaded(place: Range, plan: Plan, candidates: Sequence[Candidate], result: Comparison) -> None:
    windows: dict[str, list[Window]] = {candidate.name: [] for candidate in candidates}
    for number in range(plan.rounds):
        # Each round the other way round, so that nobody always comes after the same one.
        for candidate in candidates if number % 2 == 0 else reversed(candidates):
            memory = place.warm_up(candidate, connections=CONNECTIONS, seconds=plan.warm_up_seconds)
            result.loaded_bytes[candidate.name] = max(memory, result.loaded_bytes.get(candidate.name, 0))
            window = place.measure(candidate, connections=CONNECTIONS, seconds=plan.window_seconds)
            windows[candidate.name].append(window)
            _tell(candidate, CONNECTIONS, window)
    result.loaded |= {name: summarise(each) for name, each in windows.items()}


def _measure_single(place: Range, plan: Plan, candidates: Sequence[Candidate], result: Comparison) -> None:
    windows: dict[str, list[Window]] = {candidate.name: [] for candidate in candidates}
    writes = []
    for number in range(plan.rounds):
        for candidate in candidates if number % 2 == 0 else reversed(candidates):
            if candidate.name == OURS:
                writes.append(_measure_disk(place))
            window = place.measure(candidate, connections=1, seconds=plan.single_seconds)
            windows[candidate.name].append(window)
            _tell(candidate, 1, window)
    if writes:
        result.durable_write_us = statistics.median(writes)
    result.single |= {name: summarise(each) for name, each in windows.items()}


def _measure_disk(place: Range) -> float:
    command = [*pin(place.cores.gateway), sys.executable, "-m", "benchmarks.disk", str(place.folder)]
    return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def _tell(candidate: Candidate, connections: int, window: Window) -> None:
    load = window.load
    print(
        f"  {candidate.name:<18} {connections:>4} connections {load.per_second:>9,.0f} /s   "
        f"p50 {load.p50_us / 1000:>7.3f} ms   p99 {load.p99_us / 1000:>8.3f} ms   {window.cpu_us:>7.1f} us CPU   "
        f"core {window.core_busy:>4.0%} (disk {window.core_waiting:.0%})   strangers {window.strangers:>4.0%}"
        + (f"   FAILURES {load.failures}" if load.failures else ""),
        flush=True,
    )
