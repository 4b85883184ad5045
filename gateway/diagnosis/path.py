"""
The way to an upstream, walked once and step by step: name, TCP, proxy, TLS. No byte of a request goes over it.

What `Connector` does for calls in one go is done here so that each step can be told from the next; both stand on the
same resolver, tunnel and trust.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from gateway.upstream.addresses import resolve
from gateway.upstream.certificate import CertificateError, find_pin, find_validity
from gateway.upstream.tls_channel import TlsChannel
from gateway.upstream.trust import create_context_for, create_looking_context
from gateway.upstream.tunnel import connect, open_tunnel

if TYPE_CHECKING:
    from gateway.access.upstream import Upstream
    from gateway.custody import Ring
    from gateway.upstream.addresses import Address, Resolver
    from gateway.upstream.certificate import Validity

__all__ = ["Path", "Place", "Seen", "walk"]

_RECEIVE_BYTES = 16 * 1024


class Place(Enum):
    """
    How far the way was walked: at which step it ended, or that it did not.
    """

    NAME = auto()
    TCP = auto()
    PROXY = auto()
    TLS = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Seen:
    """
    What the server shows of itself, whether it is trusted or not.

    Attributes:
        version: Of TLS, as in `TLSv1.3`.
        pin: Of its certificate's key; None where that cannot be read.
        validity: Its certificate's dates; the same.
    """

    version: str
    pin: str | None
    validity: Validity | None


@dataclass(frozen=True, slots=True)
class Path:
    """
    What was found on the way.

    Attributes:
        ended_at: Where it ended.
        error: Why, unless it ended at its end.
        addresses: Where the first hop's name leads; empty where it cannot be resolved.
        address: The one that answered.
        egress: Our own address, as seen on the socket; where nothing answered, the one that would be used.
        seen: What the server showed, where it showed anything.
    """

    ended_at: Place
    error: Exception | None = None
    addresses: tuple[str, ...] = ()
    address: str | None = None
    egress: str | None = None
    seen: Seen | None = None


async def walk(upstream: Upstream, ring: Ring, connect_seconds: float, resolver: Resolver = resolve) -> Path:
    """
    Walk the way to an upstream. Raises nothing for what is found on it.

    Args:
        ring: Opens the password of the proxy.
        connect_seconds: How long the name may take, and each address.
        resolver: Where names lead.
    """
    hop = upstream.proxy or upstream
    try:
        async with asyncio.timeout(connect_seconds):
            addresses = await resolver(hop.host, hop.port)
    except (OSError, TimeoutError, UnicodeError) as error:
        return Path(Place.NAME, error)
    found = Path(Place.NAME, OSError("the name has no address"))
    for address in addresses:
        found = await _walk_to(address, upstream, ring, connect_seconds)
        if found.ended_at is not Place.TCP:
            break
    texts = tuple(each.text for each in addresses)
    return Path(found.ended_at, found.error, texts, found.address, found.egress, found.seen)


async def _walk_to(address: Address, upstream: Upstream, ring: Ring, connect_seconds: float) -> Path:
    port = (upstream.proxy or upstream).port
    try:
        async with asyncio.timeout(connect_seconds):
            connected = await connect(address.text, address.family, port)
    except (OSError, TimeoutError) as error:
        return Path(Place.TCP, error, egress=_find_egress(address, port))
    with connected:
        egress = str(connected.getsockname()[0])
        place = Place.PROXY
        try:
            async with asyncio.timeout(connect_seconds):
                if upstream.proxy is not None:
                    await open_tunnel(connected, upstream, ring)
                place = Place.TLS
                context = await asyncio.to_thread(create_context_for, upstream)
                channel = TlsChannel(context, upstream.host, None, upstream.pins)
                seen = await _shake_hands(connected, channel)
        except (OSError, TimeoutError) as error:  # ssl.SSLError and TunnelError are OSErrors
            failure = error
        else:
            return Path(Place.END, None, address=address.text, egress=egress, seen=seen)
    if place is Place.PROXY:
        return Path(place, failure, address=address.text, egress=egress)
    return Path(place, failure, (), address.text, egress, await _look(address, upstream, ring, connect_seconds))


async def _look(address: Address, upstream: Upstream, ring: Ring, connect_seconds: float) -> Seen | None:
    """
    What a server shows that is not trusted, for the operator to compare with what it should be.
    """
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(connect_seconds):
            connected = await connect(address.text, address.family, (upstream.proxy or upstream).port)
            with connected:
                if upstream.proxy is not None:
                    await open_tunnel(connected, upstream, ring)
                return await _shake_hands(connected, TlsChannel(create_looking_context(), upstream.host, None))
    return None


async def _shake_hands(connected: socket.socket, channel: TlsChannel) -> Seen:
    """
    Shake hands, and see what the other side shows.

    Raises:
        ssl.SSLError: What `TlsChannel.shake_hands` raises.
        OSError: The connection is lost.
    """
    loop = asyncio.get_running_loop()
    received = b""
    try:
        while not channel.shake_hands(received):
            await loop.sock_sendall(connected, channel.outgoing.read())
            received = await loop.sock_recv(connected, _RECEIVE_BYTES)
            if not received:
                raise ConnectionResetError("the connection ended within the handshake")
    finally:
        with contextlib.suppress(OSError):  # an alert, which tells the other side's operator what is wrong
            connected.send(channel.outgoing.read())
    certificate = channel.certificate or b""
    pin, validity = None, None
    with contextlib.suppress(CertificateError):
        pin, validity = find_pin(certificate), find_validity(certificate)
    return Seen(channel.version or "TLS", pin, validity)


def _find_egress(address: Address, port: int) -> str | None:
    """
    The address that a packet to there would come from. A UDP socket is told by the kernel, and sends none.
    """
    with contextlib.suppress(OSError), socket.socket(address.family, socket.SOCK_DGRAM) as asking:
        asking.connect((address.text, port))
        return str(asking.getsockname()[0])
    return None
