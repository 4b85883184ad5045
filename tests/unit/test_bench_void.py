"""
When a run counts.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from benchmarks.comparison import Comparison, Figures
from benchmarks.node import Record
from benchmarks.outcome import Honesty, Series
from benchmarks.range import Tally
from benchmarks.void import find_faults

GOOD = Figures(
    per_second=0,
    p50_us=1,
    p99_us=2,
    cpu_us=3,
    core_busy=0.99,
    core_busy_least=0.98,
    core_waiting=0.005,
    strangers=0.05,
    failures=0,
    windows=3,
)
RATES = {"direct": 60_000.0, "nginx": 41_000.0, "noojee-gateway": 18_000.0, "FastAPI + httpx2": 768.0}
HONEST = Honesty("noojee-gateway", Record(100, 100, 0, is_whole=True), Tally(answered=90, left=32, at_upstream=100))
TABLE = Series("tokens", "Tokens", "", ("",), ())


def compare(**changed: dict[str, Any]) -> Comparison:
    """
    A comparison that counts, with changes to candidates by their names, with `_` for what no name may hold.
    """
    loaded = {name: dataclasses.replace(GOOD, per_second=rate) for name, rate in RATES.items()}
    for name, change in changed.items():
        key = {"gateway": "noojee-gateway", "one_pager": "FastAPI + httpx2"}.get(name, name)
        loaded[key] = dataclasses.replace(loaded[key], **change)
    return Comparison(loaded=loaded, single=dict.fromkeys(RATES, GOOD), honesty=HONEST)


def test_a_run_that_measured_the_gateway_counts() -> None:
    """
    Nothing to say of it, with series or without.
    """
    assert find_faults(compare(), [TABLE]) == []
    assert find_faults(None, [TABLE]) == []
    assert find_faults(compare(gateway={"core_busy": 0.9, "core_waiting": 0.051}), []) == [], "it waited for its disk"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"direct": {"per_second": 41_000.0}}, "Direct (41,000 /s) does not exceed nginx (41,000 /s)"),
        ({"gateway": {"core_busy": 0.9, "core_waiting": 0.049}}, "The core of noojee-gateway was 94.9% busy"),
        ({"gateway": {"strangers": 0.2}}, "While noojee-gateway was measured, other programs used 20% of a core"),
        ({"one_pager": {"failures": 1}}, "FastAPI + httpx2: 1 calls failed"),
    ],
)
def test_a_run_is_void_when_something_else_was_measured(changed: dict[str, dict[str, Any]], says: str) -> None:
    """
    The load generator, other programs, or answers that are no answers.
    """
    faults = find_faults(compare(**changed), [])

    assert len(faults) == 1
    assert faults[0].startswith(says)


@pytest.mark.parametrize(
    ("record", "tally", "says"),
    [
        (Record(100, 100, 0, is_whole=False), Tally(90, 32, 100), "its journal does not verify"),
        (Record(100, 99, 0, is_whole=True), Tally(90, 32, 100), "100 intents have 99 outcomes"),
        (Record(100, 100, 0, is_whole=True), Tally(90, 32, 101), "100 calls are on its journal, the upstream saw 101"),
        (Record(100, 100, 1, is_whole=True), Tally(90, 32, 100), "99 calls are on its journal, the upstream saw 100"),
        (Record(100, 100, 0, is_whole=True), Tally(101, 32, 100), "100 calls are on its journal, 101 were answered"),
        (Record(123, 123, 0, is_whole=True), Tally(90, 32, 123), "123 calls are on its journal, 90 were answered"),
    ],
)
def test_a_gateway_whose_journal_differs_from_what_was_seen_is_told(record: Record, tally: Tally, says: str) -> None:
    """
    A fast gateway that forgets calls is no fast gateway.
    """
    assert [says] == Honesty("tokens", record, tally).find_faults()


def test_a_series_can_make_a_run_void_too() -> None:
    """
    By failing calls, by others on the machine, by what it found itself, by its gateway's journal.
    """
    bad = Honesty("10 tokens", Record(1, 1, 0, is_whole=False), Tally(1, 0, 1))
    series = dataclasses.replace(TABLE, failures=2, strangers=0.5, faults=("it broke",), honesty=(bad,))

    assert find_faults(None, [series]) == [
        "Tokens: 2 calls failed.",
        "Tokens: meanwhile other programs used 50% of a core.",
        "Tokens: it broke.",
        "Tokens: its journal does not verify (10 tokens).",
    ]
