"""
The reference's reply: buffered when it is short, streamed when it is not, and never taken for whole when it is not.

The HTTP client reports a reply with neither length nor chunking as complete when the connection merely ends, and
accepts Content-Length beside chunked; both are decided here.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import httpx2

from gateway.errors import Reason, UpstreamError
from gateway.noojee.envelope import is_whole_json
from gateway.outcome import Outcome
from gateway.upstream.request import BUFFER_LIMIT_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

__all__ = ["BrokenReplyError", "HttpxReply"]

STREAM_LIMIT_BYTES = 256 * 1024 * 1024
# Whether a reply delimited by its close is whole can only be told by parsing all of it, so more of it is held than of
# others; beyond that it goes down and is broken off at its end, because nobody can say that it is whole.
_CLOSE_DELIMITED_LIMIT_BYTES = 8 * 1024 * 1024
_BODILESS = frozenset({204, 304})


class BrokenReplyError(Exception):
    """
    The reply did not come whole: `upstream_broke` or `upstream_timeout`. Stays inside this package.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.code)
        self.reason = reason


class HttpxReply:
    """
    A `Reply` over httpx2's response.

    Args:
        response: Whose head has arrived.
        between_bytes_seconds: The longest silence within the body.
        ends_at: Loop time at which the whole call must be over; None for no end.
        released: Called once, when the reply is closed.
        on_whole: Called once, when the whole reply has come; never for one that has not.
    """

    def __init__(
        self,
        response: httpx2.Response,
        between_bytes_seconds: float,
        ends_at: float | None,
        released: Callable[[], Awaitable[None]],
        on_whole: Callable[[HttpxReply], None] | None = None,
    ) -> None:
        self.status = response.status_code
        self.headers = tuple((name.lower(), value) for name, value in response.headers.raw)
        self.body: bytes | None = None
        self._response = response
        self._between_bytes_seconds = between_bytes_seconds
        self._ends_at = ends_at
        self._released: Callable[[], Awaitable[None]] | None = released
        self._on_whole = on_whole
        names = [name for name, _ in self.headers]
        self._is_chunked = b"transfer-encoding" in names
        self._has_length = b"content-length" in names
        self._rest = self._receive()
        self._ahead: list[bytes] = []

    async def read_ahead(self) -> None:
        """
        Read until the body is whole or past the size that is buffered; sets `body` in the first case.

        Raises:
            BrokenReplyError: When the reply ends before it is whole, or is framed in two ways.
        """
        if self._is_chunked and self._has_length:
            raise BrokenReplyError(Reason.UPSTREAM_BROKE)  # RFC 9112 section 6.3: two lengths are an attack or a fault
        limit = _CLOSE_DELIMITED_LIMIT_BYTES if self._is_close_delimited else BUFFER_LIMIT_BYTES
        size = 0
        async for chunk in self._rest:
            self._ahead.append(chunk)
            size += len(chunk)
            if size > limit:
                return
        body = b"".join(self._ahead)
        if self._is_close_delimited and not is_whole_json(body):
            raise BrokenReplyError(Reason.UPSTREAM_BROKE)
        self.body = body
        self._tell_whole()
        await self.close()

    async def chunks(self) -> AsyncIterator[bytes]:
        """
        See `Reply.chunks`.
        """
        size = 0
        try:
            for chunk in self._ahead:
                size += len(chunk)
                yield chunk
            async for chunk in self._rest:
                size += len(chunk)
                if size > STREAM_LIMIT_BYTES:
                    raise BrokenReplyError(Reason.UPSTREAM_BROKE)
                yield chunk
            if self._is_close_delimited:
                raise BrokenReplyError(Reason.UPSTREAM_BROKE)
        except BrokenReplyError as error:
            raise UpstreamError(error.reason, Outcome.UNKNOWN, upstream_status=self.status) from None
        self._tell_whole()

    async def close(self) -> None:
        """
        See `Reply.close`.
        """
        released, self._released = self._released, None
        if released is None:
            return
        try:
            await self._rest.aclose()
            await self._response.aclose()
        finally:
            await released()

    def _tell_whole(self) -> None:
        if self._on_whole is not None:
            self._on_whole(self)

    @property
    def _is_close_delimited(self) -> bool:
        return not self._is_chunked and not self._has_length and self.status not in _BODILESS

    async def _receive(self) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        stream = self._response.stream
        if not isinstance(stream, httpx2.AsyncByteStream):
            raise TypeError("the transport gave no asynchronous stream")
        iterator = aiter(stream)
        while True:
            until = min(loop.time() + self._between_bytes_seconds, math.inf if self._ends_at is None else self._ends_at)
            try:
                async with asyncio.timeout_at(until if until < math.inf else None):
                    chunk = await anext(iterator, None)
            except TimeoutError:
                raise BrokenReplyError(Reason.UPSTREAM_TIMEOUT) from None
            except (httpx2.HTTPError, OSError):
                raise BrokenReplyError(Reason.UPSTREAM_BROKE) from None
            if chunk is None:
                return
            yield chunk
