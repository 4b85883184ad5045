"""
A stream: the ordered, chained records of one writer, in segments, behind one lock.

Synchronous and for one thread; `journal` puts a thread and a queue before it. It renders records into their place,
opens segments, and knows what is proven. Law 1 holds here: what `append` returned for is on the disk, and what it
raised for counts for nothing, whatever the disk may keep of it.

A stream with a reserve keeps so many of the disk's blocks beyond the end of the segment that it writes to: nobody else
can take them, and what may use the reserve is appended into them when the disk is full.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from gateway import durable
from gateway.audit.chain import START, Head, Previous, digest
from gateway.audit.ending import find_stream_ending
from gateway.audit.event import render_line
from gateway.audit.segment import Segment, SegmentChangedError, find_next_name, list_segments, release_blocks
from gateway.errors import StorageError
from gateway.size import render_size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.audit.event import Draft

__all__ = [
    "FAILURES",
    "LOCK_NAME",
    "ReserveMissingError",
    "StalledError",
    "Stream",
    "StreamBusyError",
    "StreamWriteError",
]

LOCK_NAME = "lock"

_NODE_LIMIT_BYTES = 255

_STEP_SHARE = 8
"""The reserve grows with the stream by this part of itself at a time, so that most groups need no call for it."""

_STEP_LEAST_BYTES = 4096

_REASONS = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EFBIG: "disk_full",
    errno.EROFS: "read_only",
}


FAILURES = ("disk_full", "read_only", "file_changed", "disk_stalled", "disk_error")
"""Every `StreamWriteError.reason`."""


class StreamBusyError(StorageError):
    """
    Another process, or this one a second time, holds the stream's lock.
    """


class StreamWriteError(StorageError):
    """
    A group is not proven to be on the disk.

    Attributes:
        reason: For the journal: one of `FAILURES`; `file_changed` was so by somebody else.
    """

    def __init__(self, detail: str, reason: str) -> None:
        super().__init__(detail)
        self.reason = reason


class ReserveMissingError(StreamWriteError):
    """
    Behind a group the reserve would not be whole. Nothing was written, and what may use the reserve still can be.
    """


class StalledError(StreamWriteError):
    """
    The disk does not keep up: whoever waited for it was told no, or too much waits. It may yet take what it was given.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail, "disk_stalled")


class Stream:
    """
    One stream, held by one process through its flock.

    Attributes:
        path: Its folder.
        name: `worker-0`, `admin`, `control`: the folder's name.
        node: The machine's name, for each segment's first record.
        head: The last record that is on the disk.
    """

    def __init__(
        self, folder: Path, lock_fd: int, *, node: str, segment_limit_bytes: int, reserve_bytes: int = 0
    ) -> None:
        self.path = folder
        self.name = folder.name
        self.node = node
        self.head: Head = START
        self._lock_fd: int | None = lock_fd
        self._segment_limit_bytes = segment_limit_bytes
        self._reserve_bytes = reserve_bytes
        self._step_bytes = max(reserve_bytes // _STEP_SHARE, _STEP_LEAST_BYTES)
        self._segment: Segment | None = None
        self._end: Previous | None = None  # what the next segment will say of the one before

    @classmethod
    def open(
        cls,
        root: Path,
        name: str,
        *,
        node: str,
        segment_limit_bytes: int,
        reserve_bytes: int = 0,
        lock_wait_seconds: float = 0.0,
    ) -> Stream:
        """
        Take the stream's lock and find its end.

        Creates the folders and the lock file when they are missing, and no segment: that comes with the first record.

        Raises:
            StreamBusyError: The lock is held.
            StorageError: Folders or files cannot be made, read or synced.
            ValueError: A node name longer than 255 bytes.
        """
        if len(node.encode()) > _NODE_LIMIT_BYTES:
            raise ValueError(f"a node's name has at most {_NODE_LIMIT_BYTES} bytes")
        folder = root / name
        try:
            durable.create_folder(root)
            durable.create_folder(folder)
            lock_fd = durable.lock(folder / LOCK_NAME, wait_seconds=lock_wait_seconds)
        except BlockingIOError as error:
            raise StreamBusyError(f"the journal's stream {name} is held by another process") from error
        except OSError as error:
            raise StorageError(f"the journal's stream {name} cannot be opened: {durable.describe(error)}") from error
        stream = cls(folder, lock_fd, node=node, segment_limit_bytes=segment_limit_bytes, reserve_bytes=reserve_bytes)
        try:
            stream._find_end()
        except OSError as error:
            stream.close()
            raise StorageError(f"the journal's stream {name} cannot be read: {durable.describe(error)}") from error
        except BaseException:
            stream.close()
            raise
        return stream

    def _find_end(self) -> None:
        """
        Learn the head, and continue the last segment when it ends cleanly.

        Where anything stands behind the last record, the file is left as it is: a new segment will say how much of it
        counts. So what a crash tore can be looked at for ever, and no old file is ever changed.
        """
        segments = list_segments(self.path)
        ending = find_stream_ending(segments)
        resumes = ending is not None and ending.path == segments[-1] and ending.path.stat().st_size == ending.length
        if segments and not resumes:
            release_blocks(segments[-1])  # a reserve that nobody can use there any more, and that the next one needs
        if ending is None:
            return
        self.head = ending.head
        self._end = Previous(ending.path.name, ending.length, ending.head.digest)
        if resumes:
            self._segment = Segment.resume(ending.path, ending.length)
        else:
            # Not ours to append to, but ours to be chained to: its records must be durable before any that name them.
            fd = os.open(ending.path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                durable.sync(fd)
            finally:
                os.close(fd)
        # A process that was killed may have created the segment without having synced the folder.
        durable.sync_folder(self.path)

    @property
    def reserve_bytes(self) -> int:
        """
        How much of the disk is to be held.
        """
        return self._reserve_bytes

    @property
    def reserve_held_bytes(self) -> int:
        """
        How much of the disk is held beyond the end of the segment; a word of the moment for other threads.
        """
        segment = self._segment
        return max(0, segment.held - segment.length) if segment is not None else 0

    def append(self, drafts: Sequence[Draft], *, keeps_reserve: bool = False) -> None:
        """
        Append events, in order, as one group: one write, one sync. Durable, all of them, when it returns.

        Not safe for use by two threads at once. A crash in the middle leaves a prefix of the group, perhaps torn.

        Args:
            drafts: The events.
            keeps_reserve: Whether the reserve must be whole behind them, else nothing is written.

        Raises:
            ReserveMissingError: It would not be. Only with `keeps_reserve`.
            StreamWriteError: None of them counts. The next group goes to a new segment, whose first record says where
                the proven part of this one ends. (A crash before that, on a disk that kept the group after all, brings
                it back: recovery then reads an intent that was refused, and closes it as `unknown`.)
        """
        if self._segment is not None and self._segment.length >= self._segment_limit_bytes:
            self._turn_over(self._segment)
        try:
            if self._segment is None:
                self._segment = self._create_segment()
            lines, head = self._render(drafts, opens_segment=self._segment.length == 0)
            if keeps_reserve:
                self._hold_reserve(self._segment, len(lines))
            self._segment.append(lines)
        except OSError as error:
            raise self._abandon_segment(error) from error
        # Here the group is on the disk. A crash from now on loses nothing of it.
        self.head = head
        self._end = Previous(self._segment.path.name, self._segment.length, head.digest)

    def hold_reserve(self) -> None:
        """
        See to it that the reserve is whole, so that the next group need not. Does nothing before the first record.

        Raises:
            ReserveMissingError: It is not.
            StreamWriteError: As for `append`, with nothing to write.
        """
        if self._segment is None:
            return
        try:
            self._hold_reserve(self._segment, 0)
        except OSError as error:
            raise self._abandon_segment(error) from error

    def _hold_reserve(self, segment: Segment, size_bytes: int) -> None:
        """
        Let the segment hold the reserve behind `size_bytes` more, and a step beyond where there is room for that.
        """
        end = segment.length + size_bytes + self._reserve_bytes
        if self._reserve_bytes == 0 or end <= segment.held:
            return
        for wanted in (end + self._step_bytes, end):
            try:
                segment.hold(wanted)
            except OSError as error:
                if _REASONS.get(error.errno or 0) != "disk_full":
                    raise
            else:
                return
        raise ReserveMissingError(
            f"the disk of {self.name} is full but for the reserve of {render_size(self._reserve_bytes)}", "disk_full"
        )

    def _create_segment(self) -> Segment:
        """
        The next segment, empty, its name durable.
        """
        segment = Segment.create(self.path / find_next_name(list_segments(self.path)))
        try:
            durable.sync_folder(self.path)
        except OSError:
            segment.abandon()
            raise
        return segment

    def _turn_over(self, full: Segment) -> None:
        """
        Go on in a new segment, if that can hold a reserve of its own.

        Otherwise the old one, which holds one, goes on beyond its limit: on a disk that is nearly full the reserve must
        not be let go of for a new one that somebody else may be quicker to take.
        """
        if not full.has_room_beside(self._reserve_bytes + self._step_bytes if self._reserve_bytes else 0):
            return
        try:
            segment = self._create_segment()
        except OSError:
            return  # nothing is wrong with the old one, and its next group will tell if there is
        try:
            self._hold_reserve(segment, 0)
        except (OSError, ReserveMissingError):
            segment.abandon()
            return
        full.close(keeps_blocks=False)
        self._segment = segment

    def _render(self, drafts: Sequence[Draft], *, opens_segment: bool) -> tuple[bytes, Head]:
        """
        The group's bytes, and the head that it leads to once they are on the disk.
        """
        node = self.node if opens_segment else None
        head: tuple[int, str] = self.head  # plain pairs until the last: a `Head` takes as long as half a line
        lines = []
        for draft in drafts:
            line = render_line(draft, self.name, head, node=node, previous=self._end)
            head = (head[0] + 1, digest(line))
            lines.append(line)
            node = None
        return b"".join(lines), Head(*head)

    def _abandon_segment(self, error: OSError) -> StreamWriteError:
        """
        Leave the segment that failed, for good, and say what happened.
        """
        name = self.name
        if self._segment is not None:
            name = f"{name}/{self._segment.path.name}"
            self._segment.abandon()
            self._segment = None
        if isinstance(error, SegmentChangedError):
            return StreamWriteError(f"{name} was removed, replaced or changed by somebody else", "file_changed")
        reason = _REASONS.get(error.errno or 0, "disk_error")
        return StreamWriteError(f"{name} cannot be written: {durable.describe(error)}", reason)

    def close(self) -> None:
        """
        Close the segment, then let go of the lock. Idempotent.
        """
        if self._segment is not None:
            # The reserve outlives us: whoever comes next may find the disk full.
            self._segment.close(keeps_blocks=self._reserve_bytes > 0)
            self._segment = None
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def __repr__(self) -> str:
        segment = self._segment.path.name if self._segment else "none"
        return f"<Stream {self.name} seq={self.head.seq} segment={segment}>"
