"""
Whether the journal is whole: every line, every link of the chain, every segment in its place (contract section 7).

What it proves: no record was changed, removed, added or moved without the chain being written anew from there on. What
a chain alone cannot prove: that nobody did just that, or took away the end of a stream. Checkpoints will.

Works beside a gateway that is writing. Such a stream changes under the reader's eyes, so a fault counts only when a
second look finds it again.
"""

from __future__ import annotations

import time
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from gateway.audit.chain import START, Previous, extend, parse_opening, parse_record
from gateway.audit.ending import find_ending, read_opening
from gateway.audit.event import LINE_LIMIT_BYTES, VERSION
from gateway.audit.segment import list_segments
from gateway.errors import StorageError
from gateway.evidence.reader import list_streams
from gateway.evidence.report import Fault, FirstBad, Report, StreamReport, Torn

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.audit.chain import Head, Opening

__all__ = ["verify"]

_LOOKS = 10
"""A fault is told after two looks that agree; so many that do not are a disk that comes and goes all the time."""

_PAUSE_SECONDS = 0.05
"""Longer than a write that is under way takes to become whole lines."""


def verify(root: Path) -> Report:
    """
    Check every stream in `root` from its first record to its last.

    Raises:
        StorageError: The folder, or a file in it, cannot be read.
    """
    streams = []
    torn: list[Torn] = []
    first_bad = None
    for folder in list_streams(root):
        walk = _look(folder)
        streams.append(StreamReport(folder.name, walk.head.seq, walk.head.digest))
        torn += walk.torn
        first_bad = first_bad or walk.bad
    return Report(tuple(streams), tuple(torn), first_bad)


def _look(folder: Path) -> _Walk:
    """
    Walk a stream until two looks in a row find the same fault, or one finds none.
    """
    last: FirstBad | None = None
    for look in range(_LOOKS):
        if look:
            time.sleep(_PAUSE_SECONDS)
        walk = _Walk(folder)
        try:
            walk.run()
        except FileNotFoundError:  # a segment of the listing is gone: the next look has a listing of its own
            continue
        except OSError as error:
            raise StorageError(f"the journal's stream {folder.name} cannot be read: {error.strerror}") from error
        if walk.bad is None or walk.bad == last:
            return walk
        last = walk.bad
    raise StorageError(f"the journal's stream {folder.name} changes too fast to be read; try again")


class _BadLine(Exception):  # noqa: N818 - no error of anybody: how a finding leaves the loops
    def __init__(self, path: Path, line: int, reason: Fault) -> None:
        super().__init__(reason)
        self.bad = FirstBad(_name(path), line, reason)


class _Walk:
    """
    One look at one stream.

    Attributes:
        head: The last record proven so far.
        torn: The bytes passed over so far.
        bad: The first fault, at which the walk ended.
    """

    def __init__(self, folder: Path) -> None:
        self.head: Head = START
        self.torn: list[Torn] = []
        self.bad: FirstBad | None = None
        self._folder = folder
        self._previous: Previous | None = None  # what the next segment must say

    def run(self) -> None:
        """
        Walk from the first segment to the last, or to the first fault.
        """
        segments = list_segments(self._folder)
        last = next((path for path in reversed(segments) if _measure(path)), None)
        openings = {path: read_opening(path) for path in segments}
        chain = _find_chain(segments, openings, last) if last else []
        followers = dict(zip_longest(chain, chain[1:]))
        try:
            for path in segments:
                if path in followers:
                    follower = followers[path]
                    self._check_segment(path, openings[follower] if follower else None)
                else:
                    self._pass_over(path, openings, next((member for member in chain if member > path), None))
        except _BadLine as finding:
            self.bad = finding.bad

    def _pass_over(self, path: Path, openings: dict[Path, Opening | None], member: Path | None) -> None:
        """
        A file that is not in the chain: torn at birth, or left by a probe of a failing disk.

        It must hold no record, or have been written for the very place that the next segment took: then its writer was
        told that it failed. A file from elsewhere would be a segment that somebody moved.
        """
        # Behind the last member stands only what held no record when this look began; what it holds now is news.
        if member is not None and openings[path] != openings[member] and _measure(path):
            raise _BadLine(path, 1, Fault.SEGMENT_OUT_OF_PLACE)
        self._note_torn(path, 0, is_last=member is None)

    def _check_segment(self, path: Path, follower: Opening | None) -> None:
        """
        Check a segment's lines, up to where the next one says that it ends, or else to its last whole record.
        """
        named = follower.previous if follower else None
        is_last = named is None or named.name != path.name
        length = _measure(path) if named is None or is_last else named.length
        offset, line_number = 0, 0
        with path.open("rb") as file:
            while offset < length:
                line = file.readline(LINE_LIMIT_BYTES + 1)
                line_number += 1
                if not line.endswith(b"\n"):
                    too_long = len(line) > LINE_LIMIT_BYTES
                    raise _BadLine(path, line_number, Fault.LINE_TOO_LONG if too_long else Fault.SEGMENT_CUT_SHORT)
                fault = self._find_fault(line, is_first=line_number == 1)
                if fault is not None:
                    raise _BadLine(path, line_number, fault)
                self.head = extend(self.head, line)
                offset += len(line)
        self._previous = Previous(path.name, offset, self.head.digest)
        self._note_torn(path, offset, is_last=is_last)

    def _find_fault(self, line: bytes, *, is_first: bool) -> Fault | None:
        """
        What is wrong with the record that stands after `head`.
        """
        record = parse_record(line)
        if record is None:
            return Fault.NO_RECORD
        origin = self._find_fault_of_origin(record, line) if is_first else None
        checks = (
            (len(line) > LINE_LIMIT_BYTES, Fault.LINE_TOO_LONG),
            (record.get("v") != VERSION, Fault.VERSION_UNKNOWN),
            (record.get("stream") != self._folder.name, Fault.STREAM_DIFFERS),
            (origin is not None, origin),
            (not is_first and "previous" in record, Fault.ORIGIN_UNEXPECTED),
            (record["seq"] != self.head.seq + 1, Fault.SEQ_DIFFERS),
            (record.get("prev") != self.head.digest, Fault.PREV_DIFFERS),
        )
        return next((fault for is_wrong, fault in checks if is_wrong), None)

    def _find_fault_of_origin(self, record: dict[str, Any], line: bytes) -> Fault | None:
        """
        What is wrong with what a segment's first record says of the segment before.
        """
        opening = parse_opening(line)
        if opening is None or not isinstance(record.get("node"), str):
            return Fault.ORIGIN_MISSING
        said, found = opening.previous, self._previous
        if said == found:
            return None
        if said is None or found is None or said.name != found.name:
            return Fault.SEGMENT_MISSING
        return Fault.PREVIOUS_DIFFERS

    def _note_torn(self, path: Path, offset: int, *, is_last: bool) -> None:
        """
        Report what stands behind the records, unless it is a write that is under way.
        """
        try:
            size = path.stat().st_size
        except FileNotFoundError:  # as in _measure
            return
        if is_last and size > offset:
            time.sleep(_PAUSE_SECONDS)
            if path.stat().st_size != size or _measure(path) != offset:
                return
        if size > offset:
            self.torn.append(Torn(_name(path), offset, size - offset))


def _measure(path: Path) -> int:
    """
    How many bytes of a segment are records, as far as it says itself; 0 when it holds none.
    """
    try:
        ending = find_ending(path)
    except FileNotFoundError:  # a probe of a failing disk, taken back by its writer
        return 0
    except StorageError:
        return path.stat().st_size  # damaged at its end: the walk will say where
    return ending.length if ending else 0


def _find_chain(segments: list[Path], openings: dict[Path, Opening | None], last: Path) -> list[Path]:
    """
    The segments that follow from each other, first to last, found from the last back by the names that they give.

    Where a name leads nowhere, or an opening is damaged, the file before takes its place: what is wrong will be told
    there, and what stands before is still checked.
    """
    places = {path.name: place for place, path in enumerate(segments)}
    place = places[last.name]
    chain = [segments[place]]
    while True:
        opening = openings[segments[place]]
        if opening is not None and opening.previous is None:
            break
        named = places.get(opening.previous.name, place) if opening is not None and opening.previous else place
        place = named if named < place else place - 1
        if place < 0:
            break
        chain.append(segments[place])
    return chain[::-1]


def _name(path: Path) -> str:
    """
    A file as the report names it.
    """
    return f"{path.parent.name}/{path.name}"
