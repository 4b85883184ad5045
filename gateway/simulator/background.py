"""
A simulator on a thread of its own, for callers that are not asynchronous.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from gateway.simulator.hash_pairs import FIRST_USE_SECONDS, LIFETIME_SECONDS
from gateway.simulator.server import LOOPBACK, Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["run_in_background"]

_PATIENCE_SECONDS = 15


@contextlib.contextmanager
def run_in_background(
    data_dir: Path,
    *,
    allow: Sequence[str] = LOOPBACK,
    user_logins: Sequence[str] = ("alice",),
    pair_first_use_seconds: float = FIRST_USE_SECONDS,
    pair_lifetime_seconds: float = LIFETIME_SECONDS,
    host: str = "127.0.0.1",
    port: int = 0,
) -> Iterator[Simulator]:
    """
    A started simulator for the length of a `with` block. Its errors at start are raised here.
    """
    simulator = Simulator(
        data_dir,
        allow=allow,
        user_logins=user_logins,
        pair_first_use_seconds=pair_first_use_seconds,
        pair_lifetime_seconds=pair_lifetime_seconds,
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="simulator", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(simulator.start(host, port), loop).result(_PATIENCE_SECONDS)
        try:
            yield simulator
        finally:
            asyncio.run_coroutine_threadsafe(simulator.stop(), loop).result(_PATIENCE_SECONDS)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE_SECONDS)
        loop.close()
