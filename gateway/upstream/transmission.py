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
from gateway.upstream.reply_reader import MalformedReplyError, ReplyReader
from gateway.upstream.request import BUFFER_LIMIT_BYTES

if TYPE_CHECKING:
    import asyncio

    from gateway.upstream.connection import Connection
    from gateway.upstream.request import Timeouts, UpstreamRequest

__all__ = ["Transmission"]

# Whether a reply delimited by its close is whole can only be told by parsing all of it, so more of it is held than of
# others; beyond that it goes down and is broken off at its end, because nobody can say that it is whole.
_CLOSE_DELIMITED_LIMIT_BYTES = 1024 * 1024

_SLICE_BYTES = 64 * 1024
"""How much of a body is encrypted at once: no more of it waits for the kernel."""

_HIGH_WATER_BYTES = 128 * 1024
_LOW_WATER_BYTES = 32 * 1024
"""Between these a reply waits for its reader while nothing more of it is received."""

_GRACE_SECONDS = 0.1


class Transmission:
    """
    One attempt on its connection. Lives on its event loop.

    Args:
        connection: Free, as far as is known.
        request: Its body, its patience, and the mark that it was handed over.
        timeouts: How long sending, and silence within the body, may take.
        ends_at: Loop time at which the whole call must be over; infinite for no end.
    """

    __slots__ = (
        "_arrived",
        "_body",
        "_connection",
        "_ends_at",
        "_fault",
        "_has_looked",
        "_is_over",
        "_is_reading_paused",
        "_is_sent",
        "_is_streaming",
        "_loop",
        "_more",
        "_reader",
        "_request",
        "_seen_bytes",
        "_timeouts",
        "_unsent",
    )

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
        self._request = request
        self._timeouts = timeouts
        self._ends_at = ends_at
        self._reader = ReplyReader()
        self._unsent: list[memoryview] = []
        self._arrived: asyncio.Future[None] = loop.create_future()
        self._more: asyncio.Future[None] | None = None
        self._fault: Reason | None = None
        self._body: bytes | None = None
        self._seen_bytes = -1
        self._is_sent = False
        self._is_streaming = False
        self._is_reading_paused = False
        self._is_over = False
        self._has_looked = False

    def begin(self, head: bytes) -> bool:
        """
        Hand over the request, or as much of it as the kernel takes.

        Returns:
            False when no byte was handed over, because the connection has ended meanwhile: another one may be taken.
        """
        body = self._request.body
        first = head if len(body) > _SLICE_BYTES else head + body
        sent = self._connection.begin(self, first, self._note_handover)
        if sent is None:
            return False
        if sent < len(first):
            self._unsent.append(memoryview(first)[sent:])
        if len(body) > _SLICE_BYTES:
            self._unsent.append(memoryview(body))
        self.send_more()
        if not self._is_sent and not self._is_over:
            self._allow(self._timeouts.send_seconds)
        return True

    async def finish(self) -> WholeReply | StreamedReply:
        """
        Wait for the reply, whole or, beyond the size that is buffered, begun. Cancelled, it ends the connection.

        Raises:
            UpstreamError: Outcome `unknown`, or `failed` for a redirect.
        """
        try:
            await self._arrived
        except BaseException:
            self.abandon()
            raise
        # What has begun to stream is told to be broken at the place where it breaks, also when that is known by now.
        if self._fault is not None and not self._is_streaming:
            raise self._create_error(self._fault)
        reader = self._reader
        headers = tuple(reader.headers)
        if self._is_streaming:
            return StreamedReply(self, reader.status, headers)
        return WholeReply(reader.status, headers, reader.take_body() if self._body is None else self._body)

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
            self._allow(self._timeouts.between_bytes_seconds)
            try:
                await self._more
            except BaseException:
                self.abandon()
                raise
            finally:
                self._more = None
            if not self._is_over:
                self._connection.clear_deadline()  # from here on it is the caller who may be slow
        piece = reader.pieces.popleft()
        reader.waiting_bytes -= len(piece)
        if self._is_reading_paused and reader.waiting_bytes <= _LOW_WATER_BYTES and not self._is_over:
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

    def receive(self, data: memoryview) -> None:
        """
        See `Traffic.receive`.
        """
        if self._fault is None:
            try:
                self._reader.feed(data)
            except MalformedReplyError:
                self._fault = Reason.UPSTREAM_BROKE

    def settle(self, *, ended: bool = False, broken: bool = False) -> None:
        """
        See `Traffic.settle`.
        """
        reader = self._reader
        if self._fault is None and not reader.is_complete:
            if broken:
                self._fault = Reason.UPSTREAM_BROKE
            elif ended:
                self._end()
        if 300 <= reader.status < 400 and self._fault is None:  # noqa: PLR2004  # RFC 9110 section 15.4
            self._fault = Reason.UPSTREAM_REDIRECTED
        if self._fault is not None:
            self._conclude(allows_reuse=False)
        elif reader.is_complete:
            self._is_streaming = self._is_streaming or (self._body is None and reader.body_bytes > BUFFER_LIMIT_BYTES)
            self._conclude(allows_reuse=reader.allows_reuse and self._is_sent and not ended and not broken)
        elif reader.is_head_complete:
            self._take_body()
        elif self._unsent:
            self.send_more()

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
                self._allow(self._request.patience.reply_seconds)

    def expire(self) -> None:
        """
        See `Traffic.expire`.
        """
        if not self._has_looked and not self._connection.is_quiet():
            # The reply may be in the kernel already: it is we who were held up.
            self._has_looked = True
            self._connection.set_deadline(_GRACE_SECONDS)
            return
        self._fault = Reason.UPSTREAM_TIMEOUT
        self._conclude(allows_reuse=False)

    def _note_handover(self) -> None:
        # Law 2: from here on bytes may have left, whatever is learnt later.
        self._request.was_handed_over = True

    def _end(self) -> None:
        """
        The other side has ended in the middle, or at an end that only the reply itself can prove.
        """
        reader = self._reader
        try:
            reader.end()
        except MalformedReplyError:
            self._fault = Reason.UPSTREAM_BROKE
            return
        if self._is_streaming or reader.waiting_bytes > _CLOSE_DELIMITED_LIMIT_BYTES:
            self._fault = Reason.UPSTREAM_BROKE
            return
        self._body = reader.take_body()
        if not is_whole_json(self._body):
            self._fault = Reason.UPSTREAM_BROKE

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
                    self._allow(self._timeouts.between_bytes_seconds)
                return
            self._is_streaming = True
            self._connection.clear_deadline()
            self._arrive()
        if reader.waiting_bytes:
            self._wake_reader()
        if reader.waiting_bytes > _HIGH_WATER_BYTES and not self._is_reading_paused:
            self._is_reading_paused = True
            self._connection.pause_reading()

    def _conclude(self, *, allows_reuse: bool) -> None:
        """
        It is over, one way or the other.
        """
        if self._is_over:
            return
        self._is_over = True
        self._unsent.clear()
        self._reader.stop()
        if self._fault is not None:
            self._connection.drop()
        else:
            if self._is_reading_paused:
                self._connection.resume_reading()
            self._connection.release(allows_reuse=allows_reuse)
        self._arrive()
        self._wake_reader()

    def _arrive(self) -> None:
        if not self._arrived.done():
            self._arrived.set_result(None)

    def _wake_reader(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    def _allow(self, seconds: float) -> None:
        if self._ends_at != math.inf:
            seconds = min(seconds, self._ends_at - self._loop.time())
        self._connection.set_deadline(seconds)

    def _create_error(self, reason: Reason) -> UpstreamError:
        outcome = Outcome.FAILED if reason is Reason.UPSTREAM_REDIRECTED else Outcome.UNKNOWN
        return UpstreamError(reason, outcome, upstream_status=self._reader.status or None)

    def __repr__(self) -> str:
        state = "over" if self._is_over else "sent" if self._is_sent else "sending"
        return f"<Transmission {state}: {self._reader!r}>"
