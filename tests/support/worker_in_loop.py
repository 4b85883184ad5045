"""
A worker in the test's own event loop, where its clock is in the test's hand and its system calls can be held.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from installation import call

from gateway.clock import SystemClock
from gateway.data_plane.worker import Worker, WorkerPlan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from installation import Installation, Response

    from gateway.clock import Clock


class HandHeldClock:
    """
    A clock that stands until it is moved.
    """

    def __init__(self) -> None:
        self._now = datetime.now(UTC)
        self._monotonic = 1000.0

    def now(self) -> datetime:
        """
        Where the hands stand.
        """
        return self._now

    def monotonic(self) -> float:
        """
        The same, in seconds.
        """
        return self._monotonic

    def move(self, by: timedelta) -> None:
        """
        Move both on.
        """
        self._now += by
        self._monotonic += by.total_seconds()


@dataclass(frozen=True)
class OpenWorker:
    """
    A worker that serves.
    """

    worker: Worker
    port: int

    async def call(self, target: str, token: str | None = None, **more: Any) -> Response:
        """
        One call on a connection of its own. See `installation.call`.
        """
        return await asyncio.to_thread(call, self.port, target, token, **more)


def plan_worker(installation: Installation, **plan: Any) -> WorkerPlan:
    """
    The plan of a worker that serves from an installation's data folder.
    """
    run_dir = installation.data_dir / "run"
    run_dir.mkdir(mode=0o700, exist_ok=True)
    return WorkerPlan(
        data_dir=installation.data_dir,
        run_dir=run_dir,
        master_key_file=installation.data_dir / "master.key",
        node="test",
        number_country="61",
        **plan,
    )


@asynccontextmanager
async def open_worker(installation: Installation, clock: Clock | None = None, **plan: Any) -> AsyncIterator[OpenWorker]:
    """
    Serve from an installation's data folder on a free port, and drain and close at the end.
    """
    worker = await Worker.open(plan_worker(installation, **plan), clock or SystemClock())
    bound = socket.create_server(("127.0.0.1", 0))
    bound.setblocking(False)
    await worker.serve([bound], None)
    try:
        yield OpenWorker(worker, bound.getsockname()[1])
    finally:
        await worker.drain()
        await worker.close()
