"""
What decides when a call is broken off in the very moment in which its reply comes, or its caller leaves (law 2).
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, cast

import pytest
from way_up import DIAL, START, create_credential, create_request

from gateway.data_plane.exchange import Exchange
from gateway.data_plane.inbound import CallerLeft
from gateway.data_plane.interruption import Interruption
from gateway.errors import UpstreamError
from gateway.outcome import Outcome
from gateway.upstream.request import Patience

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scripted_upstream import ScriptedUpstream

    from gateway.data_plane.answer import Answer
    from gateway.data_plane.call_record import Ending
    from gateway.upstream.client import PooledUpstreams
    from gateway.upstream.request import UpstreamRequest

READ = "CampaignAPI/getCampaignList"
SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def render_long(size: int) -> bytes:
    """
    A reply that goes down as it comes.
    """
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, b"x" * size)


class LeftAnswer:
    """
    An answer whose caller leaves when the first byte of the body is written to it.
    """

    def __init__(self, request: UpstreamRequest, *, awaits_whole: bool) -> None:
        self._request = request
        self._awaits_whole = awaits_whole

    async def start(self, *_: object, **__: object) -> None:
        """
        Return when it is time for the body.
        """
        async with asyncio.timeout(10):
            while self._awaits_whole and not self._request.has_whole_reply:  # noqa: ASYNC110 - the sender sets no event
                await asyncio.sleep(0.001)

    async def write(self, _chunk: bytes) -> None:
        """
        Nobody is there.
        """
        raise CallerLeft

    def abort(self) -> None:
        """
        It has been aborted already.
        """


@pytest.mark.parametrize("operation", [START, DIAL])
@pytest.mark.parametrize("turns", range(4))
def test_a_whole_reply_decides_though_the_call_is_broken_off_beside_it(
    scripted: ScriptedUpstream, play: Callable[..., None], operation: str, turns: int
) -> None:
    """
    The loop finds the reply and the wish to end in one turn: what has been read is not forgotten.
    """

    async def story(sender: PooledUpstreams) -> None:
        loop = asyncio.get_running_loop()
        let_go = threading.Event()
        request = create_request(create_credential(scripted), scripted.add(let_go, SHORT), operation=operation)
        exchange = Exchange(sender, request, cast("Answer", None))

        async def run(task: asyncio.Task[None] | None) -> Ending | Outcome:
            assert task is not None
            with Interruption(task, request) as interruption:
                breaks.append(interruption.call)
                return await exchange.run()
            return exchange.interrupted()

        def hold_up() -> None:
            let_go.set()
            time.sleep(0.05)
            wish(turns)

        def wish(turns_left: int) -> None:
            if turns_left:
                loop.call_soon(wish, turns_left - 1)
                return
            breaks[0]()
            loop.call_soon(lambda: was_read.append("1 idle" in repr(sender)))  # behind it in the same turn

        breaks: list[Callable[[], None]] = []
        was_read: list[bool] = []
        task = asyncio.ensure_future(asyncio.wait_for(_in_task(run), 10))
        while not request.was_handed_over:  # noqa: ASYNC110 - the sender sets no event
            await asyncio.sleep(0.001)
        loop.call_soon(hold_up)
        ending = await task

        # The connection is free once the reply was read; broken off before that, it is unknown.
        assert was_read == [not isinstance(ending, Outcome)], ending

    play(story)


async def _in_task(run: Callable[[asyncio.Task[None] | None], Awaitable[Ending | Outcome]]) -> Ending | Outcome:
    return await run(asyncio.current_task())


def test_a_long_reply_that_has_come_whole_decides_though_its_caller_left(
    scripted: ScriptedUpstream, play: Callable[..., None]
) -> None:
    """
    Of a read, which is given up when its caller leaves, as long as there is something to be given up.
    """

    async def story(sender: PooledUpstreams) -> None:
        for size, awaits_whole, expected in ((100_000, True, Outcome.SUCCEEDED), (4_000_000, False, Outcome.ABANDONED)):
            query = scripted.add(render_long(size))
            request = create_request(create_credential(scripted), query, operation=READ)
            answer = cast("Answer", LeftAnswer(request, awaits_whole=awaits_whole))
            ending = await Exchange(sender, request, answer).run()

            assert (expected, awaits_whole) == (ending.outcome, request.has_whole_reply)

    play(story)


def test_a_call_ends_in_time_though_its_caller_is_slow(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    A caller who takes a little at a time cannot hold a connection to Noojee beyond the end of its call.
    """

    async def story(sender: PooledUpstreams) -> None:
        query = scripted.add(render_long(4_000_000))
        request = create_request(create_credential(scripted), query, patience=Patience(5.0, 0.3))
        reply = await sender.send(request)
        taken = 0
        with pytest.raises(UpstreamError) as caught:  # noqa: PT012 - it comes from the loop
            async for chunk in reply.chunks():
                taken += len(chunk)
                await asyncio.sleep(0.02)
        await reply.close()

        assert ("upstream_timeout", Outcome.UNKNOWN) == (caught.value.reason.code, caught.value.outcome)
        assert 0 < taken < 4_000_000
        assert not request.has_whole_reply

    play(story)


def test_the_smallest_chunks_go_down_as_few_pieces(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    A hundred thousand pieces that wait are taken at once: one by one, they would hold up every other call.
    """

    async def story(sender: PooledUpstreams) -> None:
        count = 200_000
        query = scripted.add(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * count + b"0\r\n\r\n"
        )
        reply = await sender.send(create_request(create_credential(scripted), query))
        pieces = [len(chunk) async for chunk in reply.chunks()]
        await reply.close()

        assert count == sum(pieces)
        assert len(pieces) < 200

    play(story)
