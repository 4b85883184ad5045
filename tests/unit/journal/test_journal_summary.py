"""
Counting what nobody with a token asked.
"""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.audit.event import Tag, render_draft
from gateway.audit.summary import AnonymousSummary

NOW = datetime(2026, 5, 3, 9, 15, tzinfo=UTC)


def test_refusals_become_one_event_with_exact_counts() -> None:
    """
    By reason, sorted, with the minute's end as its instant; then everything starts anew.
    """
    summary = AnonymousSummary()
    for reason in ("token_missing", "token_invalid", "token_missing"):
        summary.count(reason)

    event = summary.take(NOW)

    assert event == {
        "at": "2026-05-03T09:15:00.000000Z",
        "tag": Tag.ANONYMOUS_SUMMARISED,
        "counts": {"token_invalid": 1, "token_missing": 2},
    }
    assert b'"counts"' in render_draft(event, NOW).opening
    assert summary.take(NOW) is None


def test_a_quiet_minute_leaves_no_record() -> None:
    """
    Nothing to tell, nothing written.
    """
    assert AnonymousSummary().take(NOW) is None
    assert repr(AnonymousSummary()) == "<AnonymousSummary 0 requests>"
