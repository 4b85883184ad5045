"""
What goes up and what comes back, as values: the interface between the pipeline and whatever sends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from gateway.noojee.catalogue import Effect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.access.credential import Credential
    from gateway.noojee.catalogue import Operation

__all__ = [
    "BUFFER_LIMIT_BYTES",
    "CONNECTIONS_LIMIT",
    "POLLS_LIMIT",
    "Patience",
    "Reply",
    "Timeouts",
    "UpstreamRequest",
    "Upstreams",
]

CONNECTIONS_LIMIT = 100
"""
For calls to one upstream: half of what Tomcat works on at a time unless it is told otherwise (`maxThreads` 200), so
that Noojee's own users find a thread whatever our callers do.
"""

POLLS_LIMIT = 10_000
"""For long polls to one upstream: as many as callers' connections are held (`GATEWAY_MAX_CONNECTIONS`)."""

BUFFER_LIMIT_BYTES = 64 * 1024
"""Replies up to this size are whole before anything goes down (contract section 5)."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """
    How long we wait for Noojee, in seconds; the defaults are the contract's (section 5).
    """

    connect_seconds: float = 5.0
    send_seconds: float = 10.0
    read_reply_seconds: float = 30.0
    write_reply_seconds: float = 60.0
    lead_reply_seconds: float = 75.0
    poll_margin_seconds: float = 10.0
    between_bytes_seconds: float = 60.0
    call_seconds: float = 600.0

    def for_call(self, operation: Operation, poll_seconds: int = 0) -> Patience:
        """
        The waits of one call.

        Args:
            poll_seconds: What a long poll asks the server to wait; ignored for every other effect.
        """
        if operation.effect is Effect.LONG_POLL:
            return Patience(poll_seconds + self.poll_margin_seconds, None, self.between_bytes_seconds)
        if operation.is_lead_call:
            reply_seconds = self.lead_reply_seconds
        elif operation.effect is Effect.READ:
            reply_seconds = self.read_reply_seconds
        else:
            reply_seconds = self.write_reply_seconds
        if operation.is_recording_call:
            return Patience(reply_seconds, None, self.between_bytes_seconds)
        return Patience(reply_seconds, self.call_seconds)


@dataclass(frozen=True, slots=True)
class Patience:
    """
    The waits of one call, in seconds.

    Attributes:
        reply_seconds: For the reply's head.
        call_seconds: For the whole call; None where it has no end.
        between_bytes_seconds: Between the bytes of the reply's body; infinite where the whole call has an end.
    """

    reply_seconds: float
    call_seconds: float | None
    between_bytes_seconds: float = math.inf


@dataclass(slots=True)
class UpstreamRequest:
    """
    One attempt.

    Attributes:
        credential: Whose key goes first in the query; opened while sending, never before.
        operation: Its path's bytes are what goes up.
        query: Raw, without credential parameters.
        headers: Beside those that the sender adds: Content-Type, Accept, Accept-Language.
        was_handed_over: Set by the sender before the first byte is handed to the connection. While it is False the
            call is proven `not_sent`; it stays readable after a cancelled send.
        has_whole_reply: Set by the sender when all of a reply has come, before whoever waits for it is woken. From then
            on nothing may break the call off: the reply decides its outcome (law 2), however much of it went down.
        used_accepted_pair: Set by the sender: whether it used a hash pair with which an earlier call had succeeded.
        caller_name: Whose call it is: where calls wait for a connection, callers take turns.
    """

    credential: Credential
    operation: Operation
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    patience: Patience
    was_handed_over: bool = field(default=False)
    has_whole_reply: bool = field(default=False)
    used_accepted_pair: bool = field(default=False)
    caller_name: str = field(default="")

    def again(self) -> UpstreamRequest:
        """
        The same request as another attempt, of which nothing is known yet.
        """
        return replace(self, was_handed_over=False, has_whole_reply=False, used_accepted_pair=False)

    def __repr__(self) -> str:
        return f"<UpstreamRequest {self.operation.name} with {self.credential!r}>"


class Reply(Protocol):
    """
    Noojee's answer, whose head is complete.

    Either `body` is there and whole, or `chunks()` gives the rest as it comes.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes | None

    def chunks(self) -> AsyncIterator[bytes]:
        """
        The body piece by piece, once; for a reply whose `body` is None.

        Raises:
            UpstreamError: `upstream_broke` or `upstream_timeout`, outcome `unknown`, when it does not end whole.
        """
        ...

    async def close(self) -> None:
        """
        Give the reply up; its connection is closed when the body is not whole. Idempotent.
        """
        ...


class Upstreams(Protocol):
    """
    Whatever sends.
    """

    async def send(self, request: UpstreamRequest) -> Reply:
        """
        Send once, and wait for the head and, up to 64 KiB, the body of the reply.

        Safe to call concurrently. Never sends twice. A cancelled send closes its connection; `was_handed_over` then
        tells what is proven.

        Raises:
            UpstreamError: With the outcome that is known: `not_sent` only when no byte was handed to a connection.
        """
        ...

    async def close(self) -> None:
        """
        Close every connection. For the end of the process, after the last call.
        """
        ...
