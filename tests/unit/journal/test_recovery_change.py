"""
A change whose verb was killed is closed by what the registry says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from gateway.audit.event import Tag
from gateway.audit.recovery import recover_change
from gateway.errors import StorageError
from gateway.evidence.reader import tail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.audit.journal import Journal

INTENT = {
    "tag": Tag.CHANGE_INTENDED,
    "actor": "uid 1000",
    "subject": "caller crm",
    "change": {"tag": "caller.added", "from": ["10.0.0.0/8"]},
    "request_id": "r1",
    "policy_version": 7,
}


@pytest.mark.parametrize(
    ("version", "tag", "reason"), [(7, "change.failed", "interrupted"), (8, "caller.added", "recovered")]
)
def test_the_registrys_version_decides(
    open_journal: Callable[..., Journal], root: Path, version: int, tag: str, reason: str
) -> None:
    """
    Still the version before: the change was not committed. A greater one: it was.
    """
    journal = open_journal("admin")
    journal.record_now(INTENT)

    recover_change(journal, version)
    recover_change(journal, version)

    intent, closure = [orjson.loads(line) for line in tail(root, 10)]
    assert intent["tag"] == "change.intended"
    assert {
        "tag": tag,
        "actor": "uid 1000",
        "subject": "caller crm",
        "change": {"from": ["10.0.0.0/8"]},
        "request_id": "r1",
        "policy_version": version,
        "reason": reason,
    }.items() <= closure.items()


def test_a_change_that_ended_is_left_alone(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    Also when others stand behind it, and in a stream without any change.
    """
    journal = open_journal("admin", segment_limit_bytes=1)
    recover_change(journal, 1)
    journal.record_now({"tag": Tag.REGISTRY_INITIALISED})
    recover_change(journal, 1)
    for event in (INTENT, {"tag": Tag.CALLER_ADDED, "request_id": "r1"}, {"tag": Tag.JOURNAL_RESUMED}):
        journal.record_now(event)

    recover_change(journal, 8)

    assert len(tail(root, 10)) == 4


def test_a_stream_that_cannot_be_read_is_an_error(open_journal: Callable[..., Journal]) -> None:
    """
    Never taken for a stream without open changes.
    """
    journal = open_journal("admin")
    (journal.path / "00000001.jsonl").mkdir()

    with pytest.raises(StorageError, match="admin cannot be read"):
        recover_change(journal, 1)
