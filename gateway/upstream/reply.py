"""
A reply on its way down: whole when it is short, piece by piece when it is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = ["StreamedReply", "WholeReply"]


class WholeReply:
    """
    A `Reply` whose body is there; nothing is open behind it.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: tuple[tuple[bytes, bytes], ...], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body: bytes | None = body

    async def chunks(self) -> AsyncIterator[bytes]:
        """
        See `Reply.chunks`: the body at once.
        """
        if self.body:
            yield self.body

    async def close(self) -> None:
        """
        See `Reply.close`.
        """

    def __repr__(self) -> str:
        return f"<WholeReply {self.status}, {len(self.body or b'')} bytes>"


class _Source(Protocol):
    """
    Where the pieces of a streamed reply come from.
    """

    async def next_piece(self) -> bytes | None:
        """
        The next one; None at the end; an `UpstreamError` when it does not end whole.
        """

    def abandon(self) -> None:
        """
        Nobody wants more. Idempotent.
        """


class StreamedReply:
    """
    A `Reply` whose body is on the way.

    Attributes:
        on_whole: Called once, when the whole reply has come; never for one that has not.
    """

    __slots__ = ("_source", "body", "headers", "on_whole", "status")

    def __init__(self, source: _Source, status: int, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        self._source = source
        self.status = status
        self.headers = headers
        self.body: bytes | None = None
        self.on_whole: Callable[[], None] | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """
        See `Reply.chunks`.
        """
        while (piece := await self._source.next_piece()) is not None:
            yield piece
        if self.on_whole is not None:
            self.on_whole()

    async def close(self) -> None:
        """
        See `Reply.close`.
        """
        self._source.abandon()

    def __repr__(self) -> str:
        return f"<StreamedReply {self.status}>"
