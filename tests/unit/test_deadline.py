"""
A deadline that is moved.
"""

from __future__ import annotations

import asyncio

from gateway.deadline import Deadline


def test_a_deadline_is_shortened_and_never_put_off() -> None:
    """
    And where no time is set, none is by shortening.
    """

    async def story() -> list[str]:
        loop = asyncio.get_running_loop()
        told: list[str] = []
        both = asyncio.Event()

        def tell(name: str) -> None:
            told.append(name)
            if len(told) > 1:
                both.set()

        def create(name: str) -> Deadline:
            return Deadline(loop, lambda: tell(name))

        shortened, kept, cleared = create("shortened"), create("kept"), create("cleared")
        shortened.set(60)
        shortened.shorten(0.02)
        kept.set(0.01)
        kept.shorten(60)
        cleared.shorten(0.001)
        await asyncio.wait_for(both.wait(), 10)
        return told

    assert ["kept", "shortened"] == asyncio.run(story())
