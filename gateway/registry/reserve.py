"""
A little disk space kept for the registry, so that access can be ended on a full disk.

SQLite needs some for its log files even to read. The reserve is a file of no meaning beside the registry: giving it up
frees its space, and whoever gave it up makes it again when there is room.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING

from gateway import durable

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Reserve"]

_SIZE_BYTES = 256 * 1024
"""32 KiB of shared memory and some ten pages of the write-ahead log would do (measured: 70 KiB)."""


class Reserve:
    """
    The reserve of one registry. None of its methods raises: it is a help, and what it helps with tells its own errors.
    """

    def __init__(self, registry_path: Path) -> None:
        self._path = registry_path.with_name(f"{registry_path.name}-reserve")

    def keep(self) -> None:
        """
        Make the file, or fill it up; with as much as there is room for. On disk when this returns.
        """
        with contextlib.suppress(OSError):
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self._path, flags, 0o600)
            try:
                missing = _SIZE_BYTES - os.fstat(descriptor).st_size
                if missing > 0:
                    # Random bytes: a file system that compresses would keep next to nothing for zeros. Of a write that
                    # fails for want of room, what fitted stays.
                    durable.write(descriptor, secrets.token_bytes(missing))
                    durable.sync(descriptor)
            finally:
                os.close(descriptor)

    def give_up(self) -> bool:
        """
        Free the space. Whether there was any.
        """
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def __repr__(self) -> str:
        return f"<Reserve {self._path}>"
