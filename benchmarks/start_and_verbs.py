"""
What an operator waits for, and what a token costs: `python -m benchmarks.start_and_verbs [--tokens N] [--rounds N]`.

Start to ready with few tokens and with many, memory of the whole node at rest, and verbs beside `python -c pass`, all
in alternation. Needs no load generator and no upstream, because nothing is called. On a machine that others use too
processor time tells more than the clock: of a verb it is what the kernel counted for its process, of a start that of
all the node's processes up to the ready line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.machine import ROOT
from benchmarks.nginx_server import Upstream
from benchmarks.node import COMMAND, install, serving
from benchmarks.process_tree import ProcessTree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.node import Installation

__all__ = ["TOKENS", "Start", "Verb", "measure_starts", "measure_verbs", "summarise"]

TOKENS = (10, 100_000)
"""How many tokens an installation has: few and many."""

_CALLERS = 10
_REST_SECONDS = 1.0
_NOTHING = "python -c pass"
_VERBS = (
    "--help",
    "operations",
    "audit verify",
    "audit tail",
    "upstream list",
    "credential list",
    "caller list",
    "grant list caller-0000",
    "token list",
    "explain caller-0000 CallManagementAPI/stop extenOrUniqueId=410",
    "caller set caller-0000 --rate 20/s",
)


@dataclass(slots=True)
class Start:
    """
    Starts of one installation, each until its ready line.

    Attributes:
        cpu_seconds: Of all processes, up to the ready line.
        rest_bytes: Proportional set size of all processes, a second after it.
    """

    tokens: int
    ready_seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    rest_bytes: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Verb:
    """
    One command line, from the start of its process to its exit.
    """

    words: str
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)


def measure_starts(installations: Sequence[Installation], *, core: int, rounds: int) -> list[Start]:
    """
    Start each in turn, on one core, with all that it starts.
    """
    found = [Start(len(each.tokens)) for each in installations]
    for _ in range(rounds):
        for start, installation in zip(found, installations, strict=True):
            with serving(installation, core=core) as node:
                start.ready_seconds.append(node.ready_seconds)
                start.cpu_seconds.append(node.child.tree.cpu_seconds())
                time.sleep(_REST_SECONDS)
                start.rest_bytes.append(node.child.tree.pss_bytes())
    return found


def measure_verbs(installation: Installation, *, rounds: int, verbs: Sequence[str] = _VERBS) -> list[Verb]:
    """
    Each verb in turn; `python -c pass` is the first of what is returned.
    """
    found = [Verb(words) for words in (_NOTHING, *verbs)]
    for _ in range(rounds):
        for verb in found:
            command = [sys.executable, "-c", "pass"] if verb.words == _NOTHING else [str(COMMAND), *verb.words.split()]
            seconds, cpu_seconds = _time(command, installation.environment())
            verb.seconds.append(seconds)
            verb.cpu_seconds.append(cpu_seconds)
    return found


def summarise(starts: Sequence[Start], verbs: Sequence[Verb]) -> dict[str, float]:
    """
    The figures, by name: of starts those with the most tokens; medians.
    """
    fewest, most = min(starts, key=lambda each: each.tokens), max(starts, key=lambda each: each.tokens)
    nothing = next(each for each in verbs if each.words == _NOTHING)
    listing = next(each for each in verbs if each.words == "token list")
    more_bytes = statistics.median(most.rest_bytes) - statistics.median(fewest.rest_bytes)
    return {
        "start_seconds": statistics.median(most.ready_seconds),
        "start_cpu_seconds": statistics.median(most.cpu_seconds),
        "token_bytes": more_bytes / max(most.tokens - fewest.tokens, 1),
        "rest_mb": statistics.median(fewest.rest_bytes) / 1e6,
        "token_list_ratio": statistics.median(listing.seconds) / statistics.median(nothing.seconds),
        "token_list_cpu_ratio": statistics.median(listing.cpu_seconds) / statistics.median(nothing.cpu_seconds),
    }


def _time(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """
    The seconds from a process's start to its exit, and its processor time, user and system.
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime


def _install(folder: Path, tokens: int) -> Installation:
    """
    An installation that is never called: its Noojee is nowhere.
    """
    certificates = folder / f"certificates-{tokens}"
    certificates.mkdir()
    command = [sys.executable, "-m", "benchmarks.certificates", str(certificates)]
    made = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
    nowhere = Upstream(9, Path(made["ca_file"]), "nobodys-key", ProcessTree(os.getpid()))
    return install(folder / f"tokens-{tokens}", nowhere, callers=_CALLERS, tokens=tokens)


def _print(starts: Sequence[Start], verbs: Sequence[Verb]) -> None:
    print(f"\n{'start to ready, on one core':<66} {'s':>7} {'CPU s':>7} {'MB':>7}")
    for start in starts:
        ready, cpu = statistics.median(start.ready_seconds), statistics.median(start.cpu_seconds)
        print(f"{start.tokens:>12,} tokens {'':<46} {ready:>7.2f} {cpu:>7.2f} {_median_mb(start):>7.1f}")
    nothing = verbs[0]
    print(f"\n{'process start to exit':<66} {'ms':>7} {'x':>7} {'CPU ms':>7} {'x':>7}")
    for verb in verbs:
        seconds, cpu = statistics.median(verb.seconds), statistics.median(verb.cpu_seconds)
        ratio, cpu_ratio = seconds / statistics.median(nothing.seconds), cpu / statistics.median(nothing.cpu_seconds)
        print(f"{verb.words:<66} {1000 * seconds:>7.0f} {ratio:>7.1f} {1000 * cpu:>7.0f} {cpu_ratio:>7.1f}")
    print()
    for name, figure in summarise(starts, verbs).items():
        print(f"{name:<24} {figure:.2f}")


def _median_mb(start: Start) -> float:
    return statistics.median(start.rest_bytes) / 1e6


def main() -> None:
    """
    Install, measure, print.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start_and_verbs", description=__doc__)
    parser.add_argument("--tokens", type=int, default=TOKENS[-1], help="of the larger installation (100000)")
    parser.add_argument("--rounds", type=int, default=9, help="of which the medians are told (9)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.suppress(KeyboardInterrupt):
        few, many = (_install(Path(name), tokens) for tokens in (TOKENS[0], arguments.tokens))
        core = max(os.sched_getaffinity(0))
        starts = measure_starts([few, many], core=core, rounds=arguments.rounds)
        _print(starts, measure_verbs(few, rounds=arguments.rounds))


if __name__ == "__main__":
    main()
