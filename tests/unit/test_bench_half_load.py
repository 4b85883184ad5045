"""
How the rate of half load is found.
"""

from __future__ import annotations

import pytest

from benchmarks.series.half_load import find_delay_ms
from benchmarks.series.polls import find_poll_count


@pytest.mark.parametrize(
    ("delay_ms", "found", "expected"),
    [
        (0.0, 16_000, 8.0),  # the first guess: a call takes 8 ms of the cycle of 16, so waiting makes up the other 8
        (8.0, 8_000, 8.0),  # as wanted
        (8.0, 6_400, 4.0),  # calls take longer than thought: wait less
        (2.0, 4_000, 0.0),  # not to be had: nothing to wait less
    ],
)
def test_waiting_makes_up_a_connections_cycle(delay_ms: float, found: float, expected: float) -> None:
    """
    With 128 connections and 8,000 calls a second wanted, each has a cycle of 16 ms.
    """
    assert expected == find_delay_ms(delay_ms, 8_000, found)


@pytest.mark.parametrize(("limit", "polls"), [(1_048_576, 9000), (20_000, 9000), (4096, 1798)])
def test_no_more_polls_are_held_than_there_are_descriptors(limit: int, polls: int) -> None:
    """
    Each takes the gateway two.
    """
    assert polls == find_poll_count(limit)
