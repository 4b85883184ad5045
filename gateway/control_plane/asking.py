"""
How the node is, asked of its workers over their sockets: what a worker does not say of itself nobody else knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

from gateway.readiness import Readiness, State
from gateway.run_folder import ASK_READINESS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["ask", "ask_workers", "find_sockets"]

_PATIENCE_SECONDS = 1.0
"""A worker answers between two calls. One that does not within this time serves nobody either."""

_LIMIT_BYTES = 64 * 1024

_WORST_FIRST = (State.UNREADY, State.DRAINING, State.DEGRADED, State.READY)


async def ask_workers(run_dir: Path, *, patience_seconds: float = _PATIENCE_SECONDS) -> Readiness:
    """
    How the worst of the workers is; unready when there is none. One that leaves counts only where it is the last.

    A socket on which nobody listens was left behind by a worker that was killed, and counts for nothing.
    """
    found = await asyncio.gather(*(_ask(path, patience_seconds) for path in find_sockets(run_dir)))
    return _find_worst([each for each in found if each is not None])


def find_sockets(run_dir: Path) -> list[Path]:
    """
    The sockets of all workers, also of those that were killed.
    """
    return sorted(run_dir.glob("worker-*.sock"))


def _find_worst(found: Sequence[Readiness]) -> Readiness:
    if not found:
        return Readiness(State.UNREADY, {"worker": "not running"})
    staying = [each for each in found if not each.details.get("leaving")]
    return min(staying or found, key=lambda each: _WORST_FIRST.index(each.state))


async def ask(path: Path, question: bytes, patience_seconds: float, limit_bytes: int = _LIMIT_BYTES) -> bytes:
    """
    The one line with which a worker answers; less than a line when it dies over it.

    Args:
        path: Its socket.
        question: A line.
        patience_seconds: How long all of it may take.
        limit_bytes: The longest line that is taken.

    Raises:
        FileNotFoundError: There is no such worker.
        ConnectionRefusedError: There is no such worker any more.
        OSError: It does not answer, or not in time.
        ValueError: It says too much.
    """
    async with asyncio.timeout(patience_seconds):
        reader, writer = await asyncio.open_unix_connection(os.fspath(path), limit=limit_bytes)
        try:
            writer.write(question)
            return await reader.readline()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _ask(path: Path, patience_seconds: float) -> Readiness | None:
    """
    How one worker is; None when it is gone.
    """
    try:
        return Readiness.parse(await ask(path, ASK_READINESS, patience_seconds))
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except (OSError, ValueError):  # TimeoutError is an OSError; an answer cut short is no JSON
        return Readiness(State.UNREADY, {"worker": "does not answer"})
