"""
What one durable write costs on this disk: `python -m benchmarks.disk FOLDER` prints microseconds.

As the journal does it: a record's bytes appended to a growing file, then `fdatasync`. The median of many, on the core
that the gateway has.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path

_RECORD = b"x" * 699 + b"\n"
_COUNT = 1000


def measure(folder: Path) -> float:
    """
    The median of append and sync together, in microseconds.
    """
    path = folder / "disk-probe"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    times = []
    try:
        for _ in range(_COUNT):
            began = time.perf_counter()
            os.write(descriptor, _RECORD)
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - began)
    finally:
        os.close(descriptor)
        path.unlink()
    return 1e6 * statistics.median(times)


if __name__ == "__main__":
    print(measure(Path(sys.argv[1])))
