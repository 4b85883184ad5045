"""
Breaking off a wait: what is broken off, what is not, and whose cancellation goes on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import uvloop

from gateway.access.credential import Credential, Kind
from gateway.access.upstream import Upstream
from gateway.data_plane.interruption import Interruption
from gateway.noojee.catalogue import load_catalogue
from gateway.upstream.request import Patience, UpstreamRequest

if TYPE_CHECKING:
    from collections.abc import Callable

LOOPS = pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])


def this_task() -> asyncio.Task[None]:
    """
    The task that runs.
    """
    task = asyncio.current_task()
    assert task is not None
    return task


@LOOPS
def test_a_wait_is_broken_off_and_the_task_goes_on(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """
    Behind the block the task waits as if nothing had happened.
    """

    async def story() -> list[str]:
        told = []
        with Interruption(this_task()) as interruption:
            asyncio.get_running_loop().call_soon(interruption.call)
            await asyncio.Event().wait()
            told.append("never")
        told.append(f"broken off: {interruption.was_made}")
        await asyncio.sleep(0)
        told.append("went on")
        return told

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert ["broken off: True", "went on"] == runner.run(story())


@LOOPS
def test_outside_the_block_nothing_is_broken_off(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """
    Neither before nor behind it, and not by a call that was made inside and comes into effect too late.
    """

    async def story() -> bool:
        interruption = Interruption(this_task())
        interruption.call()
        with interruption:
            await asyncio.sleep(0)
            interruption.call()
        interruption.call()
        for _ in range(3):
            await asyncio.sleep(0)
        return interruption.was_made

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert not runner.run(story())


@LOOPS
def test_a_whole_reply_that_has_come_is_not_broken_off(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """
    Even in the step between its coming and the waking of who waits for it: it decides the outcome (law 2).
    """
    operation = load_catalogue().find_by_name("CallManagementAPI/stop")
    assert operation is not None
    credential = Credential("c", "key", Upstream("main", "noojee.example.com", 443), Kind.GLOBAL, None, b"sealed")

    async def story(*, marks_it: bool) -> str:
        request = UpstreamRequest(credential, operation, b"", (), b"", Patience(1, 1))
        reply: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def come() -> None:
            request.has_whole_reply = marks_it
            interruption.call()
            reply.set_result("the reply")

        with Interruption(this_task(), request) as interruption:
            asyncio.get_running_loop().call_soon(come)
            return await reply
        return "broken off"

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert "the reply" == runner.run(story(marks_it=True))
        assert "broken off" == runner.run(story(marks_it=False)), "without the mark there is nothing to show"


@LOOPS
def test_a_cancellation_of_somebody_else_goes_on(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """
    A loop that ends cancels its tasks, whether they are being broken off or not.
    """

    async def story(*, is_broken_off_too: bool) -> None:
        started = asyncio.Event()

        async def wait() -> None:
            with Interruption(this_task()) as interruption:
                breaks.append(interruption.call)
                started.set()
                await asyncio.Event().wait()
            pytest.fail("the cancellation was lost")

        breaks: list[Callable[[], None]] = []
        task = asyncio.create_task(wait())
        await started.wait()
        if is_broken_off_too:
            breaks[0]()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert task.cancelled()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(story(is_broken_off_too=False))
        runner.run(story(is_broken_off_too=True))


@LOOPS
def test_an_error_in_the_block_is_raised(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """
    Also one that somebody makes of the breaking off.
    """

    async def story() -> None:
        with Interruption(this_task()) as interruption:
            asyncio.get_running_loop().call_soon(interruption.call)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise LookupError("what was made of it") from None

    with asyncio.Runner(loop_factory=loop_factory) as runner, pytest.raises(LookupError):
        runner.run(story())
