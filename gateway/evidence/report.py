"""
What a verification says: the words for every fault, and the report that `audit verify --json` prints.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Fault", "FirstBad", "Report", "StreamReport", "Torn"]


class Fault(StrEnum):
    """
    What is wrong with a line: `first_bad.reason`.
    """

    NO_RECORD = "no_record"
    """Not a JSON object with an integer `seq`, or not ended by a newline where more follows."""

    LINE_TOO_LONG = "line_too_long"
    VERSION_UNKNOWN = "version_unknown"
    STREAM_DIFFERS = "stream_differs"
    """The record names another stream than its folder."""

    SEQ_DIFFERS = "seq_differs"
    """Its number is not the one after the record before: lines are missing, added or moved."""

    PREV_DIFFERS = "prev_differs"
    """The line before is not the one that it was chained to: that was changed, or this one."""

    ORIGIN_MISSING = "origin_missing"
    """A segment's first record lacks `node` or a well-formed `previous`."""

    ORIGIN_UNEXPECTED = "origin_unexpected"
    """A record in the middle of a segment carries `previous`."""

    SEGMENT_MISSING = "segment_missing"
    """The segment before, which this one names, is not there: it vanished, or the stream's start did."""

    SEGMENT_CUT_SHORT = "segment_cut_short"
    """The segment is shorter than the next one says."""

    PREVIOUS_DIFFERS = "previous_differs"
    """The segment before has another length or head than this one says."""

    SEGMENT_OUT_OF_PLACE = "segment_out_of_place"
    """A file with records that no other names: moved, or slipped in."""


@dataclass(frozen=True, slots=True)
class FirstBad:
    """
    The first line that is not as it was written. Files are named from the journal's folder on, lines from 1.
    """

    file: str
    line: int
    reason: Fault


@dataclass(frozen=True, slots=True)
class Torn:
    """
    Bytes that are no records and never were: the trace of a crash or of a full disk.
    """

    file: str
    offset: int
    bytes: int


@dataclass(frozen=True, slots=True)
class StreamReport:
    """
    One stream: how many records are proven, and the digest of the last of them.
    """

    stream: str
    records: int
    head: str


@dataclass(frozen=True, slots=True)
class Report:
    """
    What `audit verify` found. In a stream with a fault, what stands before the fault is counted, and nothing after it.
    """

    streams: tuple[StreamReport, ...]
    torn: tuple[Torn, ...]
    first_bad: FirstBad | None

    @property
    def ok(self) -> bool:
        """
        Whether every record is as it was written. Torn bytes are no fault.
        """
        return self.first_bad is None

    @property
    def records(self) -> int:
        """
        The records of all streams.
        """
        return sum(stream.records for stream in self.streams)

    @property
    def proof(self) -> str:
        """
        `chain`, or `none` where there is nothing to prove or it failed.
        """
        return "chain" if self.ok and self.records else "none"

    def as_json(self) -> dict[str, object]:
        """
        As `audit verify --json` prints it.
        """
        bad = self.first_bad
        return {
            "ok": self.ok,
            "proof": self.proof,
            "records": self.records,
            "streams": [{"stream": s.stream, "records": s.records, "head": s.head} for s in self.streams],
            "torn": [{"file": t.file, "offset": t.offset, "bytes": t.bytes} for t in self.torn],
            "first_bad": None if bad is None else {"file": bad.file, "line": bad.line, "reason": bad.reason.value},
        }
