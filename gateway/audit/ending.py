"""
Where a stream ends, and the way back from there: for the process that continues it, for recovery, for every reader.

Reads only, and needs no lock. All who ask get the same answer, because all ask here: a segment's records end where the
next segment says; in the last segment, behind its last whole record.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.audit.chain import Head, digest, parse_opening, parse_record
from gateway.audit.event import LINE_LIMIT_BYTES
from gateway.audit.segment import list_segments
from gateway.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from gateway.audit.chain import Opening

__all__ = ["GROUP_LIMIT_BYTES", "Ending", "find_ending", "find_stream_ending", "iterate_backwards", "read_opening"]

GROUP_LIMIT_BYTES = 1024 * 1024
"""
The most that is written between two syncs. So whatever a crash tore lies within the last so many bytes of a stream, and
damage further up is damage, never taken for the trace of a crash.
"""

_WINDOW_BYTES = GROUP_LIMIT_BYTES + LINE_LIMIT_BYTES

_PIECE_BYTES = 4 * 1024 * 1024
"""How much of a stream is looked at once on the way back."""


@dataclass(frozen=True, slots=True)
class Ending:
    """
    The end of the records in a segment.

    Attributes:
        path: The segment.
        length: The bytes that are records.
        head: The last of them.
    """

    path: Path
    length: int
    head: Head


def find_ending(path: Path) -> Ending | None:
    """
    Where the records end in a segment that no other follows, or None when it holds none.

    Behind the end may stand what a crash left of the last group, never acknowledged: a line without its newline, a
    line that is no record, or a hole. A hole is NUL bytes, which no line contains: after a power cut some file systems
    know a file's new length and not yet its contents.

    Raises:
        StorageError: The last megabyte holds no record at all, which no crash can do.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = max(0, size - _WINDOW_BYTES)
        file.seek(start)
        window = file.read(size - start)
    hole = window.find(b"\0")
    end = window.rfind(b"\n", 0, hole if hole >= 0 else None) + 1
    while end > 0:
        begin = window.rfind(b"\n", 0, end - 1) + 1
        line = window[begin:end]
        record = parse_record(line)
        if record is not None:
            return Ending(path, start + end, Head(record["seq"], digest(line)))
        end = begin
    if start > 0:
        raise StorageError(f"{path.parent.name}/{path.name} is damaged; `noojee-gateway audit verify` says where")
    return None


def find_stream_ending(segments: Sequence[Path]) -> Ending | None:
    """
    Where the stream of these segments ends, or None when it holds no record yet.

    Segments without any record are passed over: a crash at their birth, or a full disk, left them behind.
    """
    for path in reversed(segments):
        try:
            ending = find_ending(path)
        except FileNotFoundError:  # a probe of a full disk, removed by its writer while we looked
            continue
        if ending is not None:
            return ending
    return None


def read_opening(path: Path) -> Opening | None:
    """
    What a segment's first record says of its place; None when its first line is no such record or the file is gone.
    """
    try:
        with path.open("rb") as file:
            return parse_opening(file.readline(LINE_LIMIT_BYTES + 1))
    except FileNotFoundError:
        return None


def iterate_backwards(folder: Path, ending: Ending | None = None) -> Iterator[list[bytes]]:
    """
    A stream's records as lines with their newline, a piece of some MiB at a time, the last piece first.

    The lines of a piece come in the order in which they were written. Proves nothing, and ends where a segment is
    missing: that is `evidence.verify`'s to tell.

    Args:
        folder: The stream's.
        ending: Where to begin, when the asker has looked already; the stream's ending otherwise.
    """
    ending = ending or find_stream_ending(list_segments(folder))
    if ending is None:
        return
    path, length = ending.path, ending.length
    while True:
        try:
            yield from _read_backwards(path, length)
        except FileNotFoundError:
            return
        opening = read_opening(path)
        if opening is None or opening.previous is None:
            return
        path, length = folder / opening.previous.name, opening.previous.length


def _read_backwards(path: Path, end: int) -> Iterator[list[bytes]]:
    """
    The lines of a file up to `end`, where one ends, a piece at a time.

    A segment as a whole would take a few times its size in memory, at the start of a gateway whose machine may have
    little.
    """
    rest = b""  # of the line whose beginning stands before the piece
    with path.open("rb") as file:
        while end > 0:
            start = max(0, end - _PIECE_BYTES)
            file.seek(start)
            data = file.read(end - start) + rest
            cut = data.find(b"\n") + 1 if start > 0 else 0
            rest, end = data[:cut], start
            if lines := [line + b"\n" for line in data[cut:].split(b"\n")[:-1]]:
                yield lines
