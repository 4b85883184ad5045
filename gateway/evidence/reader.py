"""
The journal for the eye: its last records, and the new ones as they come, all streams in one row.

Records are shown as they stand in the file, byte for byte. Proves nothing; that is `verify`.
"""

from __future__ import annotations

import heapq
import time
from typing import TYPE_CHECKING

from gateway.audit.chain import parse_record
from gateway.audit.ending import find_stream_ending, iterate_backwards
from gateway.audit.segment import list_segments
from gateway.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["follow", "list_streams", "tail"]

POLL_SECONDS = 0.2


def list_streams(root: Path) -> list[Path]:
    """
    The streams' folders, `worker-2` before `worker-10`.

    Raises:
        StorageError: There is no such folder.
    """
    try:
        folders = [path for path in root.iterdir() if path.is_dir()]
    except OSError as error:
        raise StorageError(f"the journal's folder {root} cannot be read: {error.strerror}") from error
    return sorted(folders, key=lambda path: (len(path.name.rstrip("0123456789")), len(path.name), path.name))


def tail(root: Path, count: int) -> list[bytes]:
    """
    The last `count` records over all streams, by `at`, as lines without their newline.

    Raises:
        StorageError: The journal cannot be read.
    """
    return _take_last((_Cursor(folder).read_last(count) for folder in list_streams(root)), count)


def follow(root: Path, count: int = 0, *, poll_seconds: float = POLL_SECONDS) -> Iterator[bytes]:
    """
    The last `count` records, then each new one as it comes, for ever; lines without their newline.

    What is new is what comes after this call. New segments and new streams are noticed. Within one look, records of
    several streams come by `at`; within a stream the order is always the stream's own. A record is shown when it can
    be read, which may be a moment before it is durable.

    Args:
        root: The folder of all streams.
        count: How many of those that are there already to begin with; none is between them and the first new one.
        poll_seconds: The pause between two looks.

    Raises:
        StorageError: The journal cannot be read.
    """
    cursors = {folder: _Cursor(folder) for folder in list_streams(root)}
    first = _take_last([cursor.read_last(count) for cursor in cursors.values()], count)
    return _follow(root, cursors, first, poll_seconds)


def _follow(root: Path, cursors: dict[Path, _Cursor], lines: Iterable[bytes], poll_seconds: float) -> Iterator[bytes]:
    while True:
        yield from lines
        for folder in list_streams(root):
            cursors.setdefault(folder, _Cursor(folder))
        new = [cursor.read_new() for cursor in cursors.values()]
        if not any(new):
            time.sleep(poll_seconds)
        lines = _merge(new)


def _take_last(streams: Iterable[list[_Line]], count: int) -> list[bytes]:
    return _merge(streams)[-count:] if count > 0 else []


def _merge(streams: Iterable[list[_Line]]) -> list[bytes]:
    """
    One row by `at`. Each stream keeps its order, even where its clock was set back.
    """
    return [line.text for line in heapq.merge(*streams, key=lambda line: line.at)]


class _Line:
    """
    A record as it stands, and what is needed to put it in its place.
    """

    __slots__ = ("at", "seq", "text")

    def __init__(self, text: bytes, seq: int, at: str) -> None:
        self.text = text
        self.seq = seq
        self.at = at


class _Cursor:
    """
    How far a stream was read: the last record's number, and where to look for more as long as its segment is the last.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seq = 0
        self._path: Path | None = None
        self._offset = 0

    def read_last(self, count: int) -> list[_Line]:
        """
        The last `count` records; everything that is there now counts as read.
        """
        ending = find_stream_ending(list_segments(self._folder))
        if ending is None:
            return []
        self._seq, self._path, self._offset = ending.head.seq, ending.path, ending.length
        lines: list[_Line] = []
        segments = iterate_backwards(self._folder, ending)
        while len(lines) < count and (segment := next(segments, None)) is not None:
            lines = _parse(segment[len(lines) - count :]) + lines
        return lines

    def read_new(self) -> list[_Line]:
        """
        The records that came since the last look.
        """
        segments = list_segments(self._folder)
        if not segments:
            return []
        lines = self._read_on(self._path) if segments[-1] == self._path else self._read_over(segments)
        if lines:
            self._seq = lines[-1].seq
        return lines

    def _read_on(self, path: Path) -> list[_Line]:
        """
        More of the same segment: whole lines, for the rest of one may still be under way.
        """
        try:
            with path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:  # a probe of a full disk, taken back by its writer
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return _parse(_split(whole))

    def _read_over(self, segments: list[Path]) -> list[_Line]:
        """
        What follows the last record seen, over however many segments.
        """
        ending = find_stream_ending(segments)
        if ending is None:
            return []
        # What was shown and then taken back, because its group failed, has given its number to another.
        self._seq = min(self._seq, ending.head.seq)
        self._path, self._offset = ending.path, ending.length
        newer: list[list[_Line]] = []
        for segment in iterate_backwards(self._folder, ending):
            lines = _parse(segment)
            newer.append([line for line in lines if line.seq > self._seq])
            if lines and lines[0].seq <= self._seq + 1:
                break
        return [line for lines in reversed(newer) for line in lines]


def _split(data: bytes) -> list[bytes]:
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def _parse(lines: list[bytes]) -> list[_Line]:
    """
    The records in these lines; what is no record is not shown, `verify` tells of it.
    """
    parsed = ((line, parse_record(line)) for line in lines)
    return [_Line(line[:-1], record["seq"], str(record.get("at"))) for line, record in parsed if record is not None]
