"""
10 to 100,000 tokens: throughput with all of them in use in turn, start to ready, memory at rest.

Each number is an installation of its own, with ten callers whose rate is at its highest (with ten tokens a caller would
meet the default limit). All gateways run side by side and are measured in alternation.
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import time
from typing import TYPE_CHECKING

from benchmarks.candidates import ours
from benchmarks.comparison import CONNECTIONS
from benchmarks.node import install, read_record, serving
from benchmarks.outcome import Honesty, Series

if TYPE_CHECKING:
    from benchmarks.node import Installation
    from benchmarks.range import Candidate, Range

__all__ = ["measure_tokens"]

_COUNTS = (10, 1_000, 10_000, 100_000)
_CALLERS = 10
_RATE = "10000/s"
_ROUNDS = 3
_SECONDS = 5
_STARTS = 3
_IN_USE = 10
_REST_SECONDS = 2.0


@dataclasses.dataclass(slots=True)
class _Found:
    ready_seconds: float
    rest_bytes: int
    rates: list[float] = dataclasses.field(default_factory=list)


def measure_tokens(place: Range) -> Series:
    """
    Start each several times, then measure all side by side.
    """
    installations = {
        f"{count:,}": install(
            place.folder / f"tokens-{count}", place.upstream, callers=_CALLERS, tokens=count, rate=_RATE
        )
        for count in _COUNTS
    }
    found = {name: _start(place, each) for name, each in installations.items()}
    fewest, most = f"{_COUNTS[0]:,}", f"{_COUNTS[-1]:,}"
    some = f"{most}, {_IN_USE} in use"
    found[some] = dataclasses.replace(found[most], rates=[])
    candidates: dict[str, Candidate] = {}
    failures = 0
    with contextlib.ExitStack() as stack:
        for name, each in installations.items():
            node = stack.enter_context(serving(each, core=place.cores.gateway))
            candidates[name] = ours(place, node, each, f"tokens-{name}")
            if name == most:
                few = dataclasses.replace(each, tokens=each.tokens[:_IN_USE])
                few_calls = ours(place, node, few, "tokens-in-use")
                candidates[some] = dataclasses.replace(few_calls, tally=candidates[name].tally)
        for number in range(_ROUNDS):
            for name in candidates if number % 2 == 0 else reversed(candidates):
                place.warm_up(candidates[name], connections=CONNECTIONS, seconds=1)
                window = place.measure(candidates[name], connections=CONNECTIONS, seconds=_SECONDS)
                found[name].rates.append(window.load.per_second)
                failures += window.load.failures
                print(f"  {name:>18} tokens {window.load.per_second:>9,.0f} /s", flush=True)
    base = statistics.median(found[fewest].rates)
    honesty = [
        Honesty(f"{name} tokens", read_record(each, core=place.cores.gateway), tally)
        for name, each in installations.items()
        if (tally := candidates[name].tally) is not None
    ]
    return Series(
        name="tokens",
        title="Tokens",
        text="Ten callers; all tokens in use in turn, unless said otherwise. Start to ready is from the start of the "
        "process to its ready line, on the one core.",
        columns=("tokens", "calls/s", f"x {fewest} tokens", "start to ready s", "memory at rest MB"),
        rows=tuple(_render(name, each, base) for name, each in found.items()),
        figures={
            "tokens_ratio": statistics.median(found[most].rates) / base,
            "start_seconds": found[most].ready_seconds,
        },
        honesty=tuple(honesty),
        failures=failures,
    )


def _start(place: Range, installation: Installation) -> _Found:
    times = []
    rest_bytes = 0
    for _ in range(_STARTS):
        with serving(installation, core=place.cores.gateway) as node:
            times.append(node.ready_seconds)
            time.sleep(_REST_SECONDS)
            rest_bytes = node.child.tree.pss_bytes()
    print(f"  {len(installation.tokens):>18,} tokens ready in {statistics.median(times):.2f} s", flush=True)
    return _Found(statistics.median(times), rest_bytes)


def _render(name: str, found: _Found, base: float) -> tuple[str, ...]:
    rate = statistics.median(found.rates)
    memory = f"{found.rest_bytes / 1e6:.0f}"
    return (name, f"{rate:,.0f}", f"{rate / base:.2f}", f"{found.ready_seconds:.2f}", memory)
