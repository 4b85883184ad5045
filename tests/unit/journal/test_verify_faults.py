"""
What verify finds: every way of altering a journal that a chain can show.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import orjson
import pytest

from gateway.audit.event import Tag
from gateway.errors import StorageError
from gateway.evidence.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.audit.journal import Journal


@pytest.fixture
def folder(open_journal: Callable[..., Journal]) -> Path:
    """
    A stream of 20 records in segments 1 to 5 of four records each.
    """
    journal = open_journal(segment_limit_bytes=720)
    for number in range(20):
        journal.record_now({"tag": Tag.CALL_DENIED, "request_id": f"request-{number:02d}"})
    journal.close()
    assert [4] * 5 == [path.read_bytes().count(b"\n") for path in sorted(journal.path.glob("*.jsonl"))]
    return journal.path


def read(folder: Path, number: int) -> list[bytes]:
    """
    The lines of a segment.
    """
    return (folder / f"{number:08d}.jsonl").read_bytes().splitlines(keepends=True)


def write(folder: Path, number: int, lines: list[bytes]) -> None:
    """
    Replace a segment's lines.
    """
    (folder / f"{number:08d}.jsonl").write_bytes(b"".join(lines))


def change_a_byte(folder: Path) -> None:
    """
    One digit of a value, in the middle.
    """
    lines = read(folder, 2)
    write(folder, 2, [lines[0], lines[1].replace(b"request-05", b"request-95"), *lines[2:]])


def change_the_last_line(folder: Path) -> None:
    """
    The last line of a segment, to which the next segment's first is chained.
    """
    lines = read(folder, 2)
    write(folder, 2, [*lines[:-1], lines[-1].replace(b"request-07", b"request-97")])


def remove_a_line(folder: Path) -> None:
    """
    A record is gone.
    """
    lines = read(folder, 2)
    write(folder, 2, [lines[0], *lines[2:]])


def repeat_a_line(folder: Path) -> None:
    """
    A record stands twice.
    """
    lines = read(folder, 2)
    write(folder, 2, [*lines[:2], *lines[1:]])


def swap_lines(folder: Path) -> None:
    """
    Two records in each other's place.
    """
    first, second, third, fourth = read(folder, 2)
    write(folder, 2, [first, third, second, fourth])


def break_json(folder: Path) -> None:
    """
    A line that is no JSON any more.
    """
    lines = read(folder, 2)
    write(folder, 2, [lines[0], lines[1].replace(b'{"v"', b'["v"'), *lines[2:]])


def remove_the_last_line(folder: Path) -> None:
    """
    A segment in the middle that is shorter than the next one says.
    """
    write(folder, 2, read(folder, 2)[:-1])


def cut_a_line(folder: Path) -> None:
    """
    The same, in the middle of its last line.
    """
    lines = read(folder, 2)
    write(folder, 2, [*lines[:-1], lines[-1][:-30]])


def remove_a_segment(folder: Path) -> None:
    """
    A file in the middle is gone.
    """
    (folder / "00000002.jsonl").unlink()


def remove_the_start(folder: Path) -> None:
    """
    The first file is gone.
    """
    (folder / "00000001.jsonl").unlink()


def swap_segments(folder: Path) -> None:
    """
    Two files in the middle in each other's place.
    """
    two, three = read(folder, 2), read(folder, 3)
    write(folder, 2, three)
    write(folder, 3, two)


def swap_the_first_segments(folder: Path) -> None:
    """
    The stream's start and the file behind it.
    """
    one, two = read(folder, 1), read(folder, 2)
    write(folder, 1, two)
    write(folder, 2, one)


def remove_two_segments(folder: Path) -> None:
    """
    Two files in a row are gone.
    """
    (folder / "00000002.jsonl").unlink()
    (folder / "00000003.jsonl").unlink()


def move_down_what_is_left(folder: Path) -> None:
    """
    A file is gone, and those behind it have taken its name and each other's.
    """
    for number in (2, 3, 4):
        write(folder, number, read(folder, number + 1))
    (folder / "00000005.jsonl").unlink()


def empty_a_segment(folder: Path) -> None:
    """
    A log rotation has truncated it.
    """
    write(folder, 2, [])


def swap_the_last_segments(folder: Path) -> None:
    """
    The last two, which no later one names.
    """
    four, five = read(folder, 4), read(folder, 5)
    write(folder, 4, five)
    write(folder, 5, four)


def slip_in_a_segment(folder: Path) -> None:
    """
    A copy of an old file behind the last.
    """
    write(folder, 6, read(folder, 2))


def move_from_another_stream(folder: Path) -> None:
    """
    The folder was renamed.
    """
    folder.rename(folder.parent / "worker-1")


def claim_another_version(folder: Path) -> None:
    """
    Of the format, in the very first line.
    """
    lines = read(folder, 1)
    write(folder, 1, [lines[0].replace(b'{"v":1', b'{"v":2'), *lines[1:]])


def lose_the_origin(folder: Path) -> None:
    """
    A segment's first record without `node`.
    """
    lines = read(folder, 3)
    write(folder, 3, [lines[0].replace(b'"node":"gw1",', b""), *lines[1:]])


def add_an_origin(folder: Path) -> None:
    """
    `previous` in the middle of a segment.
    """
    lines = read(folder, 3)
    write(folder, 3, [lines[0], lines[1].replace(b'"request_id"', b'"previous":null,"request_id"'), *lines[2:]])


def lengthen_a_line(folder: Path) -> None:
    """
    Beyond what a line may have.
    """
    lines = read(folder, 3)
    write(folder, 3, [lines[0], lines[1][:-2] + b" " * 20_000 + b"}\n", *lines[2:]])


def start_anew_in_the_middle(folder: Path) -> None:
    """
    A segment that claims to be the stream's first.
    """
    line = orjson.loads(read(folder, 3)[0]) | {"previous": None}
    write(folder, 3, [orjson.dumps(line) + b"\n", *read(folder, 3)[1:]])


@pytest.mark.parametrize(
    ("alter", "segment", "line", "reason"),
    [
        (change_a_byte, 2, 3, "prev_differs"),
        (change_the_last_line, 3, 1, "previous_differs"),
        (remove_a_line, 2, 2, "seq_differs"),
        (repeat_a_line, 2, 3, "seq_differs"),
        (swap_lines, 2, 2, "seq_differs"),
        (break_json, 2, 2, "no_record"),
        (remove_the_last_line, 2, 4, "segment_cut_short"),
        (cut_a_line, 2, 4, "segment_cut_short"),
        (remove_a_segment, 3, 1, "segment_missing"),
        (remove_the_start, 2, 1, "segment_missing"),
        (swap_segments, 2, 1, "segment_out_of_place"),
        (swap_the_last_segments, 4, 1, "segment_out_of_place"),
        (swap_the_first_segments, 1, 1, "segment_out_of_place"),
        (remove_two_segments, 4, 1, "segment_missing"),
        (move_down_what_is_left, 2, 1, "segment_missing"),
        (empty_a_segment, 2, 1, "segment_cut_short"),
        (slip_in_a_segment, 3, 1, "segment_out_of_place"),
        (claim_another_version, 1, 1, "version_unknown"),
        (lose_the_origin, 3, 1, "origin_missing"),
        (add_an_origin, 3, 2, "origin_unexpected"),
        (lengthen_a_line, 3, 2, "line_too_long"),
        (start_anew_in_the_middle, 1, 1, "segment_out_of_place"),
    ],
)
def test_an_altered_journal_is_found(
    folder: Path, alter: Callable[[Path], None], segment: int, line: int, reason: str
) -> None:
    """
    With the file, the line and a word for what is wrong there; and no proof is claimed.
    """
    alter(folder)

    report = verify(folder.parent)

    assert {"file": f"worker-0/{segment:08d}.jsonl", "line": line, "reason": reason} == report.as_json()["first_bad"]
    assert (False, "none") == (report.ok, report.proof)


def test_a_renamed_stream_is_found(folder: Path) -> None:
    """
    Records say whose they are.
    """
    move_from_another_stream(folder)

    bad = verify(folder.parent).first_bad

    assert bad is not None
    assert ("worker-1/00000001.jsonl", 1, "stream_differs") == (bad.file, bad.line, bad.reason)


def test_a_whole_journal_is_reported_as_the_contract_says(folder: Path, open_journal: Callable[..., Journal]) -> None:
    """
    All streams, their records and heads, `worker-2` before `worker-10`, and the proof there is.
    """
    for name in ("worker-10", "worker-2", "admin"):
        journal = open_journal(name)
        journal.record_now({"tag": Tag.WORKER_STARTED})
        journal.close()

    report = verify(folder.parent).as_json()

    assert ["ok", "proof", "records", "streams", "torn", "first_bad"] == list(report)
    assert (True, "chain", 23, [], None) == tuple(
        report[name] for name in ("ok", "proof", "records", "torn", "first_bad")
    )
    streams = report["streams"]
    assert isinstance(streams, list)
    assert [("admin", 1), ("worker-0", 20), ("worker-2", 1), ("worker-10", 1)] == [
        (stream["stream"], stream["records"]) for stream in streams
    ]
    assert all(len(stream["head"]) == 64 for stream in streams)


def test_an_empty_journal_proves_nothing(tmp_path: Path) -> None:
    """
    It is not bad either; a folder that is not there is an error.
    """
    assert (True, "none", 0) == (verify(tmp_path).ok, verify(tmp_path).proof, verify(tmp_path).records)
    with pytest.raises(StorageError, match="cannot be read: No such file"):
        verify(tmp_path / "missing")


def test_other_files_are_of_no_concern(folder: Path) -> None:
    """
    Notes of an administrator, an editor's copy, a file beside the streams.
    """
    (folder / "00000002.jsonl~").write_text("x")
    (folder.parent / "README").write_text("x")

    assert verify(folder.parent).ok


def test_every_byte_counts(folder: Path) -> None:
    """
    Whichever byte of an inner segment is changed, verify finds it.
    """
    path = folder / "00000002.jsonl"
    data = path.read_bytes()
    unseen = []
    for place in range(0, len(data), 41):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        if verify(folder.parent).ok:
            unseen.append(place)

    assert unseen == []


def test_a_writer_at_work_is_never_reported(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    Verified again and again while groups are appended and segments begun.
    """
    journal = open_journal(segment_limit_bytes=50_000)
    stop = threading.Event()

    def record() -> None:
        while not stop.is_set():
            journal.record_now(*({"tag": Tag.CALL_DENIED, "request_id": "r" * 100} for _ in range(20)))

    thread = threading.Thread(target=record)
    thread.start()
    reports = [verify(root)]
    try:
        while reports[-1].records < 3000:
            reports.append(verify(root))
    finally:
        stop.set()
        thread.join()

    assert {None} == {report.first_bad for report in reports}
    assert {()} == {report.torn for report in reports}
