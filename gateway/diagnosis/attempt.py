"""
A probe that is a call: its intent is on record before anything is sent, and its outcome after (laws 1 and 2).

It has no caller and no token; `actor` says who probes, `subject` which upstream. Everything sent this way reads, so one
that is broken off is `abandoned`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from gateway.audit.event import Tag
from gateway.clock import create_request_id
from gateway.errors import Reason, UpstreamError
from gateway.noojee.envelope import find_code, judge
from gateway.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from gateway.access.credential import Credential
    from gateway.access.upstream import Upstream
    from gateway.audit.event import Event
    from gateway.audit.journal import Journal
    from gateway.clock import Clock
    from gateway.noojee.catalogue import Operation
    from gateway.upstream.request import Reply

__all__ = ["Answered", "Attempts", "Holding"]

Holding: TypeAlias = "Callable[[], AbstractAsyncContextManager[Journal]]"
"""Gives the stream for one attempt. What enters it raises a `StorageError` or an `OperatorError` when it cannot."""

_LONGEST_SECONDS = 9.0
"""Less than another verb waits for the stream (10 s), whatever the handshake of the hash method takes before a call."""


class Answered(NamedTuple):
    """
    A whole reply.

    Attributes:
        body: None for one of more than 64 KiB, which was given up.
        code: The `Code` of its JSON, when there is one.
        asked_at: Monotonic seconds at which it was asked.
        answered_at: The same, when the reply was there.
    """

    status: int
    body: bytes | None
    code: int | None
    outcome: Outcome
    asked_at: float
    answered_at: float


class Attempts:
    """
    Makes calls on a stream of the journal.

    Args:
        hold: The stream.
        clock: Tells how long each took.
        actor: Who probes.
        policy_version: The registry's version by which it is done.
    """

    def __init__(self, hold: Holding, clock: Clock, actor: str, policy_version: int) -> None:
        self._hold = hold
        self._clock = clock
        self._actor = actor
        self._policy_version = policy_version

    async def make(
        self,
        operation: Operation,
        upstream: Upstream,
        credential: Credential | None,
        send: Callable[[], Awaitable[Reply]],
    ) -> Answered | UpstreamError:
        """
        Record, send once, record.

        Raises:
            StorageError: The intent is not on record, so nothing was sent.
            OperatorError: The same, where `hold` raises it.
        """
        async with self._hold() as journal:
            return await self._make(journal, operation, upstream, credential, send)

    async def _make(
        self,
        journal: Journal,
        operation: Operation,
        upstream: Upstream,
        credential: Credential | None,
        send: Callable[[], Awaitable[Reply]],
    ) -> Answered | UpstreamError:
        told: Event = {
            "request_id": create_request_id(),
            "attempt": 1,
            "operation": operation.name,
            "credential": credential.name if credential is not None else None,
            "owner": credential.owner if credential is not None else None,
        }
        intent = {"tag": Tag.CALL_INTENDED, "actor": self._actor, "subject": upstream.name, **told}
        await journal.record({**intent, "policy_version": self._policy_version, "decision": "allow"})
        # The intent is on disk. A crash from here on leaves it open; who takes the stream next closes it as `unknown`.
        asked_at = self._clock.monotonic()
        ended: Event = {"outcome": Outcome.ABANDONED}
        try:
            found = await self._send(operation, send, asked_at)
            ended = _describe(found)
        finally:
            duration_us = round((self._clock.monotonic() - asked_at) * 1_000_000)
            journal.record_soon({"tag": Tag.CALL_ENDED, **told, **ended, "duration_us": duration_us})
        return found

    async def _send(
        self, operation: Operation, send: Callable[[], Awaitable[Reply]], asked_at: float
    ) -> Answered | UpstreamError:
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                reply = await send()
        except UpstreamError as error:
            return error
        except TimeoutError:
            return UpstreamError(Reason.UPSTREAM_TIMEOUT, Outcome.ABANDONED)
        await reply.close()
        code = find_code(reply.body) if reply.body is not None else None
        outcome = judge(operation, reply.status, code)
        told = code if isinstance(code, int) else None
        return Answered(reply.status, reply.body, told, outcome, asked_at, self._clock.monotonic())


def _describe(found: Answered | UpstreamError) -> Event:
    if isinstance(found, UpstreamError):
        return {
            "outcome": found.outcome,
            "reason": found.reason.code,
            "upstream_status": found.upstream_status,
        }
    return {
        "outcome": found.outcome,
        "upstream_status": found.status,
        "noojee_code": found.code,
        "reply_bytes": len(found.body) if found.body is not None else None,
    }
