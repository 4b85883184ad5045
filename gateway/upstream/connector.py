"""
The way to one upstream: its name resolved, TCP and TLS shaken, perhaps through a proxy; and why that failed.

Law 5 holds here: host, port and proxy of the configuration, the certificates and pins that it says, the same
host name in the handshake; a certificate that is not trusted ends the attempt, whatever other addresses there are.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING, NamedTuple

from gateway.errors import Reason, UpstreamError
from gateway.outcome import Outcome
from gateway.upstream.addresses import resolve
from gateway.upstream.connection import Connection
from gateway.upstream.tls_channel import Resumption, TlsChannel
from gateway.upstream.trust import PinError, create_context_for
from gateway.upstream.tunnel import TunnelError, connect, open_tunnel

if TYPE_CHECKING:
    from gateway.access.upstream import Upstream
    from gateway.custody import Ring
    from gateway.upstream.addresses import Address, Resolver
    from gateway.upstream.connection import Buffers, Home

__all__ = ["Connector"]

_logger = logging.getLogger(__name__)


class _Trust(NamedTuple):
    context: ssl.SSLContext
    resumption: Resumption


class Connector:
    """
    Opens connections to one upstream. Lives on its event loop.

    Args:
        upstream: Where.
        connect_seconds: The longest that one connection may take, name, TCP and TLS together.
        buffers: Those of the event loop.
        ring: Opens the password of the proxy.
        resolver: Where names lead.
    """

    def __init__(
        self,
        upstream: Upstream,
        connect_seconds: float,
        buffers: Buffers,
        ring: Ring,
        resolver: Resolver = resolve,
    ) -> None:
        self._upstream = upstream
        self._ring = ring
        self._resolver = resolver
        self._first_hop = upstream.proxy or upstream
        self._connect_seconds = connect_seconds
        self._buffers = buffers
        self._trust: asyncio.Future[_Trust] | None = None
        self._last_address: str | None = None

    def prepare(self) -> asyncio.Future[_Trust]:
        """
        Begin to read the certificates to trust, in a thread: the system's store takes some 100 ms.
        """
        if self._trust is None or (self._trust.done() and (self._trust.cancelled() or self._trust.exception())):
            self._trust = asyncio.ensure_future(asyncio.to_thread(_create_trust, self._upstream))
            # A failure is told by `_create_trust` itself and to each call; nobody need be waiting when it comes.
            self._trust.add_done_callback(lambda done: done.cancelled() or done.exception())
        return self._trust

    async def open(self, home: Home) -> Connection:
        """
        A new connection, its handshake over.

        Raises:
            UpstreamError: `upstream_certificate` or `upstream_unreachable`; the outcome is `not_sent`.
        """
        try:
            async with asyncio.timeout(self._connect_seconds):
                # Shielded: others wait for the same certificates.
                trust = await asyncio.shield(self.prepare())
                return await self._try_addresses(trust, home)
        except PinError as error:
            _logger.error("%s has another key than the pinned ones: %s", self._upstream.origin, error.present)  # noqa: TRY400 - the trace tells nothing more
            raise UpstreamError(Reason.UPSTREAM_CERTIFICATE, Outcome.NOT_SENT) from None
        except ssl.SSLCertVerificationError:
            raise UpstreamError(Reason.UPSTREAM_CERTIFICATE, Outcome.NOT_SENT) from None
        except TunnelError as error:
            raise UpstreamError(Reason.UPSTREAM_UNREACHABLE, Outcome.NOT_SENT, detail=error.detail) from None
        except (OSError, TimeoutError, UnicodeError):  # the last is what a name with a too long part gives
            raise UpstreamError(Reason.UPSTREAM_UNREACHABLE, Outcome.NOT_SENT, detail=self._blame_proxy()) from None

    async def look(self) -> list[Address]:
        """
        Where the way begins now: the addresses of the upstream's name, or of its proxy's.

        Raises:
            OSError: It cannot be resolved.
            UnicodeError: It cannot be a name.
        """
        return await self._resolver(self._first_hop.host, self._first_hop.port)

    async def close(self) -> None:
        """
        Wait for the thread, if it still reads.
        """
        if self._trust is not None:
            await asyncio.wait({self._trust})

    async def _try_addresses(self, trust: _Trust, home: Home) -> Connection:
        """
        The first address that answers; the one that answered last time goes first.

        Each gets an equal share of the time that is left, so that a dead first one, as with an IPv6 that leads nowhere,
        costs time once and not the call.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self._connect_seconds
        addresses = sorted(await self.look(), key=lambda each: each.text != self._last_address)
        failure: Exception = OSError("the name has no address")
        for number, address in enumerate(addresses):
            try:
                async with asyncio.timeout((until - loop.time()) / (len(addresses) - number)):
                    connection = await self._open_one(trust, home, address)
            except ssl.SSLCertVerificationError:
                raise
            except (OSError, TimeoutError) as error:
                if isinstance(error, TunnelError) and error.is_final:
                    raise
                failure = error
            else:
                self._last_address = address.text
                return connection
        raise failure

    async def _open_one(self, trust: _Trust, home: Home, address: Address) -> Connection:
        loop = asyncio.get_running_loop()
        session, verified_at = trust.resumption.find(loop.time())
        channel = TlsChannel(trust.context, self._upstream.host, session, self._upstream.pins)
        connection = Connection(loop, channel, home, self._buffers, trust.resumption, verified_at)
        connection.address = address.text
        try:
            await self._reach(connection, address)
            failure = await connection.opened
        except BaseException:
            connection.abort()
            raise
        if failure is not None:
            raise failure
        return connection

    async def _reach(self, connection: Connection, address: Address) -> None:
        """
        TCP, and the tunnel where there is one; from then on the connection shakes hands.
        """
        loop = asyncio.get_running_loop()
        port = self._first_hop.port
        if self._upstream.proxy is None:
            await loop.create_connection(lambda: connection, address.text, port, family=address.family)
            return
        connected = await connect(address.text, address.family, port)
        try:
            await open_tunnel(connected, self._upstream, self._ring)
            await loop.create_connection(lambda: connection, sock=connected)
        except BaseException:
            connected.close()
            raise

    def _blame_proxy(self) -> str | None:
        proxy = self._upstream.proxy
        return f"Noojee could not be reached through the proxy {proxy.address}" if proxy is not None else None

    def __repr__(self) -> str:
        return f"<Connector to {self._upstream.origin}>"


def _create_trust(upstream: Upstream) -> _Trust:
    try:
        context = create_context_for(upstream)
    except OSError as error:
        # It is the operator who can do something about it; a caller only hears that nothing was sent.
        _logger.error("the certificates to trust cannot be read: %s", error)  # noqa: TRY400 - the trace tells nothing more
        raise
    # The system's store of macOS is asked after the handshake, by a context of another type.
    return _Trust(context, Resumption(is_possible=type(context) is ssl.SSLContext))
