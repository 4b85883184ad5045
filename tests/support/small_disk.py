"""
A mounted file system small enough to be filled, emptied, and made read-only while it is in use.
"""

from __future__ import annotations

import errno
import os
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SmallDisk"]

_REMOUNT_SECONDS = 5.0


class SmallDisk:
    """
    One that is mounted.

    Args:
        path: Where.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self, *, leaving_bytes: int = 0) -> None:
        """
        Leave no free block. The rest of a file's last block can still be written, by at most 4 KiB.

        Args:
            leaving_bytes: How much to leave free all the same.
        """
        fd = os.open(self._filler, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            while True:
                os.write(fd, bytes(4096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        finally:
            os.ftruncate(fd, max(0, os.fstat(fd).st_size - leaving_bytes))
            os.close(fd)

    def empty(self) -> None:
        """
        Give the space back.
        """
        self._filler.unlink()

    def remount(self, options: str) -> None:
        """
        Change how it is mounted, as `ro,size=1m`. Refused while a file is open for writing, so tried for a while.
        """
        until = time.monotonic() + _REMOUNT_SECONDS
        while True:
            done = subprocess.run(
                ["mount", "-o", f"remount,{options}", str(self.path)], capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                return
            assert time.monotonic() < until, done.stderr
