"""
A caller's transport, with what asyncio and uvloop leave to be known of it.

Whether anything still reaches the caller and how it is taken, what lies unread in the kernel, and how to end so that an
unfinished answer looks unfinished. Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios
from typing import Any, Final

from gateway.data_plane.inbound import CallerLeft, CallerStalled

__all__ = ["Wire", "render_address"]

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""struct linger: on, 0 seconds."""


class Wire:
    """
    One connection's transport.

    Attributes:
        peer: The address at its other end.
        is_lost: The connection is gone.
        writing_paused: More waits to be taken by the caller than the high-water mark allows.
    """

    __slots__ = (
        "_drained",
        "_loop",
        "_marked",
        "_reading_paused",
        "_transport",
        "is_lost",
        "peer",
        "writing_paused",
    )

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, *, high_water_bytes: int) -> None:
        self._transport = transport
        self._loop = loop
        self._drained: asyncio.Future[None] | None = None
        self._reading_paused = False
        self._marked = (0, 0)
        self.peer = render_address(transport.get_extra_info("peername"))
        self.is_lost = False
        self.writing_paused = False
        transport.set_write_buffer_limits(high=high_water_bytes)
        if not self.can_half_close:
            # A TLS transport that is paused reads on, until so many encrypted bytes wait: 256 KiB unless it is told.
            transport.set_read_buffer_limits(high=high_water_bytes)  # type: ignore[attr-defined] # TLS alone has it
        # asyncio does this only for sockets that name their protocol, which those of socket.create_server do not:
        # without it a second small answer waits 40 ms for the caller's delayed ACK.
        self._set_option(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def is_gone(self) -> bool:
        """
        Whether nothing that is written now can reach the caller.
        """
        return self.is_lost or self._transport.is_closing()

    @property
    def can_half_close(self) -> bool:
        """
        Whether one direction can be closed alone: asyncio's TLS cannot, and warns when asked to keep such a connection.
        """
        return self._transport.can_write_eof()

    @property
    def unsent_bytes(self) -> int:
        """
        What waits for the caller. Over TLS up to 64 KiB more wait below, of which no public method tells.
        """
        return self._transport.get_write_buffer_size()

    def send(self, data: bytes) -> bool:
        """
        Hand bytes to the transport; false when the connection is gone.
        """
        if self.is_gone:
            return False
        self._transport.write(data)
        return True

    async def drain(self, stalled_seconds: float) -> None:
        """
        Return when what waits is below the high-water mark.

        Raises:
            CallerLeft: The connection is gone.
            CallerStalled: For `stalled_seconds` nothing of it was taken.
        """
        while self.writing_paused:
            self.mark_progress()
            self._drained = self._loop.create_future()
            try:
                async with asyncio.timeout(stalled_seconds):
                    await self._drained
            except TimeoutError:
                if not self.has_progressed():
                    raise CallerStalled from None
            finally:
                self._drained = None
        if self.is_gone:
            raise CallerLeft

    def resume_writing(self) -> None:
        """
        The caller took enough, or is gone.
        """
        self.writing_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def mark_progress(self) -> None:
        """
        Remember how much waits.
        """
        self._marked = self.unsent_bytes, self._ask_kernel(termios.TIOCOUTQ)

    def has_progressed(self) -> bool:
        """
        Whether the caller has taken some of it since the last mark.

        The kernel holds megabytes and lets us write on only when a third of them is gone: a caller who takes little at
        a time would look like one who takes nothing.
        """
        ours, kernels = self._marked
        return self.unsent_bytes < ours or self._ask_kernel(termios.TIOCOUTQ) < kernels

    def pause_reading(self) -> None:
        """
        Read no more. A FIN or a reset is not seen any more either.
        """
        if not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """
        Read on.
        """
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    def count_unread_bytes(self) -> int:
        """
        Bytes that the kernel holds and nobody has read.
        """
        return self._ask_kernel(termios.FIONREAD)

    def _ask_kernel(self, request: int) -> int:
        """
        How many bytes it holds: to be read (FIONREAD), or not yet acknowledged by the other side (TIOCOUTQ).
        """
        sock = self._find_socket()
        if sock is None:
            return 0
        try:
            answer = fcntl.ioctl(sock.fileno(), request, bytes(4))
        except (OSError, ValueError):
            return 0  # the socket is closed already
        return int.from_bytes(answer, sys.byteorder)

    def half_close(self) -> None:
        """
        Send a FIN behind what waits, and go on reading. Does nothing when the connection is gone.
        """
        with contextlib.suppress(OSError):  # reset by the other side, and the loop has not come to it yet
            self._transport.write_eof()

    def close(self) -> None:
        """
        Close once what waits is taken. Nobody bounds that time but who calls `abort` or `reset`.
        """
        self._transport.close()

    def abort(self) -> None:
        """
        Close now.
        """
        self._transport.abort()

    def reset(self) -> None:
        """
        Close now, with a reset: a mere FIN ends a body without length, which the caller would take for complete.
        """
        if not self.is_lost:
            self._set_option(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._transport.abort()

    def _set_option(self, level: int, option: int, value: int | bytes) -> None:
        sock = self._find_socket()
        if sock is not None:
            with contextlib.suppress(OSError):  # the socket may be closed already
                sock.setsockopt(level, option, value)

    def _find_socket(self) -> socket.socket | None:
        """
        The socket, or None: a TLS transport that is lost gives it up a step of the loop before it tells us.
        """
        found: socket.socket | None = self._transport.get_extra_info("socket")
        return found


def render_address(peername: Any) -> str:
    """
    The address alone of what `getpeername` tells; IPv4-mapped IPv6 as IPv4, without a zone.
    """
    if not isinstance(peername, tuple) or not peername:
        return ""
    address = str(peername[0]).partition("%")[0]
    is_mapped = address.lower().startswith("::ffff:") and "." in address
    return address[len("::ffff:") :] if is_mapped else address
