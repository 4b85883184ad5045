"""
Where candidates are measured: two cores, the load generator, the upstream; and what one window of load tells.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.process_tree import CoreTimes, ProcessTree, find_kernel_threads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.machine import Cores
    from benchmarks.nginx_server import Upstream
    from benchmarks.wrk import Generator, Load

__all__ = ["Candidate", "Range", "Tally", "Window"]

_SETTLE_SECONDS = 0.3
"""After a window, for what wrk left under way to reach the upstream, so that the next one's count is its own."""


@dataclass(slots=True)
class Tally:
    """
    What our gateway was asked, counted outside of it.

    Attributes:
        answered: Answers that wrk got.
        left: At most so many calls were under way when wrk closed its connections.
        at_upstream: Requests that reached the upstream.
    """

    answered: int = 0
    left: int = 0
    at_upstream: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """
    Something that forwards calls.

    Attributes:
        requests: What wrk sends to it.
        tree: All its processes.
        tally: For our gateway, to compare its record with.
    """

    name: str
    url: str
    requests: Path
    tree: ProcessTree
    tally: Tally | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """
    What one window of load tells.

    Attributes:
        cpu_us: CPU microseconds for each answer, of the candidate's whole tree.
        core_busy: The busy share of the candidate's core, 0 to 1, whoever used it.
        core_waiting: The share in which it waited for the disk alone.
        strangers: How many cores were used, of the two, by what is no part of the benchmark.
    """

    load: Load
    cpu_us: float
    core_busy: float
    core_waiting: float
    strangers: float


@dataclass(frozen=True, slots=True)
class _Sample:
    gateway: CoreTimes
    load: CoreTimes
    ours: float


@dataclass
class Range:
    """
    The place of a run.

    Attributes:
        folder: For what a run leaves; removed at its end.
        windows: Every window that was measured since somebody cleared them.
    """

    cores: Cores
    generator: Generator
    upstream: Upstream
    folder: Path
    windows: list[Window] = field(default_factory=list)

    def warm_up(self, candidate: Candidate, *, connections: int, seconds: int) -> int:
        """
        Load whose speed is not measured. Returns the memory of the candidate's tree shortly before its end.
        """
        sizes: list[int] = []
        self._run(
            candidate,
            connections=connections,
            seconds=seconds,
            within=lambda: sizes.append(candidate.tree.pss_bytes()),
        )
        return sizes[-1]

    def measure(self, candidate: Candidate, *, connections: int, seconds: int, delay_ms: float = 0) -> Window:
        """
        One window of load.
        """
        samples: list[_Sample] = []
        cpu_before = candidate.tree.cpu_seconds()
        load = self._run(
            candidate,
            connections=connections,
            seconds=seconds,
            delay_ms=delay_ms,
            within=lambda: samples.append(self._sample()),
        )
        cpu_us = 1e6 * (candidate.tree.cpu_seconds() - cpu_before) / max(load.answers, 1)
        first, last = samples
        busy = first.gateway.busy_until(last.gateway)
        elapsed = last.gateway.at - first.gateway.at
        strangers = busy + first.load.busy_until(last.load) - (last.ours - first.ours) / elapsed
        waiting = first.gateway.waiting_until(last.gateway)
        window = Window(load, cpu_us, busy, waiting, max(strangers, 0.0))
        self.windows.append(window)
        return window

    def _run(
        self,
        candidate: Candidate,
        *,
        connections: int,
        seconds: int,
        delay_ms: float = 0,
        within: Callable[[], None] | None = None,
    ) -> Load:
        """
        Load a candidate; when it is our gateway, count what it was asked.
        """
        tally = candidate.tally
        before = self.upstream.count_requests() if tally else 0
        load = self.generator.run(
            candidate.url,
            candidate.requests,
            connections=connections,
            seconds=seconds,
            delay_ms=delay_ms,
            within=within,
        )
        time.sleep(_SETTLE_SECONDS)
        if tally is not None:
            tally.answered += load.answers
            tally.left += connections
            tally.at_upstream += self.upstream.count_requests() - before - 1  # the question itself
        return load

    def _sample(self) -> _Sample:
        # This program and all that it started, candidates, the upstream, the load generator; and the kernel for them.
        ours = ProcessTree(os.getpid()).cpu_seconds()
        if (kernel := find_kernel_threads()) is not None:
            ours += kernel.cpu_seconds()
        return _Sample(CoreTimes.read(self.cores.gateway), CoreTimes.read(self.cores.load), ours)
