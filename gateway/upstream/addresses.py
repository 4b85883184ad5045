"""
Where a name leads, asked anew for each connection and kept nowhere: what DNS says is what we do.

Beside the resolver stands the follower, which asks again while connections are open, so that one to an address that the
name no longer has carries no further call.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.upstream.connection import Connection
    from gateway.upstream.pool import Pool

__all__ = ["FOLLOW_SECONDS", "Address", "Follower", "Resolver", "resolve"]

FOLLOW_SECONDS = 15.0
"""How often a name is asked again: a change right after it is followed within half a minute, asking included."""


class Address(NamedTuple):
    """
    An IP address as text, and its family as the socket module numbers it.
    """

    text: str
    family: int


Resolver: TypeAlias = Callable[[str, int], Awaitable[list[Address]]]
"""From a host name or address and a port to addresses, the best first; raises an `OSError` when there are none."""


async def resolve(host: str, port: int) -> list[Address]:
    """
    What the system's resolver says, in the order in which it says it (RFC 6724).

    Raises:
        OSError: The name has no address, or nobody answers.
        UnicodeError: It cannot be a name, because a part of it is too long.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(Address(str(sockaddr[0]), int(family)) for family, _, _, _, sockaddr in found))


class Follower:
    """
    Retires connections to addresses that their name no longer has. Lives on its event loop.

    A name that cannot be resolved for the moment changes nothing: what is open still leads to Noojee, as far as anybody
    knows. Only through a proxy it does not tell where Noojee is, and old connections are retired all the same.

    Args:
        look: Where the name leads now.
        pools: Whose connections follow it.
        is_tunnelled: Whether a proxy resolves the upstream's name, unseen by us; then a connection that is older than
            one interval is retired whatever `look` says.
        interval_seconds: How often to look.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[list[Address]]],
        pools: Collection[Pool],
        *,
        is_tunnelled: bool,
        interval_seconds: float = FOLLOW_SECONDS,
    ) -> None:
        self._look = look
        self._pools = pools
        self._is_tunnelled = is_tunnelled
        self._interval_seconds = interval_seconds
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """
        A connection was opened: look from now on, until none is left.
        """
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._follow())

    def close(self) -> None:
        """
        Look no more.
        """
        if self._task is not None:
            self._task.cancel()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._interval_seconds)
            if not any(pool.has_connections for pool in self._pools):
                return
            named = None
            with contextlib.suppress(OSError, TimeoutError, UnicodeError):
                async with asyncio.timeout(self._interval_seconds):
                    named = {address.text for address in await self._look()}
            self._retire(named)

    def _retire(self, named: set[str] | None) -> None:
        oldest = asyncio.get_running_loop().time() - self._interval_seconds

        def is_due(connection: Connection) -> bool:
            is_gone = named is not None and connection.address not in named
            return is_gone or (self._is_tunnelled and connection.begun_at <= oldest)

        for pool in self._pools:
            pool.retire_those(is_due)

    def __repr__(self) -> str:
        return f"<Follower {'looking' if self._task is not None and not self._task.done() else 'at rest'}>"
