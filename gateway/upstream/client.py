"""
The sender: a pool of our own behind `Upstreams.send`.

Laws that hold here: 2 (`not_sent` is told only while no byte was handed to a connection; one that proves closed before
that is replaced in silence, which is no second attempt), 3 (the key is opened here, and stands in nothing that has a
printable form), 4 (our key, or the hash pair made of it, goes first in the query; no cookie is kept), 5 (https to the
configured origin only, no redirect, nothing from the environment).
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING

from gateway.access.credential import Credential, Kind
from gateway.access.upstream import AuthMethod
from gateway.clock import SystemClock
from gateway.custody import SealError, open_key
from gateway.errors import Reason, UpstreamError
from gateway.noojee.catalogue import Effect
from gateway.outcome import Outcome
from gateway.upstream.addresses import FOLLOW_SECONDS, Follower, resolve
from gateway.upstream.connection import Buffers
from gateway.upstream.connector import Connector
from gateway.upstream.handshake import Handshakes
from gateway.upstream.pair_book import LONGEST_LIFETIME_SECONDS
from gateway.upstream.pool import Pool
from gateway.upstream.rendering import API_KEY, HeadForm, render_api_key
from gateway.upstream.reply import StreamedReply
from gateway.upstream.request import CONNECTIONS_LIMIT, POLLS_LIMIT, UpstreamRequest
from gateway.upstream.transmission import Transmission

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from gateway.access.upstream import Upstream
    from gateway.clock import Clock
    from gateway.custody import Ring
    from gateway.secret import Secret
    from gateway.upstream.addresses import Resolver
    from gateway.upstream.connection import Connection, Home
    from gateway.upstream.pair_book import HeldPair
    from gateway.upstream.pool import PoolFigures
    from gateway.upstream.reply import WholeReply
    from gateway.upstream.request import Patience, Reply, Timeouts

__all__ = ["PooledUpstreams"]

_logger = logging.getLogger(__name__)

_TRIES = 8
"""How many connections in a row may prove closed before a call is given up: then they are closed as soon as opened."""


class PooledUpstreams:
    """
    Sends over pools of TLS connections, two for each upstream: one for calls, one for long polls.

    Args:
        ring: Opens the sealed keys.
        timeouts: Connect, send and between bytes; the rest comes with each request.
        clock: Tells how old a hash pair is.
        hash_pair_seconds: How long an accepted hash pair is good.
        connections: The most connections to one upstream for calls; who comes then waits, as long as for connecting.
        polls: The most for long polls.
        resolver: Where names lead.
        follow_seconds: How often that is looked at again while connections are open.
    """

    def __init__(
        self,
        *,
        ring: Ring,
        timeouts: Timeouts,
        clock: Clock | None = None,
        hash_pair_seconds: float = LONGEST_LIFETIME_SECONDS,
        connections: int = CONNECTIONS_LIMIT,
        polls: int = POLLS_LIMIT,
        resolver: Resolver = resolve,
        follow_seconds: float = FOLLOW_SECONDS,
    ) -> None:
        self._ring = ring
        self._resolver = resolver
        self._follow_seconds = follow_seconds
        self._timeouts = timeouts
        self._connections = connections
        self._polls = polls
        self._buffers = Buffers()
        self._sites: dict[Upstream, _Site] = {}
        # By identity, because a credential with its certificates is slow to hash; an entry holds its credential, so
        # that no other can come to have its identity.
        self._known: dict[int, tuple[Credential, _Site]] = {}
        self._handshakes = Handshakes(
            ask=lambda request: self._transmit(request, b"", math.inf),
            key_of=self._open_key,
            clock=clock or SystemClock(),
            lifetime_seconds=hash_pair_seconds,
        )

    async def send(self, request: UpstreamRequest) -> Reply:
        """
        See `Upstreams.send`.
        """
        credential = request.credential
        if credential.upstream.auth is AuthMethod.HASH:
            return await self._send_with_pair(request)
        key = render_api_key(self._open_key(credential))
        return _without(key.removeprefix(API_KEY), await self._transmit(request, key, math.inf))

    async def ask_time(self, upstream: Upstream, patience: Patience) -> Reply:
        """
        Ask an upstream for its time, as `send` does and without any credential: whether it answers us at all.

        Raises:
            UpstreamError: As `send`.
        """
        keyless = Credential("", "", upstream, Kind.GLOBAL, None, None)
        return await self._transmit(
            UpstreamRequest(keyless, self._handshakes.time, b"", (), b"", patience), b"", math.inf
        )

    def prepare(self, credentials: Iterable[Credential]) -> None:
        """
        Read in a thread whom these credentials' upstreams are to be trusted by, so that no call waits for it.
        """
        for credential in credentials:
            self._find_site(credential).connector.prepare()

    async def forget(self, credentials: AbstractSet[Credential]) -> None:
        """
        Retire what belongs to none of these credentials.

        That is pools and TLS sessions of a changed upstream, and hash pairs of a changed key. No new call uses a
        retired pool; it closes after its last running call, because nothing that rings is cut off.
        """
        self._handshakes.keep(credentials)
        self._known.clear()
        upstreams = {credential.upstream for credential in credentials}
        for upstream in [upstream for upstream in self._sites if upstream not in upstreams]:
            self._sites.pop(upstream).retire()

    def iterate_figures(self) -> Iterator[tuple[str, str, PoolFigures]]:
        """
        How each pool is doing, by its upstream's name and what it is for: `calls` or `polls`.

        An upstream that was changed a moment ago may have two of each.
        """
        for upstream, site in self._sites.items():
            yield upstream.name, "calls", site.calls.figures
            yield upstream.name, "polls", site.polls.figures

    async def close(self) -> None:
        """
        See `Upstreams.close`.
        """
        await self._handshakes.close()
        self._known.clear()
        while self._sites:
            _, site = self._sites.popitem()
            await site.close()

    async def _send_with_pair(self, request: UpstreamRequest) -> Reply:
        held = await self._handshakes.obtain(request.credential)
        request.used_accepted_pair = held.is_accepted
        query = held.pair.reveal_query()
        reply = await self._transmit(request, query, self._handshakes.seconds_left(held))
        reply = _without(query.rpartition(b"=")[2], reply)
        if isinstance(reply, StreamedReply):
            reply.on_whole = lambda: self._weigh(request, held, reply)
        else:
            self._weigh(request, held, reply)
        return reply

    def _weigh(self, request: UpstreamRequest, held: HeldPair, reply: Reply) -> None:
        self._handshakes.weigh(request, held, reply.status, reply.body)

    async def _transmit(
        self, request: UpstreamRequest, credential_query: bytes, connect_seconds: float
    ) -> WholeReply | StreamedReply:
        """
        Send once.

        Args:
            credential_query: What goes first in the query; empty for nothing.
            connect_seconds: The longest wait for a connection, when it is shorter than that of all calls.
        """
        site = self._find_site(request.credential)
        head = site.form.render(request, credential_query)
        loop = asyncio.get_running_loop()
        now = loop.time()
        call_seconds = request.patience.call_seconds
        ends_at = math.inf if call_seconds is None else now + call_seconds
        until = min(now + min(self._timeouts.connect_seconds, connect_seconds), ends_at)
        effect = request.operation.effect
        pool = site.polls if effect is Effect.LONG_POLL else site.calls
        for tries in range(_TRIES):
            connection = pool.take(now, fresh=effect is Effect.DIALS)
            if connection is None:
                connection = await pool.wait(until, whose=request.caller_name, first=tries > 0)
                now = loop.time()
            transmission = Transmission(loop, connection, request, self._timeouts, ends_at)
            if transmission.begin(head):
                try:
                    await transmission.arrived
                except BaseException:
                    transmission.abandon()  # cancelled: its connection ends with it
                    raise
                return transmission.get_reply()
        raise UpstreamError(Reason.UPSTREAM_UNREACHABLE, Outcome.NOT_SENT)

    def _open_key(self, credential: Credential) -> Secret:
        try:
            return open_key(self._ring, credential)
        except SealError as error:
            # Told here and not only to the caller: it is the operator who can do something about it.
            _logger.error("a call was not sent: %s", error.detail)  # noqa: TRY400 - the seal's trace tells nothing more
            raise UpstreamError(Reason.CREDENTIAL_UNAVAILABLE, Outcome.NOT_SENT) from None

    def _find_site(self, credential: Credential) -> _Site:
        known = self._known.get(id(credential))
        if known is not None:
            return known[1]
        upstream = credential.upstream
        site = self._sites.get(upstream)
        if site is None:
            connector = Connector(upstream, self._timeouts.connect_seconds, self._buffers, self._ring, self._resolver)
            site = self._sites[upstream] = _Site(
                upstream, connector, self._connections, self._polls, self._follow_seconds
            )
        self._known[id(credential)] = (credential, site)
        return site

    def __repr__(self) -> str:
        return f"<PooledUpstreams: {list(self._sites.values())}>"


def _without(secret: bytes, reply: WholeReply | StreamedReply) -> WholeReply | StreamedReply:
    """
    A reply without the headers that hold what went first in the query.

    Whoever shows us our request must not show the caller our key (law 3). Bodies are passed on as they are, whatever is
    in them (contract section 5).
    """
    for _, value in reply.headers:
        if secret in value:
            reply.headers = tuple(header for header in reply.headers if secret not in header[1])
            break
    return reply


class _Site:
    """
    All that belongs to one upstream.

    Calls and dialling calls share a pool, so that they share its limit and its queue; polls are held long and many, and
    must not stand in the way of calls.
    """

    __slots__ = ("_follower", "_is_failing", "_name", "calls", "connector", "form", "polls")

    def __init__(
        self, upstream: Upstream, connector: Connector, connections: int, polls: int, follow_seconds: float
    ) -> None:
        self._name = upstream.name
        self._is_failing = False
        self.connector = connector
        self.form = HeadForm(upstream)
        self.calls = Pool(f"{upstream.name}, calls", self._open, connections)
        self.polls = Pool(f"{upstream.name}, polls", self._open, polls)
        self._follower = Follower(
            connector.look,
            (self.calls, self.polls),
            is_tunnelled=upstream.proxy is not None,
            interval_seconds=follow_seconds,
        )

    async def _open(self, home: Home) -> Connection:
        try:
            connection = await self.connector.open(home)
        except UpstreamError as error:
            if not self._is_failing:  # told once, however many calls meet it
                _logger.warning("%s cannot be reached: %s: %s", self._name, error.reason.code, error.detail)
            self._is_failing = True
            raise
        if self._is_failing:
            _logger.info("%s can be reached again", self._name)
        self._is_failing = False
        self._follower.wake()
        return connection

    def retire(self) -> None:
        """
        Close after the last running call.
        """
        self.calls.retire()
        self.polls.retire()

    async def close(self) -> None:
        """
        Close now.
        """
        self._follower.close()
        await self.calls.close()
        await self.polls.close()
        await self.connector.close()

    def __repr__(self) -> str:
        return f"<{self.calls!r} {self.polls!r}>"
