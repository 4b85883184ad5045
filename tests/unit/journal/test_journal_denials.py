"""
Denials of callers: a hundred a minute one by one, the rest counted, and nothing lost between.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.audit.denials import DENIALS_LIMIT, Denials, find_seconds_left
from gateway.audit.event import LINE_LIMIT_BYTES, Tag, render_draft
from gateway.errors import Reason

MINUTE = datetime(2026, 5, 3, 9, 15, tzinfo=UTC)


def note(denials: Denials, times: int, at: datetime, caller: str = "crm", reason: str = "operation_unknown") -> int:
    """
    So many denials; how many of them get a record of their own.
    """
    return sum(denials.note(caller, reason, at) for _ in range(times))


def taken(events: list[Any]) -> list[tuple[str, dict[str, int]]]:
    """
    Whom they are about, and the counts.
    """
    return [(event["caller"], event["counts"]) for event in events]


def test_beyond_a_hundred_a_minute_denials_are_counted() -> None:
    """
    By reason; told when the minute is over, as an event of the journal, and then forgotten.
    """
    denials = Denials()
    assert DENIALS_LIMIT == note(denials, 150, MINUTE)
    assert 0 == note(denials, 7, MINUTE + timedelta(seconds=59.9), reason="body_too_large")

    assert [] == denials.take(MINUTE + timedelta(seconds=59.99))
    later = MINUTE + timedelta(seconds=60.4)
    events = denials.take(later)

    assert [
        {
            "at": "2026-05-03T09:16:00.400000Z",
            "tag": Tag.DENIALS_SUMMARISED,
            "counts": {"body_too_large": 7, "operation_unknown": 50},
            "caller": "crm",
        }
    ] == events
    assert [] == denials.take(later + timedelta(minutes=5))


def test_each_minute_begins_with_records_again() -> None:
    """
    And what was counted before stays with its own minute, though the new one began before anybody asked.
    """
    denials = Denials()
    note(denials, 101, MINUTE)
    next_minute = MINUTE + timedelta(minutes=1)

    assert DENIALS_LIMIT == note(denials, 103, next_minute)
    assert [("crm", {"operation_unknown": 1})] == taken(denials.take(next_minute))
    assert [("crm", {"operation_unknown": 3})] == taken(denials.take(next_minute + timedelta(minutes=1)))


def test_callers_are_counted_apart() -> None:
    """
    One that is refused all the time takes no record from another.
    """
    denials = Denials()
    note(denials, 200, MINUTE, "noisy")

    assert DENIALS_LIMIT == note(denials, 101, MINUTE, "crm")
    assert "<Denials: 2 callers, 101 counted and not recorded>" == repr(denials)
    ended = denials.take(MINUTE + timedelta(minutes=1))
    assert [("crm", {"operation_unknown": 1}), ("noisy", {"operation_unknown": 100})] == taken(ended)


def test_a_stop_tells_the_present_minute() -> None:
    """
    Exact at the stop, too; once.
    """
    denials = Denials()
    note(denials, 110, MINUTE)

    assert [("crm", {"operation_unknown": 10})] == taken(denials.take(MINUTE, present_minute_too=True))
    assert [] == denials.take(MINUTE, present_minute_too=True)


def test_an_event_with_every_reason_fits_a_line() -> None:
    """
    The largest there can be: every reason there is, each a great many times.
    """
    denials = Denials()
    note(denials, DENIALS_LIMIT, MINUTE, "c" * 63)
    for reason in Reason:
        denials.note("c" * 63, reason.code, MINUTE)
    (event,) = denials.take(MINUTE, present_minute_too=True)

    assert render_draft(event, MINUTE).size_bytes < LINE_LIMIT_BYTES // 2


@pytest.mark.parametrize("seed", range(5))
def test_records_and_counts_are_together_all_there_were(seed: int) -> None:
    """
    Whatever the rhythm, however seldom anybody asks: exact, and bounded in each minute.
    """
    chance = random.Random(seed)  # noqa: S311 - a test's dice
    denials = Denials()
    now = MINUTE
    there_were: Counter[tuple[str, str]] = Counter()
    told: Counter[tuple[str, str]] = Counter()
    records: Counter[tuple[str, datetime]] = Counter()
    events = 0
    for _ in range(5000):
        now += timedelta(seconds=chance.random() * 0.1)
        caller, reason = chance.choice(["crm", "web"]), chance.choice(["operation_unknown", "body_too_large"])
        there_were[caller, reason] += 1
        if denials.note(caller, reason, now):
            told[caller, reason] += 1
            records[caller, now.replace(second=0, microsecond=0)] += 1
        for name, counts in taken(denials.take(now, present_minute_too=False)) if chance.random() < 0.01 else []:
            events += 1
            told.update({(name, reason): count for reason, count in counts.items()})
    for name, counts in taken(denials.take(now, present_minute_too=True)):
        events += 1
        told.update({(name, reason): count for reason, count in counts.items()})

    assert there_were == told
    assert max(records.values()) == DENIALS_LIMIT
    assert events <= 2 * (len(records) + 1)


@pytest.mark.parametrize(
    ("second", "left"), [(0.0, 60), (0.000001, 60), (1.0, 59), (30.5, 30), (59.0, 1), (59.999999, 1)]
)
def test_the_minutes_end_is_told_in_whole_seconds(second: float, left: int) -> None:
    """
    Rounded up, so that who comes then is in the next minute.
    """
    assert left == find_seconds_left(MINUTE + timedelta(seconds=second))
