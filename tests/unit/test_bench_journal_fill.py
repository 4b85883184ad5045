"""
A journal that was made long by writing a call's records again and again.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from benchmarks.journal_fill import Filler
from gateway.audit.event import Tag, render_draft
from gateway.audit.stream import Stream
from gateway.evidence.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 5, 3, 9, 15, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """
    A stream with one call and an orderly end.
    """
    stream = Stream.open(tmp_path, "worker-0", node="test", segment_limit_bytes=1024)
    call = {"request_id": "01900000-0000-7000-8000-0000000000aa", "caller": "crm", "operation": "X/y"}
    stream.append(
        [
            render_draft({"tag": Tag.WORKER_STARTED, "counts": {"unknown": 0}}, NOW),
            render_draft({"tag": Tag.CALL_INTENDED, **call, "parameters": {"tag": {"text": "\u00e4"}}}, NOW),
            render_draft({"tag": Tag.CALL_ENDED, **call, "outcome": "succeeded"}, NOW),
            render_draft({"tag": Tag.WORKER_STOPPED, "counts": {"open": 0}}, NOW),
        ]
    )
    stream.close()
    return tmp_path / "worker-0"


@pytest.mark.parametrize(("is_orderly", "records"), [(True, 105), (False, 104)])
def test_a_filled_journal_is_whole(folder: Path, *, is_orderly: bool, records: int) -> None:
    """
    Over many segments, and with the mark of an orderly stop behind it or without.
    """
    Filler(folder, segment_bytes=2000).fill(100, is_orderly=is_orderly)

    report = verify(folder.parent)
    assert (report.first_bad, report.torn) == (None, ())
    assert [records] == [stream.records for stream in report.streams]
    assert len(list(folder.glob("*.jsonl"))) > 5


def test_a_stream_without_an_orderly_end_is_not_filled(folder: Path) -> None:
    """
    There would be no record of a stop to repeat.
    """
    Filler(folder).fill(2, is_orderly=False)

    with pytest.raises(ValueError, match="orderly stop"):
        Filler(folder)
