"""
An upstream that says what it is told to, and stories played with a sender on both event loops.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from scripted_upstream import ScriptedUpstream, run_scripted_upstream
from way_up import RING

from gateway.upstream.client import PooledUpstreams
from gateway.upstream.request import Timeouts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedUpstream]:
    """
    One that runs.
    """
    with run_scripted_upstream(tmp_path_factory.mktemp("scripted")) as upstream:
        yield upstream


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest) -> Callable[..., None]:
    """
    Runs a story with a sender, and closes that at its end; more arguments are the sender's.
    """

    def run(story: Callable[[PooledUpstreams], Awaitable[None]], **more: Any) -> None:
        async def perform() -> None:
            sender = PooledUpstreams(ring=RING, **{"timeouts": Timeouts(connect_seconds=3.0), **more})
            try:
                await story(sender)
            finally:
                await sender.close()

        request.param(perform())

    return run
