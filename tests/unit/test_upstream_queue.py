"""
The queue for a connection against an oracle that keeps one list: whose turn it is, who makes room, who is late.
"""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.queue import Queue, Waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.upstream.connection import Connection

CALLERS = st.sampled_from(["a", "b", "c"])
DOINGS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), CALLERS),
        st.tuples(st.just("push first"), CALLERS),
        st.tuples(st.just("pop"), st.just("")),
        st.tuples(st.just("remove"), CALLERS),
        st.tuples(st.just("take late"), st.just("")),
    ),
    max_size=60,
)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """
    Whose futures these are.
    """
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@given(doings=DOINGS)
def test_whose_turn_it_is_is_found_as_in_a_list(loop: asyncio.AbstractEventLoop, doings: list[tuple[str, str]]) -> None:
    """
    After each doing the queue holds what the list holds, and gives it in the same order.
    """
    queue = Queue(1000)
    first: list[Waiting] = []
    lines: dict[str, list[Waiting]] = {}
    for now, (doing, whose) in enumerate(doings):
        waiter: asyncio.Future[Connection] = loop.create_future()
        waiting = Waiting(whose, now + 7.0 if whose == "a" else now + 20.0, waiter)
        match doing:
            case "push":
                queue.push(waiting)
                lines.setdefault(whose, []).append(waiting)
            case "push first":
                queue.push(waiting, first=True)
                first.insert(0, waiting)
            case "pop" if first or lines:
                expected = first.pop(0) if first else _pop(lines)
                assert expected is queue.pop()
            case "pop":
                with pytest.raises(LookupError):
                    queue.pop()
            case "remove" if whose in lines:
                middle = lines[whose].pop(len(lines[whose]) // 2)
                queue.remove(middle)
                queue.remove(middle)
            case "take late":
                late = [each for each in [*first, *chain(*lines.values())] if each.until <= now]
                assert late == queue.take_late(now)
                first = [each for each in first if each not in late]
                lines = {name: [each for each in line if each not in late] for name, line in lines.items()}
            case _:
                pass
        lines = {name: line for name, line in lines.items() if line}
        assert [*first, *chain(*lines.values())] == list(queue)
        assert len(queue) == len(list(queue))


def _pop(lines: dict[str, list[Waiting]]) -> Waiting:
    whose = next(iter(lines))
    line = lines.pop(whose)
    waiting = line.pop(0)
    if line:
        lines[whose] = line
    return waiting


def test_who_has_most_makes_room(loop: asyncio.AbstractEventLoop) -> None:
    """
    His last call, for a caller with fewer in the queue; nobody for whoever would then have as many.
    """
    queue = Queue(6)
    made = [Waiting(whose, 1.0, loop.create_future()) for whose in "aaaabb"]
    for each in made:
        assert not queue.is_full
        queue.push(each)

    assert queue.is_full
    assert made[3] is queue.make_room("c")
    assert not queue.is_full
    queue.push(Waiting("c", 1.0, loop.create_future()))
    assert queue.make_room("b") is None
    assert queue.make_room("a") is None
    assert made[2] is queue.make_room("c")
