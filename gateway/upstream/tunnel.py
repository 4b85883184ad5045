"""
The way through a corporate proxy: CONNECT (RFC 9110 section 9.3.6), Basic authentication, and what it answers.

The proxy is the one that the upstream's configuration names, never the environment's (law 5), and behind it TLS is
shaken with Noojee as ever: a proxy sees a host, a port and ciphertext. Its password is opened here, for the wire alone
(law 3); no error quotes what the proxy has written.
"""

from __future__ import annotations

import asyncio
import base64
import re
import socket
from typing import TYPE_CHECKING

from gateway import __version__
from gateway.custody import SealError, open_proxy_password

if TYPE_CHECKING:
    from gateway.access.upstream import Upstream
    from gateway.custody import Ring

__all__ = ["TunnelError", "connect", "open_tunnel"]

_HEAD_LIMIT_BYTES = 16 * 1024
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r?\n")
_HEAD_END = b"\r\n\r\n"
_NEEDS_AUTHENTICATION = 407
_FORBIDDEN = 403


class TunnelError(OSError):
    """
    The proxy does not let us through.

    Args:
        detail: What it said, a sentence without full stop.
        status: Its answer's; None when it gave none that can be read, 0 when it was not asked.

    Attributes:
        is_final: Whether the proxy has decided, so that another address of it would say the same.
    """

    def __init__(self, detail: str, status: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.is_final = status is not None


async def connect(address: str, family: int, port: int) -> socket.socket:
    """
    A non-blocking socket that is connected to an address. It is the caller's to close.

    Raises:
        OSError: It is refused, or nothing leads there.
    """
    connected = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        connected.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connected, (address, port))
    except BaseException:
        connected.close()
        raise
    return connected


async def open_tunnel(connected: socket.socket, upstream: Upstream, ring: Ring) -> None:
    """
    Ask the proxy at the other end of a socket for a way to the upstream. What is sent from then on goes to it.

    Bounded in size here; how long it may take is the caller's to bound.

    Raises:
        TunnelError: It refuses, or answers what is no answer.
        OSError: The connection is lost.
    """
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connected, _render_request(upstream, ring))
    head = bytearray()
    while _HEAD_END not in head:
        data = await loop.sock_recv(connected, _HEAD_LIMIT_BYTES)
        head += data
        if not data or len(head) > _HEAD_LIMIT_BYTES:
            raise TunnelError(f"{_name(upstream)} gave no answer that can be read")
    _judge(bytes(head), upstream)


def _render_request(upstream: Upstream, ring: Ring) -> bytes:
    target = upstream.origin.removeprefix("https://").encode("ascii")
    lines = [b"CONNECT %b HTTP/1.1" % target, b"Host: " + target, f"User-Agent: noojee-gateway/{__version__}".encode()]
    try:
        password = open_proxy_password(ring, upstream)
    except SealError as error:
        raise TunnelError(
            f"{_name(upstream)} cannot be asked, because its password does not open ({error.detail})", 0
        ) from None
    if password is not None and upstream.proxy is not None:
        pair = base64.b64encode(f"{upstream.proxy.user}:{password.reveal()}".encode())  # RFC 7617 section 2.1: UTF-8
        lines.append(b"Proxy-Authorization: Basic " + pair)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _judge(head: bytes, upstream: Upstream) -> None:
    found = _STATUS_LINE.match(head)
    if found is None:
        raise TunnelError(f"{_name(upstream)} gave no answer that can be read")
    status = int(found[1])
    if 200 <= status < 300:  # noqa: PLR2004 - RFC 9110 section 9.3.6: any of these opens the tunnel
        if head.index(_HEAD_END) + len(_HEAD_END) < len(head):
            # TLS begins with us: what comes before comes from the proxy, and would be taken for Noojee's.
            raise TunnelError(f"{_name(upstream)} sent data of its own into the tunnel", status)
        return
    place = upstream.origin.removeprefix("https://")
    if status == _NEEDS_AUTHENTICATION:
        has_user = upstream.proxy is not None and upstream.proxy.user is not None
        wish = "does not accept the user and password" if has_user else "asks for a user and password"
        raise TunnelError(f"{_name(upstream)} {wish} (407)", status)
    if status == _FORBIDDEN:
        raise TunnelError(f"{_name(upstream)} does not allow connections to {place} (403)", status)
    raise TunnelError(f"{_name(upstream)} could not connect to {place} ({status})", status)


def _name(upstream: Upstream) -> str:
    return f"The proxy {upstream.proxy.address}" if upstream.proxy is not None else "The proxy"
