"""
The calls that are under way, and how they are ended by something other than their caller or Noojee.

A poll is ended when its token, caller, grant or credential goes, and when the worker drains; at the end of a drain
every call is. A call that still waits to be sent when what speaks for it goes is never sent. Ending a call is a wish:
the pipeline does it, answers and records.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

from gateway.access.upstream import AuthMethod
from gateway.data_plane.interruption import Interruption
from gateway.errors import Reason
from gateway.noojee.catalogue import Effect

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.access.grant import Grant
    from gateway.access.snapshot import Snapshot
    from gateway.data_plane.authentication import Standing
    from gateway.noojee.catalogue import Operation
    from gateway.upstream.request import UpstreamRequest

__all__ = ["Running", "RunningCall"]


class RunningCall:
    """
    One call from the moment its caller is known until its answer is out.

    Args:
        standing: Who calls.
        task: The one that leads the call.

    Attributes:
        ended: Why somebody wishes the call to end; None as long as nobody does.
    """

    __slots__ = ("_interruption", "_task", "ended", "grant", "operation", "standing")

    def __init__(self, standing: Standing, task: asyncio.Task[None]) -> None:
        self.standing = standing
        self._task = task
        self.operation: Operation | None = None
        self.grant: Grant | None = None
        self.ended: Reason | None = None
        self._interruption: Interruption | None = None

    @property
    def is_poll(self) -> bool:
        """
        Whether it is a long poll that has got as far as being decided.
        """
        return self.operation is not None and self.operation.effect is Effect.LONG_POLL

    def stands_in(self, snapshot: Snapshot) -> bool:
        """
        Whether a snapshot still has the call's token, and its grant with a key to send.

        Another key, another seal of the same one, another password for the proxy, or another way to show the key is no
        reason to end a call: rotating is not revoking.
        """
        token = snapshot.tokens.get(self.standing.digest)
        caller = snapshot.callers.get(token.caller_name) if token is not None else None
        if caller is None or self.grant is None:
            return caller is not None
        return any(
            # Most are the very same object, and thousands of polls may wait when something changes.
            grant.credential.is_available and (grant is self.grant or _without_key(grant) == _without_key(self.grant))
            for grant in caller.grants
            if grant.grant_id == self.grant.grant_id
        )

    def end(self, reason: Reason) -> None:
        """
        Wish the call to end. The first reason stays.
        """
        if self.ended is None:
            self.ended = reason
            if self._interruption is not None:
                self._interruption.call()

    def end_unless_sent(self, reason: Reason) -> None:
        """
        End the call if it waits to be sent, for a connection or a hash pair; leave it alone otherwise.
        """
        if self.ended is None and self._interruption is not None and self._interruption.call_unless_sent():
            self.ended = reason

    def interruptible(self, request: UpstreamRequest | None = None) -> Interruption:
        """
        A block in which `end` breaks off what the call waits for. An earlier wish stands in `ended` and does not.

        Args:
            request: As in `Interruption`.
        """
        self._interruption = Interruption(self._task, request)
        return self._interruption


class Running:
    """
    All of them. Lives on the event loop's thread.

    Attributes:
        draining: Whether no new call is taken any more, because the worker is ending.
    """

    def __init__(self) -> None:
        self._calls: set[RunningCall] = set()
        self._emptied: asyncio.Future[None] | None = None
        self.draining = False

    def add(self, call: RunningCall) -> None:
        """
        A call has begun.
        """
        self._calls.add(call)

    def discard(self, call: RunningCall) -> None:
        """
        A call's answer is out.
        """
        self._calls.discard(call)
        if not self._calls and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    def end(self, reason: Reason, which: Callable[[RunningCall], bool]) -> None:
        """
        Wish every call to end for which `which` says so.
        """
        for call in [call for call in self._calls if which(call)]:
            call.end(reason)

    def end_overtaken(self, snapshot: Snapshot) -> None:
        """
        End what a newer snapshot no longer allows: polls, and calls of which no byte was sent yet.

        Whatever was handed over rings already, or is written: it goes on to its answer.
        """
        for call in [call for call in self._calls if not call.stands_in(snapshot)]:
            if call.is_poll:
                call.end(Reason.CREDENTIAL_UNAVAILABLE)
            else:
                call.end_unless_sent(Reason.CREDENTIAL_UNAVAILABLE)

    async def wait_until_empty(self) -> None:
        """
        Return when no call is under way.
        """
        while self._calls:
            if self._emptied is None or self._emptied.done():
                self._emptied = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._emptied)  # others may wait for the same

    def count_polls(self) -> int:
        """
        How many of them are long polls.
        """
        return sum(1 for call in self._calls if call.is_poll)

    def __len__(self) -> int:
        return len(self._calls)

    def __repr__(self) -> str:
        return f"<Running: {len(self._calls)} calls>"


def _without_key(grant: Grant) -> Grant:
    upstream = dataclasses.replace(grant.credential.upstream, auth=AuthMethod.API_KEY)
    if upstream.proxy is not None:  # its password, too, is sealed anew when the master key is rotated
        upstream = dataclasses.replace(upstream, proxy=dataclasses.replace(upstream.proxy, sealed=None))
    return dataclasses.replace(grant, credential=dataclasses.replace(grant.credential, sealed=None, upstream=upstream))
