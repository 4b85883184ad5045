"""
The rules that make a run void: when what it tells is of the load generator, of other programs, or of a broken gateway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.candidates import DIRECT, LITELLM, NGINX, OURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.comparison import Comparison
    from benchmarks.outcome import Series

__all__ = ["BUSY_LEAST", "STRANGERS_MOST", "find_faults"]

BUSY_LEAST = 0.95
"""
A core that is less busy waits for something that is no part of it, and the figure is that thing's. Waiting for the disk
counts as busy: a record on disk first is a part of what is measured, and the kernel tells it apart from idling.
"""

STRANGERS_MOST = 0.15
"""A machine that does nothing else has timers and interrupts, which belong to no process, and some daemons."""


def find_faults(comparison: Comparison | None, series: Sequence[Series]) -> list[str]:
    """
    Why the run is void, in whole sentences; empty for a run that counts.
    """
    faults = [] if comparison is None else _find_in_comparison(comparison)
    for each in series:
        if each.failures:
            faults.append(f"{each.title}: {each.failures} calls failed.")
        if each.strangers > STRANGERS_MOST:
            faults.append(f"{each.title}: meanwhile other programs used {each.strangers:.0%} of a core.")
        faults += [f"{each.title}: {fault}." for fault in each.faults]
        faults += [
            f"{each.title}: {fault} ({honesty.of})." for honesty in each.honesty for fault in honesty.find_faults()
        ]
    return faults


def _find_in_comparison(comparison: Comparison) -> list[str]:
    loaded, single = comparison.loaded, comparison.single
    faults = []
    if loaded[DIRECT].per_second <= loaded[NGINX].per_second:
        faults.append(
            f"Direct ({loaded[DIRECT].per_second:,.0f} /s) does not exceed nginx ({loaded[NGINX].per_second:,.0f} /s): "
            "the load generator or the upstream is what was measured."
        )
    for name, each in loaded.items():
        busy = each.core_busy + each.core_waiting
        if name not in {DIRECT, LITELLM} and busy < BUSY_LEAST:
            faults.append(
                f"The core of {name} was {busy:.1%} busy at 32 connections, less than {BUSY_LEAST:.0%} "
                f"(for {each.core_waiting:.1%} of it it waited for the disk)."
            )
        if each.strangers > STRANGERS_MOST:
            faults.append(f"While {name} was measured, other programs used {each.strangers:.0%} of a core.")
    for figures in (loaded, single):
        faults += [f"{name}: {each.failures} calls failed." for name, each in figures.items() if each.failures]
    if comparison.honesty is not None:
        faults += [f"{OURS}: {fault}." for fault in comparison.honesty.find_faults()]
    return faults
