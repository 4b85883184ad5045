"""
p99 over a minute at half of the throughput that was just measured.

wrk knows no constant rate, but lets each connection wait before a request: 128 of them, each waiting evenly spread from
nothing to twice a mean, make a stream of calls that hardly wait for each other. The mean comes from short trials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.candidates import nginx, ours
from benchmarks.node import install, read_record, serving
from benchmarks.outcome import Honesty, Series

if TYPE_CHECKING:
    from benchmarks.range import Candidate, Range, Window

__all__ = ["find_delay_ms", "measure_half_load"]

_CONNECTIONS = 128
_TRIAL_SECONDS = 4
_TRIALS = 3
_NEAR = 0.03
_FAR = 0.15
_SECONDS = {"noojee-gateway": 60, "nginx": 20}


def find_delay_ms(delay_ms: float, wanted_per_second: float, found_per_second: float) -> float:
    """
    The mean delay that should give the wanted rate, when this one gave what was found.

    A connection's cycle is its delay and the call; only the delay is ours to change.
    """
    change_seconds = _CONNECTIONS / wanted_per_second - _CONNECTIONS / found_per_second
    return max(round(delay_ms + 1000 * change_seconds, 1), 0.0)


def measure_half_load(place: Range, nginx_program: str, full_per_second: dict[str, float]) -> Series:
    """
    Our gateway for a minute, and nginx for a third of it.

    Args:
        full_per_second: What each did at 32 connections, by its name.
    """
    installation = install(place.folder / "half-load", place.upstream)
    rows = []
    faults = []
    failures = 0
    figures = {}
    with serving(installation, core=place.cores.gateway) as node:
        gateway = ours(place, node, installation)
        with nginx(place, nginx_program, installation.tokens) as other:
            for candidate in (gateway, other):
                wanted = full_per_second[candidate.name] / 2
                window = _measure(place, candidate, wanted)
                failures += window.load.failures
                rows.append(_render(candidate, wanted, window))
                came = window.load.per_second
                if candidate is gateway:
                    figures["half_load_p99_ms"] = window.load.p99_us / 1000
                    if abs(came / wanted - 1) > _FAR:
                        faults.append(f"{came:,.0f} calls a second came, {wanted:,.0f} were wanted")
    record = read_record(installation, core=place.cores.gateway)
    return Series(
        name="half-load",
        title="At half load",
        text=f"{_CONNECTIONS} connections that wait before each call, so that about half of the throughput at 32 "
        "connections comes in; our gateway for 60 seconds.",
        columns=("", "wanted /s", "came /s", "p50 ms", "p90 ms", "p99 ms", "longest ms", "core busy"),
        rows=tuple(rows),
        figures=figures,
        honesty=(Honesty("half-load", record, gateway.tally),) if gateway.tally else (),
        failures=failures,
        faults=tuple(faults),
    )


def _measure(place: Range, candidate: Candidate, wanted: float) -> Window:
    delay_ms = find_delay_ms(0.0, wanted, 2 * wanted)
    for _ in range(_TRIALS):
        trial = place.measure(candidate, connections=_CONNECTIONS, seconds=_TRIAL_SECONDS, delay_ms=delay_ms)
        print(f"  {candidate.name:<18} with a mean delay of {delay_ms} ms: {trial.load.per_second:,.0f} /s", flush=True)
        if abs(trial.load.per_second / wanted - 1) < _NEAR:
            break
        delay_ms = find_delay_ms(delay_ms, wanted, trial.load.per_second)
    seconds = _SECONDS[candidate.name]
    return place.measure(candidate, connections=_CONNECTIONS, seconds=seconds, delay_ms=delay_ms)


def _render(candidate: Candidate, wanted: float, window: Window) -> tuple[str, ...]:
    load = window.load
    times = (load.p50_us, load.p90_us, load.p99_us, load.max_us)
    return (
        candidate.name,
        f"{wanted:,.0f}",
        f"{load.per_second:,.0f}",
        *(f"{time / 1000:.2f}" for time in times),
        f"{window.core_busy:.0%}",
    )
