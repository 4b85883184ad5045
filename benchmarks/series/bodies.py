"""
Bodies from nothing to 1 MiB: what a byte costs, beside nginx.

JSON bodies of an insertLead, whose upstream reads the whole body before it answers. nginx holds a body in memory
before it sends it on, as ours does.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from benchmarks.candidates import nginx, ours, write_calls
from benchmarks.comparison import CONNECTIONS
from benchmarks.node import install, read_record, serving
from benchmarks.outcome import Honesty, Series

if TYPE_CHECKING:
    from benchmarks.range import Range, Window

__all__ = ["measure_bodies", "render_size"]

_SIZES = (0, 1024, 16 * 1024, 64 * 1024, 256 * 1024, 1024 * 1024)
_TARGET = "/servicemanager/rest/CampaignAPI/insertLead?fTemplateId=7"
_SECONDS = 4
_CALLS_BYTES = 8 * 1024 * 1024
"""How much of rendered calls wrk is given at most; large bodies are sent with fewer of the tokens."""


def measure_bodies(place: Range, nginx_program: str) -> Series:
    """
    Our gateway beside nginx at each size.
    """
    installation = install(place.folder / "bodies", place.upstream)
    rows = []
    failures = 0
    with serving(installation, core=place.cores.gateway) as node:
        gateway = ours(place, node, installation)
        with nginx(place, nginx_program, installation.tokens) as other:
            for size in _SIZES:
                tokens = installation.tokens[: max(_CALLS_BYTES // max(size, 1), 4)]
                body = b'{"leads":"%b"}' % (b"x" * (size - 12)) if size else b""
                windows = {}
                for candidate in (gateway, other):
                    port = int(candidate.url.rpartition(":")[2])
                    name = f"{candidate.name}-{size}"
                    path = write_calls(place, name, port, tokens, target=_TARGET, body=body)
                    sized = dataclasses.replace(candidate, requests=path)
                    place.warm_up(sized, connections=CONNECTIONS, seconds=1)
                    windows[candidate.name] = place.measure(sized, connections=CONNECTIONS, seconds=_SECONDS)
                    failures += windows[candidate.name].load.failures
                    path.unlink()
                row = _render(size, windows[gateway.name], windows[other.name])
                print("  " + "  ".join(f"{cell:>12}" for cell in row), flush=True)
                rows.append(row)
    record = read_record(installation, core=place.cores.gateway)
    return Series(
        name="bodies",
        title="Bodies",
        text=f"JSON bodies at {CONNECTIONS} connections; the upstream reads them before it answers.",
        columns=("body", "calls/s", "MB/s", "CPU us", "p99 ms", "nginx calls/s", "x nginx"),
        rows=tuple(rows),
        honesty=(Honesty("bodies", record, gateway.tally),) if gateway.tally else (),
        failures=failures,
    )


def render_size(size: int) -> str:
    """
    A size in the largest unit of which it is a whole number.
    """
    for unit, name in ((1024 * 1024, "MiB"), (1024, "KiB")):
        if size and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def _render(size: int, gateway: Window, nginx: Window) -> tuple[str, ...]:
    ours, theirs = gateway.load.per_second, nginx.load.per_second
    return (
        render_size(size),
        f"{ours:,.0f}",
        f"{ours * size / 1e6:,.1f}",
        f"{gateway.cpu_us:.0f}",
        f"{gateway.load.p99_us / 1000:.2f}",
        f"{theirs:,.0f}",
        f"{ours / theirs:.2f}",
    )
