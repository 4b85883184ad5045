"""
`python -m benchmarks [--quick]`: what `make bench` runs.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.candidates import NGINX, OURS
from benchmarks.comparison import Plan, compare
from benchmarks.machine import ROOT, UnfitError, describe, find_cores, find_tools, raise_file_limit
from benchmarks.nginx_server import nginx_upstream
from benchmarks.outcome import Series
from benchmarks.range import Range
from benchmarks.report import Report
from benchmarks.series.bodies import measure_bodies
from benchmarks.series.commands import measure_commands
from benchmarks.series.connections import measure_connections
from benchmarks.series.half_load import measure_half_load
from benchmarks.series.journals import measure_journals
from benchmarks.series.polls import measure_polls
from benchmarks.series.tokens import measure_tokens
from benchmarks.wrk import Generator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchmarks.comparison import Comparison
    from benchmarks.machine import Cores, Tools

_SCRATCH = Path(__file__).parent / "scratch"
_RESULTS = Path(__file__).parent / "results"
_FULL = Plan(rounds=3, window_seconds=8, warm_up_seconds=2, single_seconds=5)
_QUICK = Plan(rounds=2, window_seconds=5, warm_up_seconds=1, single_seconds=3)
_LONGEST_SECONDS = 45 * 60
"""A run that takes longer hangs."""

_COMPARISON = "comparison"
_SERIES = ("half-load", "connections", "tokens", "journals", "bodies", "polls", "commands")


def main() -> int:
    """
    Set up, measure, judge, write. Exit code 1 for a run that is void, 2 where it cannot run at all.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the main table alone, under 3 minutes")
    parser.add_argument(
        "--only", action="append", choices=[_COMPARISON, *_SERIES], help="these parts alone; repeatable"
    )
    arguments = parser.parse_args()
    kind = "part" if arguments.only else "quick" if arguments.quick else "full"
    parts = arguments.only or ([_COMPARISON] if arguments.quick else [_COMPARISON, *_SERIES])
    # Whatever ends us, what we started is ended first, in order.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.default_int_handler)
    signal.alarm(_LONGEST_SECONDS)
    try:
        cores, tools = find_cores(), find_tools()
    except UnfitError as error:
        print(error, file=sys.stderr)
        return 2
    raise_file_limit()
    os.sched_setaffinity(0, {cores.load})
    began = time.monotonic()
    try:
        comparison, series = _measure(cores, tools, parts, _QUICK if arguments.quick else _FULL)
    except KeyboardInterrupt:
        print("ended before its end; nothing was written", file=sys.stderr)
        return 130
    date = datetime.now(UTC).date().isoformat()
    report = Report(kind, date, describe(tools), time.monotonic() - began, comparison, series)
    print(f"\n{report.render()}")
    for path in report.write(_RESULTS):
        print(path.relative_to(ROOT))
    return 1 if report.faults else 0


def _measure(cores: Cores, tools: Tools, parts: list[str], plan: Plan) -> tuple[Comparison | None, list[Series]]:
    """
    The comparison, then the series, all before the same upstream.
    """
    comparison = None
    series = []
    with _scratch_folder() as folder:
        certificates = _make_certificates(folder)
        key = str(uuid.uuid4())
        with nginx_upstream(
            tools.nginx, folder / "upstream", core=cores.load, certificates=certificates, key=key
        ) as upstream:
            place = Range(cores, Generator(tools.wrk, cores.load), upstream, folder)
            if {_COMPARISON, "half-load"} & set(parts):
                _announce(_COMPARISON)
                comparison = compare(place, plan, tools.nginx)
            for name, measure in _list_series(place, tools, certificates, comparison).items():
                if name in parts:
                    _announce(name)
                    series.append(_measure_series(place, name, measure))
    return comparison, series


def _measure_series(place: Range, name: str, measure: Callable[[], Series]) -> Series:
    """
    What a series found; when it could not be measured, that, so that the rest of a long run is not lost with it.
    """
    place.windows.clear()
    try:
        measured = measure()
    except (RuntimeError, ValueError, OSError, subprocess.SubprocessError) as error:
        print(f"  {error}", file=sys.stderr, flush=True)
        why = f"it could not be measured: {str(error).splitlines()[0]}"
        return Series(name, name, "Not measured.", ("",), (), faults=(why,))
    strangers = [window.strangers for window in place.windows]
    return dataclasses.replace(measured, strangers=statistics.median(strangers) if strangers else 0.0)


def _list_series(
    place: Range, tools: Tools, certificates: Mapping[str, str], comparison: Comparison | None
) -> dict[str, Callable[[], Series]]:
    full = {name: comparison.loaded[name].per_second for name in (OURS, NGINX)} if comparison else {}
    return {
        "half-load": lambda: measure_half_load(place, tools.nginx, full),
        "connections": lambda: measure_connections(place, tools.nginx),
        "tokens": lambda: measure_tokens(place),
        "journals": lambda: measure_journals(place),
        "bodies": lambda: measure_bodies(place, tools.nginx),
        "polls": lambda: measure_polls(place, certificates),
        "commands": lambda: measure_commands(place),
    }


def _announce(name: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {name}", flush=True)


@contextlib.contextmanager
def _scratch_folder() -> Iterator[Path]:
    """
    A folder of this run's own, removed at its end; and what a run left that was killed.
    """
    for left in _SCRATCH.glob("*"):
        if not Path("/proc", left.name).exists():
            shutil.rmtree(left)
    folder = _SCRATCH / str(os.getpid())
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            _SCRATCH.rmdir()


def _make_certificates(folder: Path) -> dict[str, str]:
    made = folder / "certificates"
    made.mkdir()
    command = [sys.executable, "-m", "benchmarks.certificates", str(made)]
    paths: dict[str, str] = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
    return paths


if __name__ == "__main__":
    sys.exit(main())
