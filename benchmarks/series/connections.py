"""
1 to 1,000 connections: whether a pool, a queue or a task costs more when there are more of them.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from benchmarks.candidates import nginx, ours
from benchmarks.node import install, read_record, serving
from benchmarks.outcome import Honesty, Series

if TYPE_CHECKING:
    from benchmarks.range import Range, Window

__all__ = ["measure_connections"]

_COUNTS = (1, 10, 100, 1000)
_ROUNDS = 2
_SECONDS = 5


def measure_connections(place: Range, nginx_program: str) -> Series:
    """
    Our gateway beside nginx at each number.
    """
    installation = install(place.folder / "connections", place.upstream)
    rows = []
    failures = 0
    with serving(installation, core=place.cores.gateway) as node:
        gateway = ours(place, node, installation)
        with nginx(place, nginx_program, installation.tokens) as other:
            for count in _COUNTS:
                windows: dict[str, list[Window]] = {gateway.name: [], other.name: []}
                for _ in range(_ROUNDS):
                    for candidate in (gateway, other):
                        window = place.measure(candidate, connections=count, seconds=_SECONDS)
                        windows[candidate.name].append(window)
                        failures += window.load.failures
                row = _render(count, windows[gateway.name], windows[other.name])
                print("  " + "  ".join(f"{cell:>12}" for cell in row), flush=True)
                rows.append(row)
    record = read_record(installation, core=place.cores.gateway)
    return Series(
        name="connections",
        title="Connections",
        text="Callers' connections, each sending when its answer came.",
        columns=("connections", "calls/s", "x nginx", "CPU us", "p50 ms", "p99 ms", "nginx p99 ms"),
        rows=tuple(rows),
        honesty=(Honesty("connections", record, gateway.tally),) if gateway.tally else (),
        failures=failures,
    )


def _render(count: int, gateway: list[Window], nginx: list[Window]) -> tuple[str, ...]:
    per_second = statistics.median(window.load.per_second for window in gateway)
    ratio = per_second / statistics.median(window.load.per_second for window in nginx)
    return (
        f"{count:,}",
        f"{per_second:,.0f}",
        f"{ratio:.2f}",
        f"{statistics.median(window.cpu_us for window in gateway):.1f}",
        f"{statistics.median(window.load.p50_us for window in gateway) / 1000:.2f}",
        f"{statistics.median(window.load.p99_us for window in gateway) / 1000:.2f}",
        f"{statistics.median(window.load.p99_us for window in nginx) / 1000:.2f}",
    )
