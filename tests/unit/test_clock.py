"""
Instants as they stand in the journal, and request ids.
"""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.clock import SystemClock, create_request_id, render_instant


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        (datetime(2026, 5, 3, 9, 15, 0, 1, tzinfo=UTC), "2026-05-03T09:15:00.000001Z"),
        (datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), "2026-12-31T23:59:59.999999Z"),
        (datetime(2027, 1, 1, tzinfo=UTC), "2027-01-01T00:00:00.000000Z"),
    ],
)
def test_an_instant_has_microseconds_and_a_z(instant: datetime, expected: str) -> None:
    """
    Always six digits, so that texts sort as instants do.
    """
    assert expected == render_instant(instant)


@settings(max_examples=100, deadline=None)
@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001 - the strategy wants bounds without a zone
def test_a_rendered_instant_reads_back(instant: datetime) -> None:
    """
    Nothing is rounded.
    """
    assert instant == datetime.fromisoformat(render_instant(instant))


def test_a_request_id_is_a_uuid_of_version_7() -> None:
    """
    RFC 9562: version 7, variant 10, milliseconds of the present in its first 48 bits; 36 characters in lower case.
    """
    before = time.time_ns() // 1_000_000
    text = create_request_id()
    after = time.time_ns() // 1_000_000
    parsed = uuid.UUID(text)

    assert (7, uuid.RFC_4122, text) == (parsed.version, parsed.variant, str(parsed))
    assert before <= parsed.int >> 80 <= after


def test_request_ids_are_unique_and_cannot_be_guessed() -> None:
    """
    All 74 random bits change: over a thousand ids each of them is seen as 0 and as 1.
    """
    numbers = [uuid.UUID(create_request_id()).int for _ in range(1000)]
    ones, zeros = 0, 0
    for number in numbers:
        ones |= number
        zeros |= ~number
    random_bits = (1 << 76) - 1 & ~(0b11 << 62)

    assert 1000 == len(set(numbers))
    assert random_bits == ones & zeros & random_bits


def test_the_system_s_clock_is_in_utc_and_never_goes_back() -> None:
    """
    Both hands of it.
    """
    clock = SystemClock()
    first, second = clock.monotonic(), clock.monotonic()

    assert UTC is clock.now().tzinfo
    assert second >= first
