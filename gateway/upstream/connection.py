"""
One TLS connection to an upstream: bytes down and up, idle or busy, until it is lost.

Knows neither HTTP (`transmission` does) nor who waits for it (`pool` does). It carries one transmission at a time. Data
that nobody asked for, or an end, closes an idle connection; a connection is used again only after a whole reply with
nothing behind it.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from typing import TYPE_CHECKING, Protocol, cast

from gateway.deadline import Deadline
from gateway.upstream.tls_channel import RECORD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.upstream.request import UpstreamRequest
    from gateway.upstream.tls_channel import Resumption, TlsChannel

__all__ = ["Buffers", "Connection", "Home", "Traffic"]

_RECEIVE_BYTES = 32 * 1024
"""How much is received at once. A channel keeps this much memory once it was filled, so it is no more."""


class Buffers:
    """
    Where all connections of one event loop receive and decrypt: what is in them is used up before the next one does.
    """

    __slots__ = ("plain", "plain_view", "raw", "raw_view")

    def __init__(self) -> None:
        self.raw = bytearray(_RECEIVE_BYTES)
        self.raw_view = memoryview(self.raw)
        self.plain = bytearray(RECORD_BYTES)
        self.plain_view = memoryview(self.plain)


class Home(Protocol):
    """
    Where a connection belongs. Both are called on the event loop.
    """

    def freed(self, connection: Connection) -> None:
        """
        It carries nothing any more, and can be used again.
        """

    def lost(self, connection: Connection) -> None:
        """
        It is gone. Called once for each connection, also for one that never opened.
        """


class Traffic(Protocol):
    """
    What a connection carries. All are called on the event loop, and not again after `settle` said that it broke.

    Attributes:
        request: Marked when it is handed over.
        receive: Takes some of the reply, which is good until it returns.
    """

    request: UpstreamRequest
    receive: Callable[[memoryview], None]

    def settle(self, *, ended: bool = False, broken: bool = False) -> None:
        """
        All that was received has been given.

        Args:
            ended: The other side sends no more.
            broken: The connection is lost, or what came over it was altered.
        """

    def send_more(self) -> None:
        """
        What was written has been taken by the kernel.
        """

    def expire(self) -> None:
        """
        The deadline that was set has passed.
        """


class Connection(asyncio.BufferedProtocol):
    """
    One connection; made by `Connector`.

    Args:
        channel: Its TLS, before its handshake.
        verified_at: As in `Resumption.find`.
        resumption: Where its session is kept for others.

    Attributes:
        address: The IP address at its other end, once it is open.
        begun_at: Loop time at which it was begun.
        deadline: Tells what is carried that its time is over.
        home: Told when it is free or lost.
        idle_since: Loop time at which it became free.
        is_closing: Whether it can carry nothing any more.
        is_retired: Whether it carries nothing more after what it carries now.
        is_writing_paused: Whether the kernel has not yet taken all that was written.
        opened: Its result is None once the handshake is over, or why there is no connection.
    """

    __slots__ = (
        "_buffers",
        "_channel",
        "_has_kept_session",
        "_loop",
        "_resumption",
        "_traffic",
        "_transport",
        "_verified_at",
        "address",
        "begun_at",
        "deadline",
        "home",
        "idle_since",
        "is_closing",
        "is_retired",
        "is_writing_paused",
        "opened",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        channel: TlsChannel,
        home: Home,
        buffers: Buffers,
        resumption: Resumption,
        verified_at: float,
    ) -> None:
        self._loop = loop
        self._channel = channel
        self._buffers = buffers
        self._resumption = resumption
        self._verified_at = verified_at
        self._has_kept_session = False
        self._traffic: Traffic | None = None
        self._transport: asyncio.Transport | None = None
        self.deadline = Deadline(loop, self._expire)
        self.home = home
        self.address = ""
        self.begun_at = self.idle_since = loop.time()
        self.is_closing = False
        self.is_retired = False
        self.is_writing_paused = False
        self.opened: asyncio.Future[Exception | None] = loop.create_future()

    @property
    def is_resumed(self) -> bool:
        """
        Whether its handshake was a short one.
        """
        return self._channel.is_resumed

    def is_quiet(self) -> bool:
        """
        Whether the kernel holds nothing for it either: neither data nor an end that the loop has yet to come to.
        """
        if self._transport is None or self._transport.is_closing():
            return False
        look = select.poll()
        look.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not look.poll(0)

    def begin(self, traffic: Traffic, data: bytes) -> int | None:
        """
        Carry something, from now until `release` or `drop`. Returns how much of `data` was written.

        Args:
            data: Its first bytes.

        Returns:
            None when no byte was handed to the connection: it is closing, or busy.
        """
        transport = self._transport
        if transport is None or transport.is_closing() or self.is_closing or self._traffic is not None:
            return None
        try:
            sent = self._channel.write(data)
        except ssl.SSLError:
            self.abort()
            return None
        self._traffic = traffic
        # Law 2: from here on bytes may have left, whatever is learnt later.
        traffic.request.was_handed_over = True
        transport.write(self._channel.outgoing.read())
        return sent

    def write(self, data: memoryview) -> int:
        """
        Go on. Returns how much was written; less than all only until something was received.
        """
        if self._transport is None or self._transport.is_closing():
            return 0
        try:
            sent = self._channel.write(data)
        except ssl.SSLError:
            self.abort()
            return 0
        self._transport.write(self._channel.outgoing.read())
        return sent

    def pause_reading(self) -> None:
        """
        Receive no more for now. The other side's end is not noticed meanwhile.
        """
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """
        Receive again.
        """
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def release(self, *, allows_reuse: bool) -> None:
        """
        What was carried is over.

        Args:
            allows_reuse: Whether the reply was whole, had nothing behind it, and may be followed by another.
        """
        self._traffic = None
        self.deadline.clear()
        self.idle_since = self._loop.time()
        if not allows_reuse or self.is_closing or self.is_retired:
            self.close()
            return
        self.home.freed(self)

    def retire(self) -> None:
        """
        Close it now, or after what it carries.
        """
        self.is_retired = True
        if self._traffic is None:
            self.close()

    def drop(self) -> None:
        """
        Give up what is carried, in the middle.
        """
        self._traffic = None
        self.abort()

    def close(self) -> None:
        """
        End it, and say so to the other side.
        """
        if self.is_closing or self._transport is None:
            return
        if self.is_writing_paused:
            self.abort()  # what is still unsent would hold it open for as long as the other side likes
            return
        self.is_closing = True
        self._channel.sign_off()
        self._flush()
        self._transport.close()

    def end(self) -> None:
        """
        Close it if it is idle, and otherwise tell what it carries that it broke.
        """
        traffic, self._traffic = self._traffic, None
        if traffic is None:
            self.close()
            return
        self.abort()
        traffic.settle(broken=True)

    def abort(self) -> None:
        """
        End it at once.
        """
        self.is_closing = True
        if self._transport is not None:
            self._transport.abort()

    # What follows is called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        TCP is there: begin the handshake.
        """
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without being called so
        # Be told when the kernel has taken everything: from then on the reply is due.
        self._transport.set_write_buffer_limits(high=0)
        self._shake_hands()

    def get_buffer(self, _size_hint: int) -> bytearray:
        """
        Where to receive.
        """
        return self._buffers.raw

    def buffer_updated(self, size: int) -> None:
        """
        Something was received.
        """
        channel, buffers = self._channel, self._buffers
        received: memoryview | bytes = buffers.raw_view[:size]
        if not channel.is_open:
            if not self._shake_hands(received):
                return
            received = b""  # but there may be more behind the handshake
        traffic = self._traffic
        has_ended = is_broken = False
        try:
            has_ended = channel.decrypt(
                received, buffers.plain, buffers.plain_view, self._refuse if traffic is None else traffic.receive
            )
        except ssl.SSLError:
            is_broken = True
        if channel.outgoing.pending:
            self._flush()  # a key update's answer
        if not self._has_kept_session:
            # Here, and not at the first reply: a poll's may be a minute away, and thousands may follow it.
            self._has_kept_session = self._resumption.keep(channel, self._verified_at, self._loop.time())
        if traffic is not None:
            traffic.settle(ended=has_ended, broken=is_broken)
        if has_ended or is_broken:
            self.close()

    def eof_received(self) -> bool:
        """
        The other side has ended without having signed it.
        """
        if self._traffic is not None:
            self._traffic.settle(ended=True)
        self.abort()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """
        It is gone, by whoever's doing.
        """
        self.is_closing = True
        self.deadline.close()
        if not self.opened.done():
            self.opened.set_result(error or ConnectionResetError())
        traffic, self._traffic = self._traffic, None
        if traffic is not None:
            traffic.settle(broken=True)
        self.home.lost(self)

    def pause_writing(self) -> None:
        """
        The kernel takes no more for now.
        """
        self.is_writing_paused = True

    def resume_writing(self) -> None:
        """
        The kernel has taken all.
        """
        self.is_writing_paused = False
        if self._traffic is not None:
            self._traffic.send_more()

    def _refuse(self, _data: memoryview) -> None:
        """
        Nobody asked for this: the next reply on it could be anybody's.
        """
        self.close()

    def _shake_hands(self, received: memoryview | bytes = b"") -> bool:
        try:
            is_over = self._channel.shake_hands(received)
        except ssl.SSLError as error:
            if not self.opened.done():
                self.opened.set_result(error)
            self._flush()  # an alert, which tells the other side's operator what is wrong
            self.abort()
            return False
        self._flush()
        if is_over:
            if not self._channel.is_resumed:
                self._verified_at = self._loop.time()
            if not self.opened.done():
                self.opened.set_result(None)
        return is_over

    def _flush(self) -> None:
        if self._transport is not None and not self._transport.is_closing() and (data := self._channel.outgoing.read()):
            self._transport.write(data)

    def _expire(self) -> None:
        if self._traffic is not None:
            self._traffic.expire()

    def __repr__(self) -> str:
        if self.is_closing:
            state = "closed"
        elif not self._channel.is_open:
            state = "opening"
        else:
            state = "idle" if self._traffic is None else "busy"
        return f"<Connection {state}{', resumed' if self.is_resumed else ''}>"
