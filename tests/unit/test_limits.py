"""
Limits of a caller, with the clock in hand: what a burst allows, how permits come back, what runs at once.
"""

from __future__ import annotations

import random

import pytest

from gateway.access.limits import Limits, Permit, Permits, Shortage
from gateway.errors import Reason

WIDE = 1000


def take(permits: Permits, limits: Limits, now: float, caller: str = "crm") -> Permit | str:
    """
    The permit, or why there is none and when to ask again.
    """
    taken = permits.take(caller, limits, now)
    return f"{taken.reason.code} {taken.retry_after_seconds}" if isinstance(taken, Shortage) else taken


def count_allowed(permits: Permits, limits: Limits, now: float, calls: int) -> int:
    """
    How many of so many calls, each over at once, get a permit.
    """
    allowed = 0
    for _ in range(calls):
        taken = permits.take("crm", limits, now)
        if isinstance(taken, Permit):
            taken.give_back()
            allowed += 1
    return allowed


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((None, None, None), Limits(1000.0, 10_000, 2500)),
        ((20.0, None, None), Limits(20.0, 40, 2500)),
        ((20.0, 5, 7), Limits(20.0, 5, 7)),
        ((1 / 60, None, None), Limits(1 / 60, 1, 2500)),
        ((None, 9, None), Limits(1000.0, 9, 2500)),
    ],
)
def test_what_is_not_set_has_a_default(given: tuple[float | None, int | None, int | None], expected: Limits) -> None:
    """
    With a rate of its own, a caller's burst is two seconds of it and at least one call; nothing is without a limit.
    """
    assert expected == Limits.resolve(*given)


def test_a_burst_passes_and_then_the_rate_bounds() -> None:
    """
    A permit comes back every 50 ms; the rest is told when to come again, in whole seconds.
    """
    limits = Limits(20.0, 40, WIDE)
    permits = Permits()

    assert 40 == count_allowed(permits, limits, 1000.0, 100)
    assert "rate_limited 1" == take(permits, limits, 1000.0)
    assert 0 == count_allowed(permits, limits, 1000.049, 5)
    assert 1 == count_allowed(permits, limits, 1000.051, 5)
    assert 20 == count_allowed(permits, limits, 1001.051, 100)
    assert 40 == count_allowed(permits, limits, 9999.0, 100)


@pytest.mark.parametrize(
    ("rate", "later", "retry_after"),
    [(1 / 60, 0.0, 60), (1 / 60, 30.5, 30), (1 / 60, 59.999, 1), (0.5, 0.0, 2), (1000.0, 0.0, 1)],
)
def test_retry_after_is_when_the_next_permit_is_there(rate: float, later: float, retry_after: int) -> None:
    """
    Whole seconds, never 0; who comes then is let in.
    """
    limits = Limits(rate, 1, WIDE)
    permits = Permits()
    assert 1 == count_allowed(permits, limits, 1000.0, 1)

    assert f"rate_limited {retry_after}" == take(permits, limits, 1000.0 + later)
    assert 1 == count_allowed(permits, limits, 1000.0 + later + retry_after, 5)


def test_only_so_many_run_at_once() -> None:
    """
    A refused call costs no permit of the rate; one that ends makes place, once.
    """
    limits = Limits(1.0, 3, 2)
    permits = Permits()
    first, second = (take(permits, limits, 0.0) for _ in range(2))
    assert isinstance(first, Permit)
    assert isinstance(second, Permit)

    assert ["concurrency_limited 1"] * 50 == [take(permits, limits, 0.0) for _ in range(50)]
    first.give_back()
    first.give_back()
    assert "<Permits: 1 callers, 1 calls running>" == repr(permits)
    with second:
        third = take(permits, limits, 0.0)
        assert isinstance(third, Permit)
    assert "rate_limited 1" == take(permits, limits, 0.0)


def test_callers_do_not_share() -> None:
    """
    What one has used up is there for another.
    """
    permits = Permits()
    limits = Limits(1.0, 1, 1)
    assert isinstance(take(permits, limits, 0.0, "crm"), Permit)

    assert isinstance(take(permits, limits, 0.0, "wallboard"), Permit)
    assert "concurrency_limited 1" == take(permits, limits, 0.0, "crm")


def test_changed_limits_are_in_force_with_the_next_call() -> None:
    """
    A smaller burst takes what was saved beyond it, a larger one fills at the new rate; calls that run go on counting.
    """
    permits = Permits()
    running = [take(permits, Limits(10.0, 100, 50), 0.0) for _ in range(20)]
    assert all(isinstance(each, Permit) for each in running)

    assert "concurrency_limited 1" == take(permits, Limits(10.0, 100, 20), 0.0)
    assert 5 == count_allowed(permits, Limits(10.0, 5, 50), 0.0, 100)
    assert 0 == count_allowed(permits, Limits(10.0, 500, 50), 0.0, 100)
    assert 100 == count_allowed(permits, Limits(100.0, 500, 50), 1.0, 1000)
    assert "<Permits: 1 callers, 20 calls running>" == repr(permits)


def test_a_clock_that_stands_or_steps_back_gives_nothing() -> None:
    """
    A monotonic clock does neither; if it did, nobody would get more than his rate.
    """
    permits = Permits()
    limits = Limits(10.0, 1, WIDE)
    assert 1 == count_allowed(permits, limits, 1000.0, 1)

    assert 0 == count_allowed(permits, limits, 900.0, 3)
    assert 1 == count_allowed(permits, limits, 900.1, 3)


def test_who_is_gone_is_forgotten_when_its_calls_are_over() -> None:
    """
    A caller that is removed and added again finds its running calls counted.
    """
    permits = Permits()
    limits = Limits(1.0, 2, 1)
    held = take(permits, limits, 0.0, "gone")
    assert isinstance(held, Permit)
    take(permits, limits, 0.0, "kept")

    permits.forget(["kept"])
    assert "<Permits: 2 callers, 2 calls running>" == repr(permits)
    assert "concurrency_limited 1" == take(permits, limits, 0.0, "gone")
    held.give_back()
    permits.forget(["kept"])
    assert "<Permits: 1 callers, 1 calls running>" == repr(permits)


@pytest.mark.parametrize("seed", range(10))
def test_no_window_lets_more_pass_than_burst_and_rate(seed: int) -> None:
    """
    In any stretch of time at most the burst and the rate's worth, whatever the rhythm; and never too many at once.
    """
    chance = random.Random(seed)  # noqa: S311 - a test's dice
    limits = Limits(chance.choice([0.5, 3.0, 20.0]), chance.randint(1, 30), chance.randint(1, 10))
    permits = Permits()
    now, passed, running = 0.0, [], []
    for _ in range(2000):
        now += chance.expovariate(2 * limits.rate_per_second)
        taken = permits.take("crm", limits, now)
        if isinstance(taken, Permit):
            passed.append(now)
            running.append(taken)
        assert len(running) <= limits.concurrency
        if running and chance.random() < 0.7:
            running.pop(chance.randrange(len(running))).give_back()
        if isinstance(taken, Shortage) and taken.reason is Reason.CONCURRENCY_LIMITED:
            assert len(running) >= limits.concurrency - 1

    for start in range(0, len(passed), 7):
        for end in range(start, len(passed), 11):
            most = limits.burst + (passed[end] - passed[start]) * limits.rate_per_second
            assert end - start + 1 <= most + 1e-6
