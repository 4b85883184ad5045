"""
The inbound request as a call sees it, and the two ways in which its caller can be lost.

A call knows what the door read and judged; it asks for the body when it wants it, and learns when its caller left.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.errors import GatewayError
from gateway.noojee.parameters import split_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.data_plane.body import Body
    from gateway.data_plane.door import Door
    from gateway.data_plane.head import Head

__all__ = ["Call", "CallerLeft", "CallerStalled"]


class CallerLeft(GatewayError):  # noqa: N818 - what happened, not an error of anybody
    """
    The caller's connection is gone: there is nobody to answer.
    """


class CallerStalled(GatewayError):  # noqa: N818 - the same
    """
    The caller has taken nothing of the answer for `Bounds.stalled_seconds`; all that is left is `Answer.abort`.
    """


class Call:
    """
    One inbound request. Its values do not change; it belongs to the task that handles it.

    Attributes:
        request_id: UUIDv7, made when the head was whole.
        method: A method that llhttp knows, upper case; never CONNECT.
        target: Origin form, path and query undecoded, of visible ASCII without `#` and `;`. The authority of an
            absolute form was dropped.
        http_version: `1.0` or `1.1`.
        path: The target's, raw.
        query: The target's, raw; empty where there is none.
        headers: Values without the white space around them.
        peer: IP address of the socket, without port; IPv4-mapped IPv6 as IPv4.
        client: The caller's own address, where the peer is a trusted proxy that told it; set by the pipeline.
        task: The one that handles it.
        has_left: Whether the caller is gone: after a reset, and after a FIN, as nginx counts it (499), because a closed
            socket and a half-closed one look the same from here. On plain TCP an answer that is sent all the same still
            reaches a caller that had only closed its sending side; over TLS the connection is closed by then.
        has_body: Whether a body was announced.
        declared_length: Content-Length, 0 without one; None for a chunked body.
    """

    __slots__ = (
        "_body",
        "_door",
        "_leaving",
        "client",
        "declared_length",
        "expects_continue",
        "has_body",
        "has_left",
        "headers",
        "http_version",
        "method",
        "path",
        "peer",
        "query",
        "request_id",
        "target",
        "task",
    )

    def __init__(self, door: Door, head: Head, body: Body, *, request_id: str, peer: str) -> None:
        self._door = door
        self._body = body
        self.request_id = request_id
        self.method = head.method
        self.target = head.target
        self.http_version = head.version
        self.path, self.query = split_target(head.target)
        self.headers = head.headers
        self.peer = peer
        self.client: str | None = None
        self.task: asyncio.Task[None] = None  # type: ignore[assignment] # set by the door, before its first step
        self.has_left = False
        self._leaving: Callable[[], None] | None = None
        self.declared_length = head.declared_length
        self.has_body = head.declared_length != 0
        self.expects_continue = head.expects_continue and self.http_version == "1.1" and self.has_body

    def __repr__(self) -> str:
        return f"<Call {self.request_id} {self.method} from {self.peer}>"  # the target may hold a token

    def leave(self) -> None:
        """
        The caller is gone: the door's to tell. A second time does nothing.
        """
        if not self.has_left:
            self.has_left = True
            if self._leaving is not None:
                self._leaving()

    def when_left(self, tell: Callable[[], None]) -> None:
        """
        Have `tell` called when the caller leaves. It takes the place of whoever was to be told before.
        """
        self._leaving = tell

    async def wait_until_left(self) -> None:
        """
        Return when the caller is gone.
        """
        gone = asyncio.Event()
        self.when_left(gone.set)
        if not self.has_left:
            await gone.wait()

    async def body(self, whose: str = "") -> bytes:
        """
        The whole body, at most `Bounds.body_bytes`; the same bytes when asked again.

        `100 Continue` goes out only here, when the caller waits for it: a refused call never invites its body.

        Args:
            whose: The caller's name, in whose share of the room for bodies it is read; all without one share one.

        Raises:
            CallerError: `body_too_large`, `request_timeout`, `request_malformed` for bad chunks and trailers, or
                `draining` when the worker does not wait for it any longer.
            CallerLeft: The caller left before the body was whole.
        """
        if self.has_body:
            await self._door.receive_body(self._body, whose=whose, expects_continue=self.expects_continue)
        return self._body.content
