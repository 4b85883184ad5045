"""
How a body arrives: read as it comes, and once it is larger than what may wait on any connection, in a place of its own.

The door tells what happens on the wire, and the call waits in `wait`. Back-pressure is all that is done for want of
room: while a place is waited for nothing more is read, so that the caller's own kernel makes it wait.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.errors import CallerError

if TYPE_CHECKING:
    from gateway.data_plane.body import Body
    from gateway.data_plane.body_room import BodyRoom, Place
    from gateway.data_plane.bounds import Bounds
    from gateway.data_plane.wire import Wire

__all__ = ["Arrival"]

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Arrival:
    """
    One body that a call has asked for. To be closed when the call is over, whatever became of it.

    Args:
        body: What arrives.
        buffer: Its connection's; the body's bytes are at its front.
        room: Where it takes a place, if it needs one.
        whose: The caller's name.
        bounds: How much may wait without a place.
    """

    __slots__ = ("_body", "_bounds", "_buffer", "_failure", "_place", "_room", "_waiter", "_whose")

    def __init__(self, body: Body, buffer: bytearray, room: BodyRoom, *, whose: str, bounds: Bounds) -> None:
        self._body = body
        self._buffer = buffer
        self._room = room
        self._whose = whose
        self._bounds = bounds
        self._place: Place | None = None
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_awaited(self) -> bool:
        """
        Whether the call waits for more of it, or for a place.
        """
        return self._waiter is not None

    async def wait(self, wire: Wire, *, expects_continue: bool) -> None:
        """
        Return once the body is whole.

        Args:
            wire: Where it comes from.
            expects_continue: Whether its sender waits for `100 Continue`: it is sent when there is room.

        Raises:
            CallerError: From the body, or as `fail` told.
        """
        while not self._body.read(self._buffer):
            self._raise_failure()
            if self._outgrows_waiting():
                self._place = self._room.ask(self._whose, self._body.most_bytes, self._wake)
            if self._place is not None and not self._place.is_given:
                wire.pause_reading()
            else:
                if expects_continue and not self._buffer:
                    wire.send(_CONTINUE)
                expects_continue = False
                wire.resume_reading()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def read(self) -> None:
        """
        Bytes came.
        """
        if self._waiter is None or self._waiter.done():
            return
        try:
            if self._body.read(self._buffer) or self._outgrows_waiting():
                self._wake()
        except CallerError as refusal:
            self.fail(refusal)

    def fail(self, error: Exception) -> None:
        """
        Let the call hear, if it waits, that the body will not be whole. If it is by then, that counts.
        """
        if self._waiter is not None:
            self._failure = error  # and not the waiter's: a place may have been given in the very same turn of the loop
            self._wake()

    def settle(self) -> None:
        """
        Take of the room what the body is, now that it is whole.
        """
        size_bytes = len(self._body.content)
        if self._place is not None or size_bytes > self._bounds.waiting_bytes:
            place = self._room.take(self._whose, size_bytes)
            self.close()  # chunks may have come to less than they took
            self._place = place

    def close(self) -> None:
        """
        Give back what it took of the room.
        """
        if self._place is not None:
            place, self._place = self._place, None  # it knows us: in a circle, the body would wait for the collector
            self._room.leave(place)

    def _outgrows_waiting(self) -> bool:
        return self._place is None and self._body.outgrows(self._bounds.waiting_bytes, self._buffer)

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        try:
            if failure is not None:
                raise failure
        finally:
            del failure  # it knows this frame, and so the body: a circle, which would wait for the collector

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __repr__(self) -> str:
        return f"<Arrival {self._place!r}>"
