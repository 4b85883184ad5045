"""
`audit tail`: the last records and the new ones, all streams in one row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from gateway.audit.event import Tag
from gateway.errors import StorageError
from gateway.evidence.reader import follow, tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gateway.audit.journal import Journal


def event(second: int) -> dict[str, object]:
    """
    An event at a known instant.
    """
    return {"tag": Tag.CALL_DENIED, "at": f"2026-05-03T09:15:{second:02d}.000000Z", "request_id": str(second)}


def ids(lines: Iterator[bytes] | list[bytes], count: int | None = None) -> list[str]:
    """
    The request ids of the next lines, of all without `count`.
    """
    iterator = iter(lines)
    taken = list(iterator) if count is None else [next(iterator) for _ in range(count)]
    return [orjson.loads(line)["request_id"] for line in taken]


def test_the_last_records_of_all_streams_come_by_instant(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    As lines without newline, over segments, the latest last.
    """
    first, second = open_journal("worker-0", segment_limit_bytes=1), open_journal("worker-1")
    for number in range(6):
        first.record_now(event(number * 2))
        second.record_now(event(number * 2 + 1))

    lines = tail(root, 5)

    assert ids(lines) == ["7", "8", "9", "10", "11"]
    assert not any(b"\n" in line for line in lines)
    assert len(tail(root, 100)) == 12
    assert tail(root, 0) == []


def test_a_clock_that_was_set_back_does_not_change_a_streams_order(
    open_journal: Callable[..., Journal], root: Path
) -> None:
    """
    Within a stream the chain is the order.
    """
    journal = open_journal()
    for second in (5, 3, 4):
        journal.record_now(event(second))

    assert ids(tail(root, 3)) == ["5", "3", "4"]


def test_follow_begins_where_tail_ends(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    The last two, then what comes after the call, with none between lost or shown twice.
    """
    journal = open_journal()
    journal.record_now(*(event(second) for second in range(5)))

    lines = follow(root, 2, poll_seconds=0.01)
    journal.record_now(event(5))

    assert ids(lines, 3) == ["3", "4", "5"]


def test_follow_sees_new_segments_and_new_streams(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    Several segments between two looks, and a worker that starts later.
    """
    journal = open_journal(segment_limit_bytes=1)
    journal.record_now(event(0))
    lines = follow(root, poll_seconds=0.01)

    for second in range(1, 5):
        journal.record_now(event(second))
    seen = ids(lines, 4)
    open_journal("worker-1").record_now(event(5))
    seen += ids(lines, 1)
    journal.record_now(event(6))
    seen += ids(lines, 1)

    assert seen == ["1", "2", "3", "4", "5", "6"]


def test_follow_waits_for_the_rest_of_a_line(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    Half a line is a write that is under way.
    """
    journal = open_journal()
    journal.record_now(event(1), event(2))
    journal.close()
    path = journal.path / "00000001.jsonl"
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first[:50])
    lines = follow(root, poll_seconds=0.01)

    path.write_bytes(first + second[:50])
    seen = ids(lines, 1)
    path.write_bytes(first + second)
    seen += ids(lines, 1)

    assert seen == ["1", "2"]


def test_what_a_failed_group_left_is_not_followed_as_torn(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    After a crash the new segment goes on from the last whole record, and so does whoever follows.
    """
    journal = open_journal()
    journal.record_now(event(1))
    journal.close()
    lines = follow(root, 1, poll_seconds=0.01)
    seen = ids(lines, 1)
    with (journal.path / "00000001.jsonl").open("ab") as file:
        file.write(b'{"half')

    open_journal().record_now(event(2))
    seen += ids(lines, 1)

    assert seen == ["1", "2"]


def test_a_missing_journal_is_an_error(tmp_path: Path) -> None:
    """
    Told at once, not at the first line.
    """
    with pytest.raises(StorageError):
        tail(tmp_path / "missing", 1)
    with pytest.raises(StorageError):
        follow(tmp_path / "missing")
