"""
How the node is, asked of its workers over their sockets: what a worker does not say of itself nobody else knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

from gateway.readiness import ASKING, Readiness, State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["ask_workers"]

_PATIENCE_SECONDS = 1.0
"""A worker answers between two calls. One that does not within this time serves nobody either."""

_WORST_FIRST = (State.UNREADY, State.DRAINING, State.DEGRADED, State.READY)


async def ask_workers(run_dir: Path, *, patience_seconds: float = _PATIENCE_SECONDS) -> Readiness:
    """
    How the worst of the workers is; unready when there is none. One that leaves counts only where it is the last.

    A socket on which nobody listens was left behind by a worker that was killed, and counts for nothing.
    """
    found = await asyncio.gather(*(_ask(path, patience_seconds) for path in _find_sockets(run_dir)))
    return _find_worst([each for each in found if each is not None])


def _find_sockets(run_dir: Path) -> list[Path]:
    return sorted(run_dir.glob("worker-*.sock"))


def _find_worst(found: Sequence[Readiness]) -> Readiness:
    if not found:
        return Readiness(State.UNREADY, {"worker": "not running"})
    staying = [each for each in found if not each.details.get("leaving")]
    return min(staying or found, key=lambda each: _WORST_FIRST.index(each.state))


async def _ask(path: Path, patience_seconds: float) -> Readiness | None:
    """
    How one worker is; None when it is gone.
    """
    try:
        async with asyncio.timeout(patience_seconds):
            reader, writer = await asyncio.open_unix_connection(os.fspath(path))
            try:
                writer.write(ASKING)
                return Readiness.parse(await reader.readline())
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except (OSError, ValueError):  # TimeoutError is an OSError; an answer cut short is no JSON
        return Readiness(State.UNREADY, {"worker": "does not answer"})
