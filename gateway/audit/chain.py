"""
The hash chain: how a record names the one before it, and a segment the one before that (contract section 7).

Pure. The writer and every reader use the same few functions, so that what one writes the other can prove.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

__all__ = ["START", "Head", "Opening", "Previous", "digest", "extend", "parse_opening", "parse_record"]


class Head(NamedTuple):
    """
    A stream's last record: what the next one is chained to.

    Attributes:
        seq: Its number, from 1; 0 before the first.
        digest: SHA-256 of its line's bytes without the newline, 64 hex digits.
    """

    seq: int
    digest: str


START = Head(0, "0" * 64)
"""What a stream's very first record is chained to."""


def digest(line: bytes) -> str:
    """
    SHA-256 of a line without its newline, 64 hex digits. The line is given with or without it.
    """
    return hashlib.sha256(line.removesuffix(b"\n")).hexdigest()


def extend(head: Head, line: bytes) -> Head:
    """
    The head after the record `line`.
    """
    return Head(head.seq + 1, digest(line))


@dataclass(frozen=True, slots=True)
class Previous:
    """
    What a segment's first record says of the segment before: `{"name", "length", "head"}`.

    Attributes:
        name: Its file name.
        length: The bytes of it that are records. Whatever stands behind them is torn and was never acknowledged.
        head: The digest of its last record.
    """

    name: str
    length: int
    head: str

    def as_json(self) -> dict[str, object]:
        """
        As it stands in the line.
        """
        return {"name": self.name, "length": self.length, "head": self.head}


@dataclass(frozen=True, slots=True)
class Opening:
    """
    A segment's first record, as far as it places the segment in the stream.
    """

    seq: int
    prev: str
    previous: Previous | None


def parse_record(line: bytes) -> dict[str, Any] | None:
    """
    The record in a line, or None where there is none: no newline at its end, no JSON object, no integer `seq`.

    Raises nothing; says nothing of whether the record is in its place.
    """
    if not line.endswith(b"\n"):
        return None
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(record, dict) or type(record.get("seq")) is not int:
        return None
    return record


def parse_opening(line: bytes) -> Opening | None:
    """
    What a segment's first line says of its place, or None when it is no such record.
    """
    record = parse_record(line)
    if record is None or "previous" not in record or not isinstance(record.get("prev"), str):
        return None
    match record["previous"]:
        case None:
            return Opening(record["seq"], record["prev"], None)
        case {"name": str(name), "length": int(length), "head": str(head), **rest} if not rest and length >= 0:
            return Opening(record["seq"], record["prev"], Previous(name, length, head))
        case _:
            return None
