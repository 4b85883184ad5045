"""
One file of a stream: how it is named, and how bytes are appended to it durably.

Knows nothing of records. Law 1 holds here in its smallest form: a segment's `length` grows only when the bytes are on
the disk, and a segment that failed once is never appended to again.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

from gateway import durable

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FIRST_NAME", "Segment", "SegmentChangedError", "find_next_name", "list_segments", "release_blocks"]

FIRST_NAME = "00000001.jsonl"

_NAME = re.compile(r"[0-9]{8}\.jsonl", re.ASCII)


def list_segments(folder: Path) -> list[Path]:
    """
    The segments in a stream's folder, in their order; nothing when there is no such folder.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are all that is needed, without a Path for each stranger
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(names) if _NAME.fullmatch(name)]


def find_next_name(segments: list[Path]) -> str:
    """
    The name for a new segment behind these.
    """
    return f"{int(segments[-1].stem) + 1:08d}.jsonl" if segments else FIRST_NAME


def release_blocks(path: Path) -> None:
    """
    Give back what a segment that nobody appends to any more holds beyond its end, as far as the disk lets us.
    """
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            durable.trim(fd)
        finally:
            os.close(fd)


class SegmentChangedError(OSError):
    """
    Somebody else removed, replaced, shortened or lengthened the file while we held it.
    """


class Segment:
    """
    A file opened for appending, by one thread of the one process that holds the stream's lock.

    Attributes:
        path: Where it is.
        length: How many of its bytes are proven to be on the disk. What may stand behind them counts for nothing.
        held: Up to which byte it is known to have the disk's blocks, so that what is appended fits on a full disk too.
    """

    def __init__(self, path: Path, fd: int, length: int) -> None:
        self.path = path
        self.length = length
        self.held = length
        self._fd = fd
        self._name = str(path)
        opened = os.fstat(fd)
        self._identity = (opened.st_ino, opened.st_dev)

    @classmethod
    def create(cls, path: Path) -> Segment:
        """
        A new, empty segment. Its name is not durable before the folder is synced.
        """
        fd = durable.create_file(path)
        try:
            return cls(path, fd, 0)
        except OSError:
            os.close(fd)
            with contextlib.suppress(OSError):
                path.unlink()
            raise

    @classmethod
    def resume(cls, path: Path, length: int) -> Segment:
        """
        The segment that an earlier process left at `length`.

        Synced at once: the bytes may still be in memory only, left there by a process that was killed before its own
        sync, and the next record will be chained to them.
        """
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
        try:
            segment = cls(path, fd, length)
            durable.sync(fd)
            segment._check(length)
        except OSError:
            os.close(fd)
            raise
        return segment

    def append(self, data: bytes) -> None:
        """
        Append `data`; durable when it returns.

        Raises:
            OSError: Not proven to be on the disk, though it may be. `abandon` the segment then.
        """
        end = self.length + len(data)
        durable.write(self._fd, data)
        durable.sync(self._fd)
        self._check(end)
        self.length = end

    def hold(self, end: int) -> None:
        """
        Take the disk's blocks up to byte `end`.

        Raises:
            OSError: There are not so many; what is held already stays so.
        """
        if end > self.held:
            durable.allocate(self._fd, self.length, end)
            self.held = end

    def has_room_beside(self, size_bytes: int) -> bool:
        """
        Whether so much is free on the disk beyond what this segment holds.
        """
        try:
            return durable.find_free_bytes(self._fd) >= size_bytes
        except OSError:
            return False

    def _check(self, length: int) -> None:
        """
        Refuse to trust a file that is not ours alone.

        `fdatasync` on an unlinked file succeeds, and a stranger's append or a `copytruncate` of a log rotation shows
        in nothing but the size. One call without disk access, about 2 us: where the path leads to our file, that has a
        link, and its size is the one seen. (No other file can have its number while we hold it open.)
        """
        try:
            named = os.stat(self._name, follow_symlinks=False)  # noqa: PTH116 - a Path costs as much as the call
        except FileNotFoundError:
            raise SegmentChangedError from None
        if (named.st_ino, named.st_dev) != self._identity or named.st_size != length:
            raise SegmentChangedError

    def abandon(self) -> None:
        """
        Close the segment after a failure, and take away what is not proven as far as the disk lets us.

        A segment with nothing proven is removed, else every probe of a full disk would leave one. Neither is synced,
        and neither needs to work: the next segment names the proven length, and readers go by that alone.
        """
        with contextlib.suppress(OSError):
            if self.length == 0:
                self.path.unlink()
            elif os.fstat(self._fd).st_size > self.length:  # never lengthen what somebody has shortened
                os.ftruncate(self._fd, self.length)
        self.close(keeps_blocks=False)

    def close(self, *, keeps_blocks: bool) -> None:
        """
        Let go of the file. Nothing is lost by it: what is proven is on the disk.

        Args:
            keeps_blocks: Whether what it holds beyond its end stays held, for whoever resumes it.
        """
        if not keeps_blocks:
            with contextlib.suppress(OSError):
                durable.trim(self._fd)
        with contextlib.suppress(OSError):  # a descriptor is closed even when close() tells of an error
            os.close(self._fd)

    def __repr__(self) -> str:
        return f"<Segment {self.path.name} length={self.length}>"
