"""
TLS without a socket: what is received goes in, what is to be sent comes out.

The loops have a TLS of their own; this one stands in its place because it holds no buffer for each connection (asyncio
keeps 256 KiB), behaves alike on both loops, and tells an end that the other side has signed (close_notify) from a
connection that merely ends. docs/decisions/0010-the-pool.md has the figures.

Law 5 holds here as far as the context has it; the host name is checked in each full handshake, and a session is resumed
only for the upstream with which it was made (`Resumption`).
"""

from __future__ import annotations

import contextlib
import math
import ssl
from typing import TYPE_CHECKING

from gateway.upstream.trust import check_pin

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RECORD_BYTES", "Resumption", "TlsChannel"]

RECORD_BYTES = 16 * 1024
"""What one record can hold (RFC 8446 section 5.1), and so the most that is decrypted at once."""

_LONGEST_TRUST_SECONDS = 3600.0
"""How long after a certificate was seen its session may be resumed: a certificate is looked at again every hour."""

_KEEP_SECONDS = 30.0
"""How old a kept session may be before the next connection's takes its place: each is copied out whole."""


class TlsChannel:
    """
    The client's side of one TLS connection.

    Args:
        context: Whom to trust.
        host: The name or address that the certificate must have.
        session: To be resumed if the other side agrees; a full handshake if it does not.
        pins: Of which the certificate's key must have one, when there are any. Looked at in each full handshake; a
            session comes from one.

    Attributes:
        is_open: Whether the handshake is over.
        outgoing: Where what is to be sent can be read.
    """

    __slots__ = ("_incoming", "_object", "_pins", "is_open", "outgoing")

    def __init__(
        self, context: ssl.SSLContext, host: str, session: ssl.SSLSession | None, pins: tuple[str, ...] = ()
    ) -> None:
        self._pins = pins
        self._incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self.outgoing, server_hostname=host, session=session)
        self.is_open = False

    def shake_hands(self, received: memoryview | bytes = b"") -> bool:
        """
        Go on with the handshake as far as what was received allows; whether it is over.

        Raises:
            ssl.SSLCertVerificationError: Whoever is there is not whom we trust, or lacks the pinned key.
            ssl.SSLError: It speaks no TLS that we accept.
        """
        self._incoming.write(received)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        if self._pins and not self._object.session_reused:
            check_pin(self._object.getpeercert(binary_form=True), self._pins)
        self.is_open = True
        return True

    def decrypt(
        self, received: memoryview | bytes, buffer: bytearray, view: memoryview, take: Callable[[memoryview], None]
    ) -> bool:
        """
        Give on what was received, a record at a time.

        Args:
            buffer: At least `RECORD_BYTES` long, used up before this returns.
            view: Of the buffer.
            take: Called with each piece, which is good until it returns.

        Returns:
            Whether the other side has signed the end of its data.

        Raises:
            ssl.SSLError: What was received was altered, or is no TLS. What came before it was given on.
        """
        incoming, pending = self._incoming, self._object.pending
        read: Callable[[int, bytearray], int] = self._object.read  # type: ignore[assignment]  # a count, with a buffer
        incoming.write(received)
        try:
            # Asked first, because the exception costs more than the decryption of a short reply.
            while incoming.pending or pending():
                size = read(RECORD_BYTES, buffer)
                if not size:
                    return True
                take(view[:size])
        except ssl.SSLWantReadError:
            pass
        return False

    def write(self, data: bytes | memoryview) -> int:
        """
        Encrypt; `outgoing` has the result.

        Returns:
            How many bytes were taken: all, but when the other side asks for a new handshake in the middle; then the
            rest can go after something was received.

        Raises:
            ssl.SSLError: Nothing can be sent any more.
        """
        size = len(data)
        sent = 0
        try:
            sent = self._object.write(data)
            while sent < size:
                sent += self._object.write(memoryview(data)[sent:])
        except ssl.SSLWantReadError:
            pass
        return sent

    def sign_off(self) -> None:
        """
        Say that nothing more comes from us (close_notify); `outgoing` has it.
        """
        with contextlib.suppress(ssl.SSLError):  # the other side need not have said so too
            self._object.unwrap()

    @property
    def is_resumed(self) -> bool:
        """
        Whether the handshake was a short one.
        """
        return bool(self._object.session_reused)

    @property
    def certificate(self) -> bytes | None:
        """
        The other side's, DER; None after a short handshake with TLS 1.3, which shows none.
        """
        return self._object.getpeercert(binary_form=True)

    @property
    def version(self) -> str | None:
        """
        What was agreed on, as in `TLSv1.3`.
        """
        return self._object.version()

    @property
    def session(self) -> ssl.SSLSession | None:
        """
        What a later handshake can resume; None while there is nothing yet. With TLS 1.3 it comes behind the handshake.
        """
        session = self._object.session
        if session is None or (self._object.version() == "TLSv1.3" and not session.has_ticket):
            return None
        return session

    def __repr__(self) -> str:
        state = self._object.version() if self.is_open else "shaking hands"
        return f"<TlsChannel {state}{', resumed' if self.is_resumed else ''}>"


class Resumption:
    """
    The TLS session of one upstream, so that a further connection costs a short handshake.

    Args:
        is_possible: False for a context that looks at certificates outside of OpenSSL (the system's store on macOS):
            a resumed handshake shows none.
    """

    __slots__ = ("_is_possible", "_kept_at", "_session", "_verified_at")

    def __init__(self, *, is_possible: bool = True) -> None:
        self._is_possible = is_possible
        self._session: ssl.SSLSession | None = None
        self._kept_at = -math.inf
        self._verified_at = -math.inf

    def find(self, now: float) -> tuple[ssl.SSLSession | None, float]:
        """
        A session to resume, and when the certificate behind it was verified: `now` where there is no session.
        """
        if self._session is None or now >= self._verified_at + _LONGEST_TRUST_SECONDS:
            return None, now
        return self._session, self._verified_at

    def keep(self, channel: TlsChannel, verified_at: float, now: float) -> bool:
        """
        Remember the session of a channel, if there is one yet; False if that is to be asked again.

        Args:
            verified_at: What `find` said when the channel was made, if it was resumed; else when it was opened.
        """
        is_recent = now < self._kept_at + _KEEP_SECONDS and channel.is_resumed  # else it was of no use to this channel
        if not self._is_possible or is_recent:
            return True
        session = channel.session
        if session is None:
            return False
        self._session, self._kept_at, self._verified_at = session, now, verified_at
        return True

    def __repr__(self) -> str:
        return f"<Resumption {'with' if self._session is not None else 'without'} a session>"
