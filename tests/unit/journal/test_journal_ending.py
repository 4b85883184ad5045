"""
Where a stream ends after a crash, and how it goes on from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from gateway.audit import ending
from gateway.audit.ending import find_ending, find_stream_ending, iterate_backwards
from gateway.audit.event import Tag
from gateway.audit.segment import list_segments
from gateway.errors import StorageError
from gateway.evidence.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.audit.journal import Journal

EVENT = {"tag": Tag.CALL_DENIED, "request_id": "r"}


def append(path: Path, data: bytes) -> None:
    """
    What a crash left of the last group.
    """
    with path.open("ab") as file:
        file.write(data)


@pytest.mark.parametrize(
    "torn",
    [
        b'{"v":1,"stream":"worker-0","seq":3,"pr',
        b'{"v":1,"stream":"worker-0","seq":3}',
        b'{"v":1,"stream"\n',
        b"\0" * 4096,
        b"\0" * 100 + b'"outcome":"succeeded"}\n{"v":1,"stream":"worker-0","seq":9}\n',
    ],
    ids=["half a line", "no newline", "no JSON", "hole", "hole before whole lines"],
)
def test_a_torn_end_is_left_as_it_is_and_a_new_segment_says_what_counts(
    open_journal: Callable[..., Journal], root: Path, torn: bytes
) -> None:
    """
    The old file is not touched; the chain goes on from the last whole record; verify is content and reports the rest.
    """
    journal = open_journal()
    journal.record_now(EVENT, EVENT)
    journal.close()
    old = journal.path / "00000001.jsonl"
    whole = old.stat().st_size
    append(old, torn)
    before = verify(root)

    again = open_journal()
    again.record_now(EVENT)

    first_line = orjson.loads((journal.path / "00000002.jsonl").read_bytes())
    report = verify(root)
    assert old.stat().st_size == whole + len(torn)
    assert (3, "00000001.jsonl", whole) == (
        first_line["seq"],
        first_line["previous"]["name"],
        first_line["previous"]["length"],
    )
    assert (True, 2) == (before.ok, before.records)
    assert (True, 3) == (report.ok, report.records)
    expected = [{"file": "worker-0/00000001.jsonl", "offset": whole, "bytes": len(torn)}]
    assert expected == before.as_json()["torn"] == report.as_json()["torn"]


def test_a_segment_torn_at_its_birth_is_passed_over(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    It holds no record, so the next names the one before it; the file stays, and is reported.
    """
    journal = open_journal()
    journal.record_now(EVENT)
    journal.close()
    append(journal.path / "00000002.jsonl", b'{"v":1,"str')

    again = open_journal()
    again.record_now(EVENT)

    first_line = orjson.loads((journal.path / "00000003.jsonl").read_bytes())
    report = verify(root)
    assert first_line["previous"]["name"] == "00000001.jsonl"
    assert (True, 2, ["worker-0/00000002.jsonl"]) == (report.ok, report.records, [torn.file for torn in report.torn])


def test_a_stream_torn_at_its_birth_starts_at_one(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    The very first group was torn: the next segment is the stream's first.
    """
    (root / "worker-0").mkdir(parents=True)
    append(root / "worker-0" / "00000001.jsonl", b"\0" * 100)

    journal = open_journal()
    journal.record_now(EVENT)

    first_line = orjson.loads((journal.path / "00000002.jsonl").read_bytes())
    assert (1, None) == (first_line["seq"], first_line["previous"])
    assert verify(root).ok


def test_damage_is_not_taken_for_the_trace_of_a_crash(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    A crash tears the last group, a megabyte at most.

    A hole further up is left for verify to find, and the stream goes on behind its last record.
    """
    journal = open_journal()
    for _ in range(100):
        journal.record_now(EVENT | {"parameters": {"x": "y" * 14_000}})
    journal.close()
    path = journal.path / "00000001.jsonl"
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(b"\0" * 100)

    again = open_journal()
    again.record_now(EVENT)

    report = verify(root)
    assert ["00000001.jsonl"] == [segment.name for segment in list_segments(journal.path)]
    assert report.as_json()["first_bad"] == {"file": "worker-0/00000001.jsonl", "line": 1, "reason": "no_record"}


def test_a_stream_without_a_whole_record_in_its_last_megabyte_is_not_continued(
    open_journal: Callable[..., Journal], root: Path
) -> None:
    """
    No crash does that. The start is refused with a sentence, and verify says where.
    """
    journal = open_journal()
    journal.record_now(EVENT)
    journal.close()
    append(journal.path / "00000001.jsonl", b"x" * 2_000_000)

    with pytest.raises(StorageError, match=r"worker-0/00000001\.jsonl is damaged"):
        open_journal()
    bad = verify(root).first_bad

    assert bad is not None
    assert ("worker-0/00000001.jsonl", 2, "line_too_long") == (bad.file, bad.line, bad.reason)


def test_the_way_back_ends_where_a_segment_is_missing(open_journal: Callable[..., Journal]) -> None:
    """
    Reading backwards proves nothing; it gives what is there.
    """
    journal = open_journal(segment_limit_bytes=1)
    for _ in range(4):
        journal.record_now(EVENT)
    (journal.path / "00000002.jsonl").unlink()

    seqs = [orjson.loads(line)["seq"] for lines in iterate_backwards(journal.path) for line in lines]

    assert seqs == [4, 3]


@pytest.mark.parametrize("piece_bytes", [1, 7, 100, 1000, 100_000])
def test_the_way_back_is_the_same_in_pieces_of_any_size(
    piece_bytes: int, open_journal: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Every line whole and once, over the segments' ends too; a carriage return in a damaged line ends nothing.
    """
    journal = open_journal(segment_limit_bytes=1500)
    for _ in range(20):
        journal.record_now(EVENT)
    segments = list_segments(journal.path)
    first = segments[0].read_bytes()
    segments[0].write_bytes(first.replace(b"node", b"no\rd", 1))
    written = b"".join(path.read_bytes() for path in segments)
    monkeypatch.setattr(ending, "_PIECE_BYTES", piece_bytes)
    pieces = list(iterate_backwards(journal.path))

    assert len(segments) > 2
    assert written == b"".join(b"".join(lines) for lines in reversed(pieces))
    assert written.count(b"\n") == sum(map(len, pieces))
    assert all(line.endswith(b"\n") for lines in pieces for line in lines)


def test_an_empty_place_has_no_ending(tmp_path: Path) -> None:
    """
    No folder, no segments, an empty segment, one that was taken away meanwhile: no record, no error.
    """
    empty = tmp_path / "00000001.jsonl"
    empty.touch()

    assert find_ending(empty) is None
    assert list_segments(tmp_path / "missing") == []
    assert find_stream_ending([tmp_path / "00000009.jsonl"]) is None
    assert list(iterate_backwards(tmp_path)) == []
