"""
What a process knows of itself: since when it is, what it has used.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.metrics.node_metrics import NodeMetric

if TYPE_CHECKING:
    from gateway.metrics.samples import Samples

__all__ = ["put_process"]

_STATM = Path("/proc/self/statm")


def put_process(samples: Samples, process: str, started_at: float) -> None:
    """
    Put down what is known of this process.

    Args:
        process: What it is called.
        started_at: Since when it is, in Unix time.
    """
    samples.put(NodeMetric.PROCESS_START, started_at, process)
    samples.put(NodeMetric.PROCESS_CPU, time.process_time(), process)
    pages = _find_resident_pages()
    if pages is not None:
        samples.put(NodeMetric.PROCESS_MEMORY, pages * os.sysconf("SC_PAGE_SIZE"), process)


def _find_resident_pages() -> int | None:
    try:
        return int(_STATM.read_text().split()[1])  # proc(5): size, resident, ...
    except (OSError, ValueError, IndexError):
        return None
