"""
A sender on a scripted upstream, and what comes of a request as one value that can be compared.
"""

from __future__ import annotations

import dataclasses
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.access.credential import Credential, Kind
from gateway.access.upstream import Upstream
from gateway.custody import Ring, seal_key
from gateway.errors import UpstreamError
from gateway.noojee.catalogue import load_catalogue
from gateway.secret import Secret
from gateway.upstream.request import Patience, UpstreamRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripted_upstream import ScriptedUpstream

    from gateway.upstream.request import Reply, Upstreams

KEY = "7f0e1b52-1111-4222-8333-abcdefabcdef"
RING = Ring({1: secrets.token_bytes(32)}, Path("nowhere"))
START = "CallManagementAPI/start"
DIAL = "CallManagementAPI/dial"
POLL = "CallManagementAPI/subscribe"
PATIENCE = Patience(10.0, 20.0)


def create_credential(
    upstream: ScriptedUpstream, *, host: str = "127.0.0.1", port: int | None = None, ca_pem: str | None = None
) -> Credential:
    """
    A global key for a scripted upstream, or for whoever is at another port.
    """
    there = Upstream("noojee", host, port or upstream.port, ca_pem=ca_pem or upstream.ca_pem)
    credential = Credential("c1", "everything", there, Kind.GLOBAL, None, None)
    return dataclasses.replace(credential, sealed=seal_key(RING, Secret(KEY), credential))


def create_request(
    credential: Credential,
    query: bytes,
    *,
    operation: str = START,
    body: bytes = b"",
    headers: Sequence[tuple[bytes, bytes]] = (),
    patience: Patience = PATIENCE,
) -> UpstreamRequest:
    """
    A request for a script.
    """
    found = load_catalogue().find_by_name(operation)
    if found is None:
        raise LookupError(operation)
    return UpstreamRequest(credential, found, query, headers, body, patience)


@dataclass(frozen=True)
class Result:
    """
    What came of a request.

    Attributes:
        status: Of the reply; for an error the status line's, if one arrived.
        body: As far as it came; None where there was no reply.
        reason: Of an error; None for a whole reply.
        outcome: The same.
        was_streamed: Whether the reply was given before its body was whole.
    """

    status: int | None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes | None = None
    reason: str | None = None
    outcome: str | None = None
    was_streamed: bool = False
    was_handed_over: bool = True

    def __repr__(self) -> str:
        size = "no body" if self.body is None else f"{len(self.body)} bytes {self.body[:20]!r}"
        streamed = ", streamed" if self.was_streamed else ""
        return f"<{self.reason or 'whole'} {self.status} {size}{streamed}, {self.headers}>"


async def fetch(sender: Upstreams, request: UpstreamRequest) -> Result:
    """
    Send, and take all that comes.
    """
    try:
        reply = await sender.send(request)
    except UpstreamError as error:
        return Result(
            error.upstream_status,
            reason=error.reason.code,
            outcome=error.outcome.value,
            was_handed_over=request.was_handed_over,
        )
    try:
        return await _take(reply)
    finally:
        await reply.close()


async def _take(reply: Reply) -> Result:
    if reply.body is not None:
        return Result(reply.status, reply.headers, reply.body)
    body = b""
    try:
        async for chunk in reply.chunks():
            body += chunk
    except UpstreamError as error:
        # How much came before the break depends on how it was cut up, and nobody may count on it.
        return Result(error.upstream_status, reply.headers, b"", error.reason.code, error.outcome.value, True)
    return Result(reply.status, reply.headers, body, was_streamed=True)
