"""
The node's numbers, gathered from whoever knows them: the workers over their sockets, the disk, the prober, ourselves.

Whoever does not answer in time is left out, and the rest is told. What is missing is told too, by `up` and `workers`.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import time
from typing import TYPE_CHECKING

from gateway import __version__
from gateway.control_plane.asking import ask, find_sockets
from gateway.metrics.node_metrics import NodeMetric
from gateway.metrics.process import put_process
from gateway.metrics.samples import LIMIT_BYTES, Samples
from gateway.metrics.worker_metrics import WorkerMetric
from gateway.run_folder import ASK_METRICS

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.control_plane.disk import Disk
    from gateway.control_plane.probing import Probing

__all__ = ["Gathering"]

_logger = logging.getLogger(__name__)

_PATIENCE_SECONDS = 1.0
"""A worker answers between two calls. Prometheus itself waits 10 s."""


class Gathering:
    """
    Gathers, whenever it is asked to.

    Args:
        run_dir: Where the workers' sockets are.
        disk: The journal's.
        probing: Who looks at upstreams; None where nobody does.
    """

    def __init__(self, run_dir: Path, disk: Disk, probing: Probing | None) -> None:
        self._run_dir = run_dir
        self._disk = disk
        self._probing = probing
        self._started_at = time.time()

    async def gather(self) -> Samples:
        """
        All that is known now.
        """
        samples = Samples()
        workers, room = await asyncio.gather(self._ask_workers(), self._disk.look())
        samples.put(NodeMetric.UP, any(_serves(worker) for worker in workers))
        samples.put(NodeMetric.WORKERS, len(workers))
        samples.put(NodeMetric.BUILD_INFO, 1, __version__, platform.python_version())
        put_process(samples, "control_plane", self._started_at)
        if room is not None:
            samples.put(NodeMetric.JOURNAL_DISK_FREE, room.free_bytes)
            samples.put(NodeMetric.JOURNAL_DISK_SIZE, room.size_bytes)
        if self._probing is not None:
            self._probing.tell(samples)
        for worker in workers:
            samples.merge(worker)
        return samples

    async def _ask_workers(self) -> list[Samples]:
        found = await asyncio.gather(*(self._ask_worker(path) for path in find_sockets(self._run_dir)))
        return [each for each in found if each is not None]

    async def _ask_worker(self, path: Path) -> Samples | None:
        """
        What one worker tells; None when it is gone, or does not answer.
        """
        try:
            return Samples.parse(await ask(path, ASK_METRICS, _PATIENCE_SECONDS, LIMIT_BYTES))
        except (FileNotFoundError, ConnectionRefusedError):
            return None  # left behind by a worker that was killed
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            _logger.warning("%s did not tell its metrics (%s)", path.stem, type(error).__name__)
            return None

    def __repr__(self) -> str:
        return f"<Gathering from {self._run_dir}>"


def _serves(worker: Samples) -> bool:
    return any(value == 1 for _, value in worker.find(WorkerMetric.READY))
