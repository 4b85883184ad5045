"""
How long each part of a call may take, and what its end is called.
"""

from __future__ import annotations

import asyncio
import math
import threading
from typing import TYPE_CHECKING

import pytest
from reply_scripts import JSON, render_reply
from way_up import create_credential, create_request, fetch

from gateway.noojee.catalogue import load_catalogue
from gateway.upstream.request import Patience, Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scripted_upstream import ScriptedUpstream

    from gateway.upstream.client import PooledUpstreams

TIMED_OUT = ("upstream_timeout", "unknown", True)
NEVER = threading.Event()
REPLY = render_reply(200, b"x" * 200_000)


@pytest.fixture(scope="module", autouse=True)
def _end_of_waiting(scripted: ScriptedUpstream) -> Iterator[None]:
    """
    What never comes in a test comes at the end of all, so that no thread of the upstream still waits for it.
    """
    del scripted
    yield
    NEVER.set()


@pytest.mark.parametrize(
    ("steps", "status"),
    [((), None), ((b"HTTP/1.1 200 OK\r\nContent-",), None), ((b"HTTP/1.1 100 Continue\r\n\r\n",), None)],
    ids=["silence", "half a head", "an interim reply"],
)
def test_the_head_is_waited_for_so_long(
    scripted: ScriptedUpstream, play: Callable[..., None], steps: tuple[bytes, ...], status: int | None
) -> None:
    """
    An interim reply is no reply, and half a head is none.
    """

    async def story(sender: PooledUpstreams) -> None:
        request = create_request(
            create_credential(scripted), scripted.add(*steps, NEVER), patience=Patience(0.05, None)
        )
        result = await fetch(sender, request)

        assert (*TIMED_OUT, status) == (result.reason, result.outcome, result.was_handed_over, result.status)
        assert "0 idle" in repr(sender)

    play(story)


def test_a_head_that_dribbles_has_an_end(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    However often a byte comes.
    """

    async def story(sender: PooledUpstreams) -> None:
        steps: list[bytes | threading.Event] = [b"HTTP/1.1 200 OK\r\n"]
        ticks = [threading.Event() for _ in range(100)]
        for tick in ticks:
            steps += [tick, b"X: y\r\n"]
        request = create_request(create_credential(scripted), scripted.add(*steps), patience=Patience(0.1, None))
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        fetching = asyncio.create_task(fetch(sender, request))
        for tick in ticks:
            tick.set()
            await asyncio.wait({fetching}, timeout=0.01)
        result = await fetching

        assert TIMED_OUT == (result.reason, result.outcome, result.was_handed_over)
        assert loop.time() - began_at < 5

    play(story)


@pytest.mark.parametrize("seen", [1000, 150_000], ids=["buffered", "streamed"])
def test_a_body_may_pause_so_long(scripted: ScriptedUpstream, play: Callable[..., None], seen: int) -> None:
    """
    Before anything went down it is an error like any; behind that it breaks the reply off.
    """

    async def story(sender: PooledUpstreams) -> None:
        request = create_request(
            create_credential(scripted), scripted.add(REPLY[:seen], NEVER), patience=Patience(5.0, None, 0.05)
        )
        result = await fetch(sender, request)

        assert (*TIMED_OUT, 200) == (result.reason, result.outcome, result.was_handed_over, result.status)
        assert (seen > 65536) is result.was_streamed

    play(story)


@pytest.mark.parametrize(
    ("name", "bounded"),
    [("RecordingAPI/retrieveMetaData", True), ("CallManagementAPI/subscribe", True), ("CallManagementAPI/stop", False)],
)
def test_a_pause_is_bounded_only_where_the_whole_call_is_not(name: str, *, bounded: bool) -> None:
    """
    A recording and a poll may take as long as they go on; any other call has an end anyway (contract section 5).
    """
    operation = load_catalogue().find_by_name(name)
    assert operation is not None
    patience = Timeouts(between_bytes_seconds=7.0).for_call(operation, 5)

    assert (bounded, 7.0 if bounded else math.inf) == (patience.call_seconds is None, patience.between_bytes_seconds)


def test_a_body_that_goes_on_may_take_long(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    Each piece gives it new time.
    """

    async def story(sender: PooledUpstreams) -> None:
        ticks = [threading.Event() for _ in range(8)]
        steps: list[bytes | threading.Event] = [render_reply()[:-56]]
        for number, tick in enumerate(ticks):
            steps += [tick, JSON[3 + 7 * number : 10 + 7 * number]]
        request = create_request(create_credential(scripted), scripted.add(*steps), patience=Patience(5.0, None, 0.25))
        fetching = asyncio.create_task(fetch(sender, request))
        for tick in ticks:
            await asyncio.wait({fetching}, timeout=0.05)
            tick.set()

        assert JSON == (await fetching).body

    play(story)


@pytest.mark.parametrize("steps", [(), (REPLY[:1000],), (REPLY[:150_000],)], ids=["head", "buffered", "streamed"])
def test_the_whole_call_has_an_end(
    scripted: ScriptedUpstream, play: Callable[..., None], steps: tuple[bytes, ...]
) -> None:
    """
    In whatever part of it.
    """

    async def story(sender: PooledUpstreams) -> None:
        request = create_request(create_credential(scripted), scripted.add(*steps, NEVER), patience=Patience(5.0, 0.1))
        result = await fetch(sender, request)

        assert TIMED_OUT == (result.reason, result.outcome, result.was_handed_over)

    play(story)


def test_sending_has_an_end(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    An upstream that reads nothing of a long body: part of it was sent, so nobody knows.
    """

    async def story(sender: PooledUpstreams) -> None:
        query = scripted.add(NEVER, reads_body=False)
        request = create_request(create_credential(scripted), query, body=b"x" * 8_000_000)
        result = await fetch(sender, request)

        assert TIMED_OUT == (result.reason, result.outcome, result.was_handed_over)

    play(story, timeouts=Timeouts(send_seconds=0.1))


def test_a_reply_that_waits_in_the_kernel_is_in_time(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    It was our own loop that stood still past the deadline, not Noojee.
    """

    async def story(sender: PooledUpstreams) -> None:
        something = threading.Event()
        query = scripted.add(something, render_reply())
        request = create_request(create_credential(scripted), query, patience=Patience(0.2, None))
        fetching = asyncio.create_task(fetch(sender, request))
        while not request.was_handed_over:  # noqa: ASYNC110 - a mark tells nobody of its change
            await asyncio.sleep(0.001)
        something.set()
        threading.Event().wait(0.4)  # the loop stands still

        assert JSON == (await fetching).body

    play(story)
