"""
Every bound of a caller's connection, in one value.

The numbers are contract section 4's unless a line says otherwise. Nothing here acts; `head`, `body` and `door` do.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Bounds"]

_SOURCES_AT_LEAST = 4
"""How many sources it takes to exhaust the connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """
    How much, how long and how many. Sizes count bytes on the wire, times run from the event that their line names.
    """

    request_line_bytes: int = 16 * 1024
    """The request line without its CRLF; above it 414."""

    head_bytes: int = 32 * 1024
    """Request line, headers and the empty line together; above it 431."""

    body_bytes: int = 1024 * 1024
    """The body after chunked decoding; above it 413."""

    chunk_line_bytes: int = 1024
    """One chunk's size with its extensions, which llhttp and RFC 9112 section 7.1.1 leave unbounded."""

    chunk_framing_bytes: int = 128 * 1024
    """All but the data of a chunked body: 1 MiB passes in chunks of 64 bytes; in single bytes it would cost seconds."""

    empty_line_bytes: int = 64
    """Empty lines before a request line (RFC 9112 section 2.2 asks to skip one), which llhttp skips without bound."""

    waiting_bytes: int = 64 * 1024
    """Bytes that may wait behind a running call before reading pauses, and our write buffer's high-water mark."""

    body_room_bytes: int = 256 * 1024 * 1024
    """All bodies of one worker that are larger than `waiting_bytes`; the next one is read when there is room. Ours."""

    handshake_seconds: float = 10.0
    """The TLS handshake, from accept."""

    head_seconds: float = 10.0
    """A head, from its first byte (408); also a fresh connection's first byte, from accept (closed, none was read)."""

    body_seconds: float = 60.0
    """The body, from when the call asks for it (408)."""

    last_body_seconds: float = 2.0
    """The body, from when the worker ends or hands its place on, or from when the call asks after that (503). Ours."""

    keep_alive_seconds: float = 75.0
    """An idle connection, from its last answer. uvicorn's 5 s meets the JDK's own 5 s: a race that calls lose."""

    stalled_seconds: float = 60.0
    """A caller that takes nothing of what we write."""

    linger_seconds: float = 2.0
    """How long we read and drop after a last answer, so that a reset does not take it from the caller. Ours."""

    linger_bytes: int = 16 * 1024 * 1024
    """How much is dropped in that time. Ours: sixteen of the largest bodies."""

    connections: int = 10_000
    """Connections that are served; the next one gets 503 `connections_exhausted`."""

    source_connections: int | None = None
    """Of them, those that one source may hold: an IPv4 address or an IPv6 /64. None for a quarter, at least one."""

    refused_connections: int = 256
    """Connections above the cap that may wait for their 503 at one time; beyond them they are closed unread. Ours."""

    @property
    def source_share(self) -> int:
        """
        How many connections one source may hold.
        """
        if self.source_connections is not None:
            return self.source_connections
        return max(self.connections // _SOURCES_AT_LEAST, 1)
