"""
The pool alone, with connections that carry nothing: who gets one, who waits, who is told that there is none.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from gateway.errors import Reason, UpstreamError
from gateway.outcome import Outcome
from gateway.upstream.pool import Pool, PoolFigures

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.upstream.connection import Connection, Home

PATIENCE_SECONDS = 30.0


class Line:
    """
    What the pool sees of a connection.
    """

    def __init__(self, home: Home, number: int) -> None:
        self.home = home
        self.number = number
        self.idle_since = asyncio.get_running_loop().time()
        self.is_closing = False
        self.closed = asyncio.Event()
        self.quiet = True

    def is_quiet(self) -> bool:
        """
        Whether the kernel holds nothing for it.
        """
        return self.quiet

    def close(self) -> None:
        """
        Gone in the next step of the loop, as a real one.
        """
        if not self.is_closing:
            self.is_closing = True
            self.closed.set()
            asyncio.get_running_loop().call_soon(self.home.lost, cast("Connection", self))

    end = close

    def __repr__(self) -> str:
        return f"<Line {self.number}>"


class Exchange:
    """
    Opens lines, when it is let and as often as it is let; and the pool that they belong to.
    """

    def __init__(self, limit: int, **more: float) -> None:
        self.let = asyncio.Event()
        self.let.set()
        self.failure: UpstreamError | Exception | None = None
        self.opened: list[Line] = []
        self.begun = 0
        self.pool = Pool("noojee, calls", self._open, limit, **more)

    async def _open(self, home: Home) -> Connection:
        self.begun += 1
        await self.let.wait()
        if self.failure is not None:
            raise self.failure
        line = Line(home, len(self.opened))
        self.opened.append(line)
        return cast("Connection", line)

    async def get(self, *, fresh: bool = False, seconds: float = PATIENCE_SECONDS, whose: str = "") -> Line:
        """
        A line, as a call gets one.
        """
        now = asyncio.get_running_loop().time()
        found = self.pool.take(now, fresh=fresh) or await self.pool.wait(now + seconds, whose=whose)
        return cast("Line", found)

    def ask(self, *, fresh: bool = False, seconds: float = PATIENCE_SECONDS, whose: str = "") -> asyncio.Task[Line]:
        """
        The same, in a task.
        """
        return asyncio.create_task(self.get(fresh=fresh, seconds=seconds, whose=whose))

    def give_back(self, line: Line) -> None:
        """
        Its call is over.
        """
        line.idle_since = asyncio.get_running_loop().time()
        self.pool.freed(cast("Connection", line))


def play(story: Callable[[], Awaitable[None]]) -> None:
    """
    Run a story on an event loop of its own.
    """

    async def run() -> None:
        await story()

    asyncio.run(run())


async def settle() -> None:
    """
    Let everything that can go on do so.
    """
    for _ in range(20):
        await asyncio.sleep(0)


def test_the_line_that_was_used_last_is_used_next() -> None:
    """
    So that the others grow old and are closed by us, not by Noojee.
    """

    async def story() -> None:
        exchange = Exchange(10)
        lines = [await exchange.get() for _ in range(3)]
        for line in lines:
            exchange.give_back(line)

        assert [lines[2], lines[1], lines[0]] == [await exchange.get() for _ in range(3)]
        assert 3 == exchange.begun

    play(story)


def test_a_closed_line_is_passed_over() -> None:
    """
    Nothing was sent on it, so nobody hears of it.
    """

    async def story() -> None:
        exchange = Exchange(10)
        lines = [await exchange.get() for _ in range(2)]
        for line in lines:
            exchange.give_back(line)
        lines[1].close()

        assert lines[0] is await exchange.get()

    play(story)


@pytest.mark.parametrize(("idle", "fresh", "taken"), [(0.5, True, True), (1.5, True, False), (1.5, False, True)])
def test_a_dialling_call_goes_on_a_fresh_line(idle: float, *, fresh: bool, taken: bool) -> None:
    """
    One that was used within the last second, or a new one.
    """

    async def story() -> None:
        exchange = Exchange(10)
        line = await exchange.get()
        exchange.give_back(line)
        line.idle_since -= idle

        assert taken is (line is await exchange.get(fresh=fresh))

    play(story)


def test_a_line_with_something_in_the_kernel_is_not_fresh() -> None:
    """
    Its end, most likely, which the loop has yet to come to: looked for before each dial, and after a second's rest.
    """

    async def story() -> None:
        for fresh, idle in ((True, 0.0), (False, 2.0)):
            exchange = Exchange(10)
            line = await exchange.get()
            exchange.give_back(line)
            line.quiet = False
            line.idle_since -= idle

            assert line is not await exchange.get(fresh=fresh)
            assert line.is_closing

    play(story)


def test_a_dial_takes_the_place_of_an_old_line_when_there_is_no_room() -> None:
    """
    The oldest one goes; the limit holds.
    """

    async def story() -> None:
        exchange = Exchange(2)
        lines = [await exchange.get() for _ in range(2)]
        for line in lines:
            exchange.give_back(line)
            line.idle_since -= 5.0
        dial = await exchange.get(fresh=True)

        assert 2 == dial.number
        assert [True, False] == [line.is_closing for line in lines]

    play(story)


def test_lines_are_closed_after_their_idle_time() -> None:
    """
    By one timer, the oldest first.
    """

    async def story() -> None:
        exchange = Exchange(10, idle_seconds=0.05)
        lines = [await exchange.get() for _ in range(3)]
        exchange.give_back(lines[0])
        exchange.give_back(lines[1])
        await lines[1].closed.wait()
        await settle()

        assert [True, True, False] == [line.is_closing for line in lines]
        assert "1 busy, 0 idle" in repr(exchange.pool)
        exchange.give_back(lines[2])
        lines[2].idle_since -= 1.0
        assert lines[2] is not await exchange.get()

    play(story)


def test_who_waits_longest_is_served_first() -> None:
    """
    Of one caller. A freed line goes to the head of the queue, also before somebody who comes in the same moment.
    """

    async def story() -> None:
        exchange = Exchange(2)
        lines = [await exchange.get() for _ in range(2)]
        waiting = [exchange.ask() for _ in range(5)]
        await settle()
        exchange.give_back(lines[0])
        late = exchange.ask()
        exchange.give_back(lines[1])
        await settle()

        assert [True, True, False, False, False] == [each.done() for each in waiting]
        assert not late.done()
        for number in range(4):
            exchange.give_back(await waiting[number])
        assert (await late).number in {0, 1}
        assert 2 == exchange.begun

    play(story)


def test_callers_take_turns() -> None:
    """
    One has many calls waiting, another comes late with two: they are served in turn.
    """

    async def story() -> None:
        exchange = Exchange(1)
        line = await exchange.get()
        asked: list[tuple[str, asyncio.Task[Line]]] = []
        for whose in ("busy", "busy", "busy", "late", "late"):
            asked.append((whose, exchange.ask(whose=whose)))
            await settle()
        served = []
        for _ in range(5):
            exchange.give_back(line)
            await settle()
            (done,) = [each for each in asked if each[1].done()]
            asked.remove(done)
            served.append(done[0])

        assert ["busy", "late", "busy", "late", "busy"] == served

    play(story)


def test_a_full_queue_has_room_for_who_has_little_in_it() -> None:
    """
    The last call of the caller with most makes room, and is told that Noojee is busy; he himself is, when he comes.
    """

    async def story() -> None:
        exchange = Exchange(1)
        line = await exchange.get()
        greedy = [exchange.ask(whose="greedy") for _ in range(20)]
        await settle()
        modest = exchange.ask(whose="modest")
        await settle()

        assert [False] * 19 + [True] == [each.done() for each in greedy]
        for late in (greedy[-1], exchange.ask(whose="greedy")):
            with pytest.raises(UpstreamError) as caught:
                await late
            assert (Reason.UPSTREAM_BUSY, Outcome.NOT_SENT) == (caught.value.reason, caught.value.outcome)
        exchange.give_back(line)
        await greedy[0]
        exchange.give_back(line)
        assert line is await modest
        for each in greedy[1:-1]:
            exchange.give_back(line)
            assert line is await each

    play(story)


def test_who_waits_takes_what_comes_first() -> None:
    """
    A line is being opened for it, another is freed: it takes that one, and the new one serves the next or rests.
    """

    async def story() -> None:
        exchange = Exchange(10)
        line = await exchange.get()
        exchange.let.clear()
        waiting = exchange.ask()
        await settle()
        assert 2 == exchange.begun
        exchange.give_back(line)
        assert line is await waiting
        assert "1 opening, 0 waiting" in repr(exchange.pool)
        exchange.let.set()
        await settle()

        assert "1 busy, 1 idle, 0 opening" in repr(exchange.pool)
        assert PoolFigures(busy=1, idle=1, opening=0, limit=10, opened=2, waiting=0) == exchange.pool.figures
        assert 1 == (await exchange.get()).number

    play(story)


def test_as_many_are_opened_as_calls_wait_and_no_more_than_there_is_room() -> None:
    """
    Also when all come at once.
    """

    async def story() -> None:
        exchange = Exchange(5)
        exchange.let.clear()
        waiting = [exchange.ask() for _ in range(8)]
        await settle()
        assert 5 == exchange.begun
        exchange.let.set()
        await settle()

        assert [True] * 5 + [False] * 3 == [each.done() for each in waiting]
        for each in waiting[:3]:
            exchange.give_back(await each)
        assert {0, 1, 2} == {(await each).number for each in waiting[5:]}

    play(story)


def test_a_lost_line_makes_room() -> None:
    """
    Whoever waits gets a new one.
    """

    async def story() -> None:
        exchange = Exchange(1)
        line = await exchange.get()
        waiting = exchange.ask()
        await settle()
        line.close()

        assert 1 == (await waiting).number

    play(story)


def test_too_many_are_told_at_once() -> None:
    """
    Twenty may wait for each line; the next hears that Noojee is busy, and nothing was sent.
    """

    async def story() -> None:
        exchange = Exchange(1)
        line = await exchange.get()
        waiting = [exchange.ask() for _ in range(20)]
        await settle()
        with pytest.raises(UpstreamError) as caught:
            await exchange.get()

        assert (Reason.UPSTREAM_BUSY, Outcome.NOT_SENT) == (caught.value.reason, caught.value.outcome)
        assert caught.value.detail.startswith("All 1 connections to Noojee are in use")
        for each in waiting:
            exchange.give_back(line)
            assert line is await each

    play(story)


def test_who_waits_too_long_is_told() -> None:
    """
    Busy, if all lines are in use; unreachable, if one was being opened, though there were no room for another.
    """

    async def story() -> None:
        exchange = Exchange(1)
        line = await exchange.get()
        patient, hasty = exchange.ask(), exchange.ask(seconds=0.02)
        with pytest.raises(UpstreamError) as caught:
            await hasty
        assert Reason.UPSTREAM_BUSY is caught.value.reason
        exchange.give_back(line)
        assert line is await patient

        for limit in (2, 1):
            exchange = Exchange(limit)
            exchange.let.clear()
            with pytest.raises(UpstreamError) as caught:
                await exchange.get(seconds=0.02)
            assert (Reason.UPSTREAM_UNREACHABLE, Outcome.NOT_SENT) == (caught.value.reason, caught.value.outcome)
            exchange.let.set()

    play(story)


def test_a_failure_is_told_to_one_who_waits() -> None:
    """
    Each attempt fails for one call, the one that has waited longest; with an error of its own.
    """

    async def story() -> None:
        exchange = Exchange(10)
        exchange.failure = UpstreamError(Reason.UPSTREAM_CERTIFICATE, Outcome.NOT_SENT)
        waiting = [exchange.ask() for _ in range(3)]
        await asyncio.wait(waiting)
        errors = [each.exception() for each in waiting]

        assert [Reason.UPSTREAM_CERTIFICATE] * 3 == [each.reason for each in errors if isinstance(each, UpstreamError)]
        assert 3 == len(set(map(id, errors))) == exchange.begun

    play(story)


def test_a_failure_is_told_to_nobody_who_was_served() -> None:
    """
    A line was freed while another was being opened for the same call.
    """

    async def story() -> None:
        exchange = Exchange(10)
        line = await exchange.get()
        exchange.failure = UpstreamError(Reason.UPSTREAM_UNREACHABLE, Outcome.NOT_SENT)
        exchange.let.clear()
        waiting = exchange.ask()
        await settle()
        exchange.give_back(line)
        exchange.let.set()

        assert line is await waiting
        await settle()
        assert "1 busy, 0 idle, 0 opening, 0 waiting" in repr(exchange.pool)

    play(story)


def test_an_error_of_ours_does_not_leave_anybody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    """
    It is logged, and the call hears that it was not sent.
    """

    async def story() -> None:
        exchange = Exchange(10)
        exchange.failure = ZeroDivisionError()
        with pytest.raises(UpstreamError) as caught:
            await exchange.get()

        assert Outcome.NOT_SENT is caught.value.outcome
        assert "ZeroDivisionError" in caplog.text

    play(story)


def test_a_cancelled_wait_gives_its_turn_on() -> None:
    """
    Whether it was still in the queue, or had been given a line in the same moment.
    """

    async def story() -> None:
        exchange = Exchange(1)
        line = await exchange.get()
        first, second, third = (exchange.ask() for _ in range(3))
        await settle()
        first.cancel()
        exchange.give_back(line)
        second.cancel()

        assert line is await third
        assert first.cancelled()
        assert second.cancelled()
        assert "1 busy, 0 idle, 0 opening, 0 waiting" in repr(exchange.pool)

    play(story)


def test_whose_turn_had_come_is_next_again() -> None:
    """
    Its line proved closed before anything was sent.
    """

    async def story() -> None:
        exchange = Exchange(1)
        line = await exchange.get()
        waiting = exchange.ask()
        await settle()
        until = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        again = asyncio.create_task(exchange.pool.wait(until, first=True))
        await settle()
        exchange.give_back(line)
        await settle()

        assert (True, False) == (again.done(), waiting.done())
        exchange.give_back(line)
        await waiting

    play(story)


def test_a_retired_pool_serves_who_is_there_and_keeps_nothing() -> None:
    """
    Nothing that rings is cut off; each line ends with its call.
    """

    async def story() -> None:
        exchange = Exchange(2)
        lines = [await exchange.get() for _ in range(2)]
        exchange.give_back(lines[0])
        lines[0] = await exchange.get()
        waiting = exchange.ask()
        await settle()
        exchange.pool.retire()
        assert [False, False] == [line.is_closing for line in lines]
        exchange.give_back(lines[0])
        assert lines[0] is await waiting
        exchange.give_back(lines[1])
        exchange.give_back(lines[0])

        assert [True, True] == [line.is_closing for line in lines]
        await settle()
        assert "<Pool of noojee, calls, retired: 0 busy, 0 idle, 0 opening, 0 waiting, at most 2>" == repr(
            exchange.pool
        )

    play(story)


def test_closing_ends_all() -> None:
    """
    Idle and busy lines, those being opened, and whoever waits.
    """

    async def story() -> None:
        exchange = Exchange(3)
        lines = [await exchange.get() for _ in range(2)]
        exchange.give_back(lines[0])
        await exchange.get()
        exchange.let.clear()
        waiting = exchange.ask()
        await settle()
        await exchange.pool.close()

        with pytest.raises(UpstreamError) as caught:
            await waiting
        assert Outcome.NOT_SENT is caught.value.outcome
        assert [True, True] == [line.is_closing for line in lines]
        assert "0 busy, 0 idle, 0 opening, 0 waiting" in repr(exchange.pool)

    play(story)


def test_the_queue_costs_no_timer_for_each_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    One alarm, for whoever's time is over first.
    """

    async def story() -> None:
        loop = asyncio.get_running_loop()
        set_at: list[float] = []
        call_at = loop.call_at

        def note(when: float, *rest: object) -> asyncio.TimerHandle:
            set_at.append(when)
            return call_at(when, *rest)  # type: ignore[arg-type]

        exchange = Exchange(5)
        lines = [await exchange.get() for _ in range(5)]
        monkeypatch.setattr(loop, "call_at", note)
        waiting = [exchange.ask() for _ in range(100)]
        await settle()

        assert len(set_at) <= 1
        for number, each in enumerate(waiting):
            exchange.give_back(lines[number % 5])
            lines[number % 5] = await each

    play(story)
