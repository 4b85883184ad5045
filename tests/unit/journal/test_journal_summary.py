"""
Counting what nobody with a token asked.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.audit.event import LINE_LIMIT_BYTES, Tag, render_draft
from gateway.audit.network import find_network
from gateway.audit.summary import NETWORKS_LIMIT, AnonymousSummary

NOW = datetime(2026, 5, 3, 9, 15, tzinfo=UTC)


def test_refusals_become_one_event_a_network_with_exact_counts() -> None:
    """
    By reason, sorted, with the minute's end as its instant; then everything starts anew.
    """
    summary = AnonymousSummary()
    for reason, peer in (
        ("token_missing", "192.0.2.7"),
        ("token_invalid", "192.0.2.7"),
        ("token_missing", "192.0.2.200"),
        ("token_missing", "192.0.3.7"),
        ("token_missing", "2001:db8::1"),
        ("token_missing", "2001:db8::ffff:1"),
    ):
        summary.count(reason, peer)

    assert "<AnonymousSummary 6 requests from 3 networks>" == repr(summary)
    events = summary.take(NOW)

    assert [
        ("192.0.2.0/24", {"token_invalid": 1, "token_missing": 2}),
        ("192.0.3.0/24", {"token_missing": 1}),
        ("2001:db8::/64", {"token_missing": 2}),
    ] == [(event["peer"], event["counts"]) for event in events]
    assert {("2026-05-03T09:15:00.000000Z", Tag.ANONYMOUS_SUMMARISED)} == {(e["at"], e["tag"]) for e in events}
    assert all(render_draft(event, NOW).size_bytes < LINE_LIMIT_BYTES for event in events)
    assert [] == summary.take(NOW)


def test_a_quiet_minute_leaves_no_record() -> None:
    """
    Nothing to tell, nothing written.
    """
    assert [] == AnonymousSummary().take(NOW)
    assert repr(AnonymousSummary()) == "<AnonymousSummary 0 requests from 0 networks>"


def test_a_flood_of_networks_is_bounded_and_counted() -> None:
    """
    Those without a place of their own are told together as `other`, and none is lost; a new minute has places again.
    """
    summary = AnonymousSummary()
    peers = [f"10.{number // 256}.{number % 256}.1" for number in range(3 * NETWORKS_LIMIT)]
    for peer in (*peers, *peers):
        summary.count("token_missing", peer)

    events = summary.take(NOW)

    assert NETWORKS_LIMIT + 1 == len(events)
    counts = {event["peer"]: event["counts"] for event in events}
    assert {"token_missing": 2} == counts["10.0.255.0/24"]
    assert {"token_missing": 2 * 2 * NETWORKS_LIMIT} == counts["other"]
    summary.count("token_missing", peers[-1])
    assert ["10.2.255.0/24"] == [event["peer"] for event in summary.take(NOW)]


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.7", "192.0.2.0/24"),
        ("2001:db8:0:1:ffff::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "other"),
    ],
)
def test_a_peer_has_a_network(peer: str, network: str) -> None:
    """
    Whatever its zone; one that was gone before its address was known is counted too.
    """
    assert network == find_network(peer)
