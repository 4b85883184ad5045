"""
The inbound response: how an answer is framed and which headers every answer carries.

Owns the status line, the framing and the house's own headers (contract section 5); what a call wants to say comes in.
No answer can leave without `X-Request-Id`, none can be framed twice, and no value can break out of its header line.
"""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from gateway.data_plane import problem
from gateway.data_plane.inbound import CallerLeft

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.data_plane.door import Door
    from gateway.errors import CallerError

__all__ = ["Answer"]

_STATUS_LINES: Final = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
_OWN_HEADERS: Final = (
    b"Cache-Control: no-store\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
    b"Referrer-Policy: no-referrer\r\n"
    b"Content-Security-Policy: sandbox\r\n"
    b"X-Request-Id: "
)
_OWN_NAMES: Final = frozenset(
    (
        b"cache-control",
        b"connection",
        b"content-length",
        b"content-security-policy",
        b"date",
        b"keep-alive",
        b"referrer-policy",
        b"server",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-content-type-options",
        b"x-request-id",
    )
)
"""What the door alone says; an upstream's word for it is dropped."""

_BODILESS: Final = frozenset((HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED))
"""RFC 9112 section 6.3; of 1xx the door sends only 100 Continue, itself."""


class Answer:
    """
    The answer to one call: either `send`, or `start`, any number of `write`, and `finish`.

    Attributes:
        started: Some byte of it was handed to the transport.
        finished: All of it was, or there was nobody left to hand it to.
        is_last: The connection ends with it; known once its head is out.
    """

    __slots__ = (
        "_door",
        "_is_chunked",
        "_is_head",
        "_is_old",
        "_missing",
        "finished",
        "is_last",
        "request_id",
        "started",
    )

    def __init__(self, door: Door, request_id: str, *, method: str, http_version: str) -> None:
        self._door = door
        self._is_head = method == "HEAD"
        self._is_old = http_version == "1.0"
        self._is_chunked = False
        self._missing: int | None = None
        self.request_id = request_id
        self.started = False
        self.finished = False
        self.is_last = False

    async def send(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """
        Send a whole answer with its Content-Length. A caller that has left is no error.

        Raises:
            ValueError: A header holds a line break, or something was sent before; nothing leaves.
        """
        self.send_now(status, headers, body)

    def send_now(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """
        `send` for where nothing can be awaited. The bytes wait in the transport, bounded by their own size.
        """
        has_body = status not in _BODILESS
        head = self._render_head(status, headers, length=len(body) if has_body else None)
        self._hand_over(head + body if has_body and not self._is_head else head)
        self.finished = True

    def refuse_now(self, refusal: CallerError) -> None:
        """
        Send a refusal as problem+json.
        """
        self.send_now(
            *problem.render(refusal.reason, self.request_id, refusal.detail, refusal.retry_after_seconds),
        )

    async def start(self, status: int, headers: Sequence[tuple[bytes, bytes]], *, length: int | None) -> None:
        """
        Send the head of an answer that is streamed.

        Args:
            status: 200 or more, one that has a body.
            headers: As in `send`.
            length: Bytes that will be written; None sends chunks, and to a caller of HTTP/1.0, which knows no chunks,
                a body that the connection's close ends.

        Raises:
            ValueError: As in `send`.
        """
        self._is_chunked = length is None and not self._is_old
        self._missing = length
        self._hand_over(self._render_head(status, headers, length=length, is_chunked=self._is_chunked))

    async def write(self, chunk: bytes) -> None:
        """
        Write a piece of the body; returns when the transport's buffer is below its high-water mark.

        Raises:
            CallerLeft: The connection is gone.
            CallerStalled: Nothing was taken for `Bounds.stalled_seconds`.
            ValueError: More than `length` bytes; nothing of the piece leaves.
        """
        if self._missing is not None:
            if len(chunk) > self._missing:
                raise ValueError("the answer is longer than its Content-Length")
            self._missing -= len(chunk)
        if self._door.is_gone:
            raise CallerLeft
        if chunk and not self._is_head:  # an empty chunk would end the body
            self._hand_over(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._is_chunked else chunk)
        await self._door.drain()

    async def finish(self) -> None:
        """
        End a streamed answer; one that is shorter than its `length` is aborted.
        """
        if self._missing and not self._is_head:
            self.abort()
        elif self._is_chunked and not self._is_head:
            self._hand_over(b"0\r\n\r\n")
        self.finished = True

    def abort(self) -> None:
        """
        Reset the connection: the caller cannot take what came for complete.
        """
        self.finished = True
        self._door.abort()

    def _hand_over(self, data: bytes) -> None:
        if self._door.send(data):
            self.started = True

    def _render_head(
        self, status: int, headers: Sequence[tuple[bytes, bytes]], *, length: int | None, is_chunked: bool = False
    ) -> bytes:
        if self.started or self.finished:
            raise ValueError("an answer was sent already")
        block = _render_given(tuple(headers))
        if length is not None:
            framing = b"Content-Length: %d\r\n" % length
        else:
            framing = b"Transfer-Encoding: chunked\r\n" if is_chunked else b""
        self.is_last = self._is_old or self._door.is_last_answer()
        return b"".join(
            (
                _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status,
                block,
                framing,
                _OWN_HEADERS,
                self.request_id.encode(),
                b"\r\nConnection: close\r\n\r\n" if self.is_last else b"\r\n\r\n",
            )
        )


@lru_cache(maxsize=256)
def _render_given(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """
    The lines of what the answer's author says; few different ones, since most of Noojee's replies have one header.

    Raises:
        ValueError: A header holds a line break or NUL.
    """
    given = [b"%b: %b\r\n" % header for header in headers if header[0].lower() not in _OWN_NAMES]
    block = b"".join(given)
    if block.count(b"\n") != len(given) or block.count(b"\r") != len(given) or b"\0" in block:
        raise ValueError("a header of the answer holds a line break or NUL")
    return block
