"""
One request on one connection, and its reply: what is sent, what comes, how long each may take.

Law 2 is decided here. Before `begin` hands the first byte to the connection nothing was sent; from then on only a whole
reply tells what became of the request, and everything else is `unknown`. A whole reply counts whenever it comes, also
before all of the request was sent.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway.errors import Reason, UpstreamError
from gateway.noojee.envelope import is_whole_json
from gateway.outcome import Outcome
from gateway.upstream.reply import StreamedReply, WholeReply
from gateway.upstream.reply_reader import ReplyReader
from gateway.upstream.request import BUFFER_LIMIT_BYTES

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from gateway.upstream.connection import Connection
    from gateway.upstream.request import Timeouts, UpstreamRequest

__all__ = ["Transmission"]

# Whether a reply delimited by its close is whole can only be told by parsing all of it, so more of it is held than of
# others; beyond that it goes down and is broken off at its end, because nobody can say that it is whole.
_CLOSE_DELIMITED_LIMIT_BYTES = 8 * 1024 * 1024

_SLICE_BYTES = 64 * 1024
"""How much of a body is encrypted at once: no more of it waits for the kernel."""

_HIGH_WATER_BYTES = 128 * 1024
"""When so much of a reply waits for its reader nothing more of it is received, until he takes it."""

_GRACE_SECONDS = 0.1


class Transmission:
    """
    One attempt on its connection. Lives on its event loop.

    Args:
        connection: Free, as far as is known.
        request: Its body, its patience, and the mark that it was handed over.
        timeouts: How long sending, and silence within the body, may take.
        ends_at: Loop time at which the whole call must be over; infinite for no end.

    Attributes:
        arrived: Done once there is a reply, or none will come. Whoever waits for it and gives up calls `abandon`.
    """

    # Defaults on the class, because most of them stay what they are: one is made for each call.

    _body: bytes | None = None
    _fault: Reason | None = None
    _has_looked = False
    _is_over = False
    _is_reading_paused = False
    _is_sent = False
    _is_streaming = False
    _more: asyncio.Future[None] | None = None
    _seen_bytes = -1

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: Connection,
        request: UpstreamRequest,
        timeouts: Timeouts,
        ends_at: float,
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._timeouts = timeouts
        self._ends_at = ends_at
        self._reader = ReplyReader()
        self.receive: Callable[[memoryview], None] = self._reader.feed
        self._unsent: list[memoryview] = []
        self.arrived: asyncio.Future[None] = loop.create_future()
        self.request = request

    def begin(self, head: bytes) -> bool:
        """
        Hand over the request, or as much of it as the kernel takes.

        Returns:
            False when no byte was handed over, because the connection has ended meanwhile: another one may be taken.
        """
        body = self.request.body
        is_short = len(body) <= _SLICE_BYTES
        first = head + body if is_short else head
        sent = self._connection.begin(self, first)
        if sent is None:
            return False
        if sent < len(first):
            self._unsent.append(memoryview(first)[sent:])
        if not is_short:
            self._unsent.append(memoryview(body))
        self.send_more()
        if not self._is_sent and not self._is_over:
            self._allow(self._timeouts.send_seconds)
        return True

    def get_reply(self) -> WholeReply | StreamedReply:
        """
        The reply that has arrived, whole or, beyond the size that is buffered, begun.

        Raises:
            UpstreamError: Outcome `unknown`, or `failed` for a redirect.
        """
        reader = self._reader
        if self._is_streaming:
            # If it is broken by now, that is told at the place where it breaks.
            return StreamedReply(self, reader.status, tuple(reader.headers))
        if self._fault is not None:
            raise self._create_error(self._fault)
        return WholeReply(
            reader.status, tuple(reader.headers), reader.take_body() if self._body is None else self._body
        )

    async def next_piece(self) -> bytes | None:
        """
        The next bytes of a body that is streamed; None at its end.

        Raises:
            UpstreamError: Outcome `unknown`: it breaks off, or nothing comes for too long.
        """
        reader = self._reader
        while not reader.pieces:
            if self._fault is not None:
                raise self._create_error(self._fault)
            if self._is_over:
                return None
            self._more = self._loop.create_future()
            self._allow(self.request.patience.between_bytes_seconds)
            try:
                await self._more
            except BaseException:
                self.abandon()
                raise
            finally:
                self._more = None
            if not self._is_over:
                self._allow(math.inf)  # from here on it is the caller who may be slow
        piece = reader.take_body()  # all of it: chunks can be of one byte, and a hundred thousand of them wait
        if self._is_reading_paused and not self._is_over:
            self._is_reading_paused = False
            self._connection.resume_reading()
        return piece

    def abandon(self) -> None:
        """
        Give it up; its connection is ended unless the reply has come whole. Idempotent.
        """
        if not self._is_over:
            self._is_over = True
            self._reader.stop()
            self._connection.drop()

    # What follows is called by the connection.

    def settle(self, *, ended: bool = False, broken: bool = False) -> None:
        """
        See `Traffic.settle`.
        """
        reader = self._reader
        if ended:
            reader.end()
        elif broken:
            reader.allows_reuse = False
            if not reader.is_complete:
                self._fault = Reason.UPSTREAM_BROKE
        if reader.is_malformed:
            self._fault = Reason.UPSTREAM_BROKE
        elif 300 <= reader.status < 400:  # noqa: PLR2004  # RFC 9110 section 15.4; a redirect is never followed
            self._fault = Reason.UPSTREAM_REDIRECTED
        elif reader.is_complete and reader.is_close_delimited and not self._proves_whole():
            self._fault = Reason.UPSTREAM_BROKE
        if self._fault is not None or reader.is_complete:
            self._conclude()
            return
        if reader.is_head_complete:
            self._take_body()
        if self._unsent:
            self.send_more()  # what was held up by a new handshake

    def send_more(self) -> None:
        """
        See `Traffic.send_more`.
        """
        connection = self._connection
        while self._unsent and not connection.is_writing_paused:
            rest = self._unsent[0]
            sent = connection.write(rest[:_SLICE_BYTES])
            if sent < len(rest):
                self._unsent[0] = rest[sent:]
            else:
                del self._unsent[0]
            if sent == 0:
                return
        if not self._unsent and not connection.is_writing_paused and not self._is_sent:
            self._is_sent = True
            if not self._reader.is_head_complete:
                self._allow(self.request.patience.reply_seconds)

    def expire(self) -> None:
        """
        See `Traffic.expire`.
        """
        if not self._has_looked and not self._connection.is_quiet():
            # The reply may be in the kernel already: it is we who were held up.
            self._has_looked = True
            self._connection.deadline.set(_GRACE_SECONDS)
            return
        self._fault = Reason.UPSTREAM_TIMEOUT
        self._conclude()

    def _proves_whole(self) -> bool:
        """
        Whether a body that nothing but the connection's end delimits is whole (contract section 5), signed end or not.
        """
        if self._is_streaming or self._reader.waiting_bytes > _CLOSE_DELIMITED_LIMIT_BYTES:
            return False
        self._body = self._reader.take_body()
        return is_whole_json(self._body)

    def _take_body(self) -> None:
        """
        Some of the body has come, and some is to come.
        """
        reader = self._reader
        limit = _CLOSE_DELIMITED_LIMIT_BYTES if reader.is_close_delimited else BUFFER_LIMIT_BYTES
        if not self._is_streaming:
            if reader.waiting_bytes <= limit:
                if reader.body_bytes != self._seen_bytes:
                    self._seen_bytes = reader.body_bytes
                    self._allow(self.request.patience.between_bytes_seconds)
                return
            self._is_streaming = True
            self._allow(math.inf)
            self._tell(self.arrived)
        if reader.waiting_bytes:
            self._tell(self._more)
        if reader.waiting_bytes > _HIGH_WATER_BYTES and not self._is_reading_paused:
            self._is_reading_paused = True
            self._connection.pause_reading()

    def _conclude(self) -> None:
        """
        It is over, one way or the other.
        """
        if self._is_over:
            return
        self._is_over = True
        reader = self._reader
        if self._fault is not None:
            reader.stop()
            self._connection.drop()
        else:
            self.request.has_whole_reply = True  # before whoever waits for it is woken, or could be broken off
            if reader.body_bytes > BUFFER_LIMIT_BYTES and self._body is None:
                self._is_streaming = True
            if self._is_reading_paused:
                self._connection.resume_reading()
            self._connection.release(allows_reuse=reader.allows_reuse and self._is_sent)
        self._unsent.clear()
        self._tell(self.arrived)
        if self._more is not None:
            self._tell(self._more)

    def _tell(self, waiting: asyncio.Future[None] | None) -> None:
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _allow(self, seconds: float) -> None:
        """
        Expire so many seconds from now, but not beyond the end of the whole call.
        """
        if self._ends_at != math.inf:
            seconds = min(seconds, self._ends_at - self._loop.time())
        if seconds == math.inf:
            self._connection.deadline.clear()
        else:
            self._connection.deadline.set(seconds)

    def _create_error(self, reason: Reason) -> UpstreamError:
        outcome = Outcome.FAILED if reason is Reason.UPSTREAM_REDIRECTED else Outcome.UNKNOWN
        return UpstreamError(reason, outcome, upstream_status=self._reader.status or None)

    def __repr__(self) -> str:
        state = "over" if self._is_over else "sent" if self._is_sent else "sending"
        return f"<Transmission {state}: {self._reader!r}>"
