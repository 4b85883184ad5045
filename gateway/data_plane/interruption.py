"""
How a call that waits is broken off by something other than what it waits for, without a task or a future of its own.

asyncio's own way to bound a wait, `asyncio.timeout`, is the model: the waiting task is cancelled from outside, and the
context manager turns that cancellation, and no other, into an ordinary end.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from gateway.upstream.request import UpstreamRequest

__all__ = ["Interruption"]


class Interruption:
    """
    While its task is inside, `call` breaks off what the task waits for, and the code behind the block goes on.

    Args:
        task: The one that will be inside. It is handed in because asking asyncio for it costs 1 us a call.
        request: What is being sent there, if anything. Once its whole reply has come nothing is broken off any more:
            that reply decides the outcome, even if whoever sends it has not been woken yet (law 2).
    """

    __slots__ = ("_is_inside", "_request", "_task", "was_made")

    def __init__(self, task: asyncio.Task[None], request: UpstreamRequest | None = None) -> None:
        self._task = task
        self._request = request
        self._is_inside = False
        self.was_made = False

    def __enter__(self) -> Self:
        self._is_inside = True
        return self

    def call(self) -> None:
        """
        Break off. Does nothing outside the block, and nothing a second time.
        """
        if self._is_inside:
            # Not here: whoever calls may be what the task itself is calling, and a running task must not be cancelled,
            # because that would hit whatever it waits for next, inside the block or not.
            asyncio.get_running_loop().call_soon(self._break_off)

    def call_unless_sent(self) -> bool:
        """
        Break off what has not been handed over to Noojee yet; returns whether that is so. Not for the task itself.
        """
        request = self._request
        if not self._is_inside or self.was_made or request is None or request.was_handed_over:
            return False
        self.was_made = True
        self._task.cancel()
        return True

    def _break_off(self) -> None:
        if not self._is_inside or self.was_made:
            return
        if self._request is not None and self._request.has_whole_reply:
            return
        self.was_made = True
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._is_inside = False
        if not self.was_made:
            return False
        is_only_ours = self._task.uncancel() == 0
        return is_only_ours and kind is not None and issubclass(kind, asyncio.CancelledError)

    def __repr__(self) -> str:
        return f"<Interruption{' made' if self.was_made else ''}>"
