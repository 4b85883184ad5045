"""
How many tokens expire soon: a number for metrics, counted now and then, because there may be a hundred thousand.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.access.token import EXPIRES_SOON
from gateway.clock import render_instant

if TYPE_CHECKING:
    from gateway.access.token_map import TokenMap
    from gateway.clock import Clock

__all__ = ["TokenExpiry"]

_REST_SECONDS = 60.0
_SLICE = 2_000
"""A fifth of a millisecond on the event loop."""


class TokenExpiry:
    """
    Counts on the event loop, in slices.

    Args:
        tokens: Those that can be used.
        clock: Tells what is soon.

    Attributes:
        expiring: How many of them expire within 30 days and have not yet, when they were last counted.
    """

    def __init__(self, tokens: TokenMap, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock
        self.expiring = 0

    @property
    def total(self) -> int:
        """
        How many tokens there are, expired ones included.
        """
        return len(self._tokens)

    async def follow(self) -> None:
        """
        Count once a minute, for ever.
        """
        while True:
            await self.count()
            await asyncio.sleep(_REST_SECONDS)

    async def count(self) -> None:
        """
        Count.
        """
        now = self._clock.now()
        # Texts of one form, which sort as the instants do.
        present, soon = render_instant(now), render_instant(now + EXPIRES_SOON)
        expiries = self._tokens.iterate_expiries(_SLICE)
        expiring = 0
        for piece in expiries:
            expiring += sum(1 for expires_at in piece if present < expires_at <= soon)
            await asyncio.sleep(0)
        self.expiring = expiring

    def __repr__(self) -> str:
        return f"<TokenExpiry: {self.expiring} of {self.total} soon>"
