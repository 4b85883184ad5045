"""
The reference: httpx2's transport behind `Upstreams.send`, the gateway's first sender.

It left the product for its speed (docs/decisions/0010-the-pool.md) and stays as what the pool of our own is compared
with: the same replies through both must come to the same result, or to a stricter one that is listed.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

import httpx2

from gateway import __version__
from gateway.access.upstream import AuthMethod
from gateway.clock import SystemClock
from gateway.custody import SealError, open_key
from gateway.errors import Reason, UpstreamError
from gateway.noojee.catalogue import Effect
from gateway.outcome import Outcome
from gateway.upstream.handshake import Handshakes
from gateway.upstream.pair_book import LONGEST_LIFETIME_SECONDS
from gateway.upstream.trust import create_tls_context
from tests.reference.httpx_reply import BrokenReplyError, HttpxReply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from gateway.access.credential import Credential
    from gateway.access.upstream import Upstream
    from gateway.clock import Clock
    from gateway.custody import Ring
    from gateway.secret import Secret
    from gateway.upstream.request import Reply, Timeouts, UpstreamRequest

__all__ = ["HttpxUpstreams"]

_logger = logging.getLogger(__name__)

# Tomcat closes idle connections after 20 s and nginx after 75: stay below both, so that ours is the side that closes.
_IDLE_SECONDS = 15.0
# A dialling call must not meet a connection that the other side is just closing: it would be `unknown`, and a person
# would have to look whether a telephone rang.
_DIALS_IDLE_SECONDS = 1.0


class HttpxUpstreams:
    """
    Sends over pools of TLS connections, three for each upstream: calls, dialling calls, long polls.

    Args:
        ring: Opens the sealed keys.
        timeouts: Connect and send; the rest comes with each request.
        clock: Tells how old a hash pair is.
        hash_pair_seconds: How long an accepted hash pair is good.
    """

    def __init__(
        self,
        *,
        ring: Ring,
        timeouts: Timeouts,
        clock: Clock | None = None,
        hash_pair_seconds: float = LONGEST_LIFETIME_SECONDS,
    ) -> None:
        self._ring = ring
        self._timeouts = timeouts
        self._pools: dict[tuple[Upstream, str], _Pool] = {}
        self._handshakes = Handshakes(
            ask=lambda request: self._transmit(request, b""),
            key_of=self._open_key,
            clock=clock or SystemClock(),
            lifetime_seconds=hash_pair_seconds,
        )

    async def send(self, request: UpstreamRequest) -> Reply:
        """
        See `Upstreams.send`.
        """
        if request.credential.upstream.auth is AuthMethod.HASH:
            return await self._send_with_pair(request)
        key = self._open_key(request.credential)
        return await self._transmit(request, b"apiKey=" + quote(key.reveal(), safe="").encode("ascii"))

    async def forget(self, credentials: AbstractSet[Credential]) -> None:
        """
        Retire what belongs to none of these credentials: pools of a changed upstream, hash pairs of a changed key.

        No new call uses a retired pool; it closes after its last running call, because nothing that rings is cut off.
        """
        self._handshakes.keep(credentials)
        upstreams = {credential.upstream for credential in credentials}
        for key in [key for key in self._pools if key[0] not in upstreams]:
            await self._pools.pop(key).retire()

    async def close(self) -> None:
        """
        See `Upstreams.close`.
        """
        await self._handshakes.close()
        await self.forget(frozenset())

    async def _send_with_pair(self, request: UpstreamRequest) -> Reply:
        held = await self._handshakes.obtain(request.credential)
        request.used_accepted_pair = held.is_accepted
        return await self._transmit(
            request,
            held.pair.reveal_query(),
            connect_seconds=self._handshakes.seconds_left(held),
            on_whole=lambda reply: self._handshakes.weigh(request, held, reply.status, reply.body),
        )

    async def _transmit(
        self,
        request: UpstreamRequest,
        credential_query: bytes,
        *,
        connect_seconds: float = math.inf,
        on_whole: Callable[[HttpxReply], None] | None = None,
    ) -> Reply:
        """
        Send once.

        Args:
            credential_query: What goes first in the query; empty for nothing.
            connect_seconds: The longest wait for a connection, when it is shorter than that of all calls.
            on_whole: Called once, with a reply that has come whole.
        """
        rendered = self._render(request, credential_query)
        pool = self._find_pool(request)
        progress = _Progress(request, self._timeouts, connect_seconds)
        rendered.extensions["trace"] = progress.follow
        pool.enter()
        try:
            async with progress.deadline:
                response = await pool.transport.handle_async_request(rendered)
        except (httpx2.HTTPError, OSError, TimeoutError) as error:
            await pool.leave()
            _raise_lost(error, request)
        except BaseException:
            await pool.leave()
            raise
        reply = HttpxReply(response, request.patience.between_bytes_seconds, progress.ends_at, pool.leave, on_whole)
        try:
            if 300 <= response.status_code < 400:  # RFC 9110 section 15.4; a redirect is never followed
                raise UpstreamError(Reason.UPSTREAM_REDIRECTED, Outcome.FAILED, upstream_status=response.status_code)
            await reply.read_ahead()
            request.has_whole_reply = reply.body is not None
        except BrokenReplyError as error:
            await reply.close()
            raise UpstreamError(error.reason, Outcome.UNKNOWN, upstream_status=response.status_code) from None
        except BaseException:
            await reply.close()
            raise
        return reply

    def _open_key(self, credential: Credential) -> Secret:
        try:
            return open_key(self._ring, credential)
        except SealError as error:
            # Told here and not only to the caller: it is the operator who can do something about it.
            _logger.error("a call was not sent: %s", error.detail)  # noqa: TRY400 - the seal's trace tells nothing more
            raise UpstreamError(Reason.CREDENTIAL_UNAVAILABLE, Outcome.NOT_SENT) from None

    def _render(self, request: UpstreamRequest, credential_query: bytes) -> httpx2.Request:
        upstream = request.credential.upstream
        query = b"&".join(part for part in (credential_query, request.query) if part)
        target = upstream.prefix.encode("ascii") + request.operation.path + (b"?" + query if query else b"")
        headers = [
            (b"Host", upstream.host_header),
            (b"User-Agent", b"noojee-gateway/" + __version__.encode("ascii")),
            (b"Accept-Encoding", b"identity"),
            *request.headers,
            (b"Content-Length", str(len(request.body)).encode("ascii")),
        ]
        return httpx2.Request(
            "POST",
            upstream.origin,
            headers=headers,
            stream=httpx2.ByteStream(request.body),
            extensions={"target": target},
        )

    def _find_pool(self, request: UpstreamRequest) -> _Pool:
        purpose, idle_seconds = "calls", _IDLE_SECONDS
        if request.operation.effect is Effect.DIALS:
            purpose, idle_seconds = "dials", _DIALS_IDLE_SECONDS
        elif request.operation.effect is Effect.LONG_POLL:
            purpose = "polls"
        key = (request.credential.upstream, purpose)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = _Pool(request.credential.upstream.ca_pem, idle_seconds)
        return pool

    def __repr__(self) -> str:
        return f"<HttpxUpstreams with {len(self._pools)} pools>"


class _Pool:
    """
    Connections to one upstream for one purpose, and how many calls are on them.

    Args:
        ca_pem: As in `create_tls_context`.
        idle_seconds: How long a connection is kept unused.
    """

    def __init__(self, ca_pem: str | None, idle_seconds: float) -> None:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=idle_seconds)
        self.transport = httpx2.AsyncHTTPTransport(verify=create_tls_context(ca_pem), trust_env=False, limits=limits)
        self._calls = 0
        self._retired = False

    def enter(self) -> None:
        """
        A call begins.
        """
        self._calls += 1

    async def leave(self) -> None:
        """
        A call is over, its reply closed.
        """
        self._calls -= 1
        await self._close_when_done()

    async def retire(self) -> None:
        """
        Close after the last call.
        """
        self._retired = True
        await self._close_when_done()

    async def _close_when_done(self) -> None:
        if self._retired and self._calls == 0:
            await self.transport.aclose()


class _Progress:
    """
    Follows one request through httpcore's trace: notes what was handed over, and moves the deadline on.

    One `asyncio.timeout` for all, because the library's read timeout starts anew with every received byte: a head that
    dribbles would never end.
    """

    def __init__(self, request: UpstreamRequest, timeouts: Timeouts, connect_seconds: float) -> None:
        self._request = request
        self._timeouts = timeouts
        now = asyncio.get_running_loop().time()
        call_seconds = request.patience.call_seconds
        self.ends_at = None if call_seconds is None else now + call_seconds
        self.deadline = asyncio.timeout(min(timeouts.connect_seconds, connect_seconds, call_seconds or math.inf))

    async def follow(self, event: str, _info: Mapping[str, Any]) -> None:
        """
        The trace: called by httpcore before and after each of its steps.
        """
        if event == "http11.send_request_headers.started":
            # Law 2: from here on bytes may have left, whatever the library says later.
            self._request.was_handed_over = True
            self._allow(self._timeouts.send_seconds)
        elif event == "http11.receive_response_headers.started":
            self._allow(self._request.patience.reply_seconds)

    def _allow(self, seconds: float) -> None:
        until = asyncio.get_running_loop().time() + seconds
        self.deadline.reschedule(until if self.ends_at is None else min(until, self.ends_at))


def _raise_lost(error: Exception, request: UpstreamRequest) -> NoReturn:
    """
    Say what a lost request means. The cause is not chained: the client's exceptions hold the request with its key.
    """
    if request.was_handed_over:
        reason = Reason.UPSTREAM_TIMEOUT if isinstance(error, TimeoutError) else Reason.UPSTREAM_BROKE
        raise UpstreamError(reason, Outcome.UNKNOWN) from None
    if _is_certificate_error(error):
        raise UpstreamError(Reason.UPSTREAM_CERTIFICATE, Outcome.NOT_SENT) from None
    raise UpstreamError(Reason.UPSTREAM_UNREACHABLE, Outcome.NOT_SENT) from None


def _is_certificate_error(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
