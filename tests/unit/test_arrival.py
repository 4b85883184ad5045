"""
A body's arrival where two things happen in one turn of the loop, which no caller can bring about at will.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from gateway.data_plane.arrival import Arrival
from gateway.data_plane.body import SizedBody
from gateway.data_plane.body_room import BodyRoom
from gateway.data_plane.bounds import Bounds
from gateway.data_plane.inbound import CallerLeft
from gateway.data_plane.wire import Wire
from gateway.errors import CallerError, Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LENGTH = 10


class Scene:
    """
    A call that waits for its body, which waits for room.
    """

    def __init__(self, wire: Wire) -> None:
        self.room = BodyRoom(LENGTH)
        self.other = self.room.take("other", LENGTH)
        self.buffer = bytearray()
        self.body = SizedBody(LENGTH)
        bounds = Bounds(waiting_bytes=1)
        self.arrival = Arrival(self.body, self.buffer, self.room, whose="one", bounds=bounds)
        self.call = asyncio.create_task(self.arrival.wait(wire, expects_continue=False))


@contextlib.asynccontextmanager
async def open_scene() -> AsyncIterator[Scene]:
    """
    Over a real connection.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        scene = Scene(Wire(transport, loop, high_water_bytes=1))
        await asyncio.sleep(0)
        assert 1 == scene.room.count_waiting()
        yield scene
        transport.close()


@pytest.mark.parametrize("error", [CallerError(Reason.REQUEST_TIMEOUT), CallerLeft()])
def test_room_that_is_given_in_the_turn_in_which_the_time_ends_or_the_caller_leaves(error: Exception) -> None:
    """
    The call ends, instead of waiting for ever in a place that it holds.
    """

    async def story() -> None:
        async with open_scene() as scene:
            scene.room.leave(scene.other)
            scene.arrival.fail(error)
            with pytest.raises(type(error)):
                await scene.call
            assert "<Arrival <Place of 10 bytes for one>>" == repr(scene.arrival)
            scene.arrival.close()
            scene.arrival.close()
            assert 0 == scene.room.taken_bytes

    asyncio.run(story())


def test_a_body_that_becomes_whole_in_the_turn_in_which_its_caller_leaves_is_whole() -> None:
    """
    As of a caller that closes its sending side behind it. And what came although it was not read on takes its place.
    """

    async def story() -> None:
        async with open_scene() as scene:
            scene.buffer += b"0123456789"
            scene.arrival.read()
            scene.arrival.fail(CallerLeft())
            await scene.call
            assert b"0123456789" == scene.body.content
            scene.arrival.settle()
            assert (20, 0) == (scene.room.taken_bytes, scene.room.count_waiting())

    asyncio.run(story())
