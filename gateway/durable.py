"""
The few system calls on which durability rests, each with what it promises.

Knows nothing of journals and records. Law 1 ends here: when `sync` has returned, the bytes survive a power cut, as far
as the disk tells the truth. Callers name these functions through the module (`durable.sync(...)`), so that there is
one place where a disk can be watched or made to fail.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["create_file", "create_folder", "describe", "lock", "rename", "sync", "sync_folder", "write"]

_LOCK_POLL_SECONDS = 0.02


def write(fd: int, data: bytes) -> None:
    """
    Write all of `data` to a descriptor opened for appending.

    Not atomic: an error, a full disk or a crash may leave any part of `data` in the file. Nothing is durable yet.

    Raises:
        OSError: Not all of it was written.
    """
    rest = memoryview(data)
    while rest:
        # A short write is how a nearly full disk announces itself; the next one tells the errno.
        rest = rest[os.write(fd, rest) :]


def sync(fd: int) -> None:
    """
    Return when everything written to `fd`, and the file's length, is on the disk.

    `fdatasync` leaves out only the times. macOS has none, and its `fsync` stops at the drive's cache, so there it is
    `F_FULLFSYNC` (fsync(2) of macOS); a file system that lacks that gets `fsync`.

    Raises:
        OSError: It is not known what is on the disk. Another call proves nothing: Linux reports a failed write-back
            once and then forgets it (https://wiki.postgresql.org/wiki/Fsync_Errors).
    """
    if hasattr(os, "fdatasync"):
        os.fdatasync(fd)
        return
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is not None:
        try:
            fcntl.fcntl(fd, full_sync)
        except OSError:
            os.fsync(fd)
        return
    os.fsync(fd)


def sync_folder(folder: Path) -> None:
    """
    Return when the names in `folder` are on the disk: without it a file created and synced may be gone after a crash.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def create_file(path: Path) -> int:
    """
    Create a file that only its owner may read, opened for appending and closed on exec.

    Its name is not durable until `sync_folder`.

    Raises:
        FileExistsError: Something has that name, if only a dangling link.
    """
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)


def create_folder(folder: Path) -> None:
    """
    Create a folder that only its owner may enter, durably, unless it is there already. Its parent must exist.
    """
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return
    sync_folder(folder.parent)


def rename(source: Path, target: Path) -> None:
    """
    Give a file another's name, in the same folder. Atomic: whoever looks finds the one or the other.

    Durable only after `sync_folder`.
    """
    source.replace(target)


def lock(path: Path, *, wait_seconds: float = 0.0) -> int:
    """
    Take the exclusive flock on `path` and return the descriptor that holds it; closing that lets it go.

    The file is created (0600) when it is missing and must never be replaced or removed: two files of one name are two
    locks. The lock belongs to the open file, so a forked child would hold it too: lock after any fork.

    Args:
        path: The lock file; its folder must exist.
        wait_seconds: How long to try.

    Raises:
        BlockingIOError: Somebody else still holds it.
    """
    # Read-only: a lock needs no more, and a descriptor open for writing would keep an administrator from remounting.
    fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    deadline = time.monotonic() + wait_seconds
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_LOCK_POLL_SECONDS)
            else:
                return fd
    except BaseException:
        os.close(fd)
        raise


def describe(error: OSError) -> str:
    """
    What the system said, for an operator: `No space left on device`. Without path and contents.
    """
    return os.strerror(error.errno) if error.errno else type(error).__name__
