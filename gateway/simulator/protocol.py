"""
One connection: bytes to requests, replies to bytes, faults of the transport.

Requests of a connection are answered one after the other, in order, also when they were sent at once. Reading goes on
while one is served, so that a caller who leaves is noticed and a waiting poll ends with its connection. How a reply is
cut, reset or left without its length is performed here; that it is, was decided in `faults.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import struct
from typing import TYPE_CHECKING, cast

import httptools

from gateway.simulator.messages import Ending, Reply, Request, create_json_reply, render_reply_head

if TYPE_CHECKING:
    from gateway.simulator.service import Service

__all__ = ["Connection"]

_LARGEST_BODY_BYTES = 16 * 2**20
_CHUNK_BYTES = 64 * 2**10
_RST_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, zero seconds
_LOGGER = logging.getLogger(__name__)

_MALFORMED = create_json_reply({"Code": -2, "Message": "Malformed request"}, 400)
_TOO_LARGE = create_json_reply({"Code": -2, "Message": "Body too large"}, 413)
_BROKEN = create_json_reply({"Code": -2, "Message": "The simulator failed; its log says why"}, 500)


class Connection(asyncio.Protocol):
    """
    A caller's connection. It enters itself into `connections` when it is made and leaves when it is lost.

    Args:
        service: what answers requests.
        connections: the open connections of the server.
        number: counts connections from 1, so that a log shows which requests shared one.
    """

    def __init__(self, service: Service, connections: set[Connection], number: int) -> None:
        self._service = service
        self._connections = connections
        self._number = number
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._peer = ""
        self.task: asyncio.Task[None] | None = None
        self._waiting: asyncio.Queue[Request | Reply] = asyncio.Queue()
        self._writable = asyncio.Event()
        self._writable.set()
        self._is_serving = False
        self._is_ending = False
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self._body = bytearray()
        self._is_too_large = False

    def __repr__(self) -> str:
        return f"<Connection {self._number} from {self._peer}{', serving' if self._is_serving else ''}>"

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        The TLS handshake is over.
        """
        self._transport = cast("asyncio.Transport", transport)
        address = ipaddress.ip_address(transport.get_extra_info("peername")[0].partition("%")[0])
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        self._peer = str(mapped or address)
        self._connections.add(self)
        self.task = asyncio.get_running_loop().create_task(self._serve())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  the interface's argument
        """
        The connection is gone, from whichever side; what was under way on it is cancelled.
        """
        self._connections.discard(self)
        if self._target:
            self._service.record_incomplete(self._create_request())
        if self.task:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        """
        Bytes of zero, one or more requests.
        """
        if self._is_ending:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._is_ending = True  # the request with the Upgrade is queued; what follows it is another protocol
        except httptools.HttpParserError:
            self._is_ending = True
            self._waiting.put_nowait(_MALFORMED)

    def pause_writing(self) -> None:
        """
        The caller reads more slowly than we write.
        """
        self._writable.clear()

    def resume_writing(self) -> None:
        """
        There is room again.
        """
        self._writable.set()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """
        A request line follows.
        """
        self._begin()

    def on_url(self, url: bytes) -> None:
        """
        A piece of the target.
        """
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """
        One header, or one trailer.
        """
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """
        The body follows; curl waits for our word before it sends a large one.
        """
        expects = any(name.lower() == "expect" and value.lower() == "100-continue" for name, value in self._headers)
        if expects and not self._is_serving and self._waiting.empty():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """
        A piece of the body. What is too large is read to its end and refused then.
        """
        self._is_too_large = self._is_too_large or len(self._body) + len(body) > _LARGEST_BODY_BYTES
        if not self._is_too_large:
            self._body += body

    def on_message_complete(self) -> None:
        """
        A request is complete.
        """
        self._waiting.put_nowait(_TOO_LARGE if self._is_too_large else self._create_request())
        self._begin()

    # What the server calls.

    def finish(self) -> None:
        """
        Close when idle, else behind the reply that is under way.
        """
        self._is_ending = True
        if not self._is_serving and self._waiting.empty():
            # The farewell (close_notify) goes out at once; an idle caller's own is not worth waiting for.
            self._transport.close()
            self._transport.abort()

    async def abort(self) -> None:
        """
        End at once, whatever is under way.
        """
        self._transport.abort()
        if self.task:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task

    # The requests of the connection, one after the other.

    def _begin(self) -> None:
        self._target = b""
        self._headers = []
        self._body = bytearray()
        self._is_too_large = False

    def _create_request(self) -> Request:
        return Request(
            method=self._parser.get_method().decode("latin-1"),
            target=self._target.decode("latin-1"),
            headers=tuple(self._headers),
            body=bytes(self._body),
            peer=self._peer,
            connection=self._number,
            is_kept_alive=self._parser.should_keep_alive() and self._parser.get_http_version() == "1.1",
        )

    async def _serve(self) -> None:
        while not self._transport.is_closing():
            item = await self._waiting.get()
            self._is_serving = True
            if isinstance(item, Request):
                await self._send(await self._answer(item), item)
            else:
                await self._send(item, None)
            self._is_serving = False
            if self._is_ending and self._waiting.empty():
                self._transport.close()

    async def _answer(self, request: Request) -> Reply:
        try:
            return await self._service.handle(request)
        except Exception:
            _LOGGER.exception("a request broke the simulator")
            return _BROKEN

    async def _send(self, reply: Reply, request: Request | None) -> None:
        await asyncio.sleep(reply.delay_seconds)
        if reply.ending is Ending.RESET:
            self._reset()
            return
        closes = reply.ending in {Ending.CLOSE, Ending.TRUNCATE} or request is None or not request.is_kept_alive
        if reply.verbatim is not None:
            await self._write(reply.verbatim)
        else:
            await self._write(render_reply_head(reply, closes=closes or self._is_ending))
            if request is None or request.method != "HEAD":
                await self._write_body(reply)
        if reply.ending is Ending.STALL:
            await asyncio.Event().wait()  # until the lost connection cancels this task
        if reply.ending is Ending.TRUNCATE:
            self._transport.abort()
        elif closes or reply.ending is Ending.SILENT_CLOSE:
            self._transport.close()

    async def _write_body(self, reply: Reply) -> None:
        left = len(reply.body) + reply.padding if reply.cut_at is None else reply.cut_at
        await self._write(reply.body[:left])
        left = min(left - len(reply.body), reply.padding)
        while left > 0:
            await self._write(b" " * min(left, _CHUNK_BYTES))
            left -= _CHUNK_BYTES

    async def _write(self, data: bytes) -> None:
        if data:
            self._transport.write(data)
        await self._writable.wait()

    def _reset(self) -> None:
        # With SO_LINGER at zero the kernel answers close() with RST instead of FIN, and no close_notify is written.
        handle = self._transport.get_extra_info("socket")
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        self._transport.abort()
