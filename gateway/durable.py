"""
The few system calls on which durability rests, each with what it promises.

Knows nothing of journals and records. Law 1 ends here: when `sync` has returned, the bytes survive a power cut, as far
as the disk tells the truth. Callers name these functions through the module (`durable.sync(...)`), so that there is
one place where a disk can be watched or made to fail.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "allocate",
    "create_file",
    "create_folder",
    "describe",
    "find_free_bytes",
    "lock",
    "rename",
    "sync",
    "sync_folder",
    "trim",
    "write",
]

_LOCK_POLL_SECONDS = 0.02

_KEEP_SIZE = 1
"""`FALLOC_FL_KEEP_SIZE` (linux/falloc.h)."""

_NOT_ALLOCATED_BYTES = 32 * 1024
"""More than a file's blocks exceed its bytes by without `allocate`: the rest of its last block, and its own maps."""


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


def allocate(fd: int, start: int, end: int) -> None:
    """
    Give a file the disk's blocks for its bytes from `start` to `end`, without lengthening it.

    Nobody else can take them from then on, and what is appended into them needs no free space: tried on ext4 and tmpfs,
    filled to the last block. They stay the file's when it is closed and when its process is killed; `trim` gives them
    back. Only Linux does it without changing the length, and not on every file system; elsewhere that much is merely
    free at this moment, which is the best that can be said there.

    Raises:
        OSError: ENOSPC or EDQUOT when there is not so much; other errors as the disk has them.
    """
    found = os.fstat(fd)
    missing = end - start - max(0, found.st_blocks * 512 - found.st_size)
    # Asked first: a request that fails half-way keeps what it got (ext4), and would take the last block from everybody.
    if missing > find_free_bytes(fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    code = errno.EINTR
    while code == errno.EINTR:
        code = _fallocate(fd, start, end - start)
    if code not in {0, errno.EOPNOTSUPP, errno.ENOSYS}:
        raise OSError(code, os.strerror(code))


def _fallocate(fd: int, start: int, length: int) -> int:
    """
    fallocate(2), which `os` has only in the form that lengthens the file. Returns 0 or an errno.
    """
    import ctypes  # only whoever holds a reserve pays for it

    libc = ctypes.CDLL(None, use_errno=True)
    call = getattr(libc, "fallocate64", None) or getattr(libc, "fallocate", None)
    if call is None:
        return errno.ENOSYS
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return ctypes.get_errno() if call(fd, _KEEP_SIZE, start, length) else 0


def find_free_bytes(fd: int) -> int:
    """
    How much is free on the file's disk for whoever is not root, at this moment.
    """
    found = os.fstatvfs(fd)
    return found.f_bavail * found.f_frsize


def trim(fd: int) -> None:
    """
    Give back what `allocate` took beyond the file's end. Its bytes stay as they are.
    """
    found = os.fstat(fd)
    if found.st_blocks * 512 - found.st_size >= _NOT_ALLOCATED_BYTES:
        os.ftruncate(fd, found.st_size)


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
