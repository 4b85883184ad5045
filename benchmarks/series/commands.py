"""
How long a verb takes, from the start of its process to its exit, beside Python that does nothing.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.children import pin
from benchmarks.node import COMMAND, install
from benchmarks.outcome import Series

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.range import Range

__all__ = ["measure_commands"]

_ROUNDS = 15


def measure_commands(place: Range) -> Series:
    """
    `token list` with 200 tokens, and `--help`, in alternation with `python -c pass`, all on one core.
    """
    installation = install(place.folder / "commands", place.upstream)
    commands: dict[str, Sequence[str]] = {
        "python -c pass": (sys.executable, "-c", "pass"),
        "noojee-gateway token list": (str(COMMAND), "token", "list"),
        "noojee-gateway --help": (str(COMMAND), "--help"),
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(_ROUNDS):
        for name, command in commands.items():
            times[name].append(_time([*pin(place.cores.gateway), *command], installation.environment()))
    medians = {name: statistics.median(each) for name, each in times.items()}
    base = medians["python -c pass"]
    for name, each in medians.items():
        print(f"  {name:<26} {1000 * each:7.1f} ms", flush=True)
    return Series(
        name="commands",
        title="The command line",
        text=f"From the start of the process to its exit, medians of {_ROUNDS}; 200 tokens are listed.",
        columns=("", "ms", "x python -c pass"),
        rows=tuple((name, f"{1000 * each:.0f}", f"{each / base:.1f}") for name, each in medians.items()),
        figures={"token_list_ratio": medians["noojee-gateway token list"] / base},
    )


def _time(command: Sequence[str], environment: Mapping[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began
