"""
Noojee keys presented to us: one event a minute and network, never the text, never a full disk.
"""

from __future__ import annotations

import pytest

from gateway.audit.event import LINE_LIMIT_BYTES, Tag, render_draft
from gateway.clock import SystemClock
from gateway.data_plane.carriers import Carrier
from gateway.data_plane.key_sightings import KeySightings


def test_a_sighting_tells_carrier_peer_and_credential() -> None:
    """
    `subject` is the credential that holds the key; without it we hold no such key. Both are events of the journal.
    """
    sightings = KeySightings()
    held = sightings.notice("main-global", Carrier.QUERY, "192.0.2.7", 0.0)
    strange = sightings.notice(None, Carrier.X_API_KEY, "198.51.100.7", 0.0)

    assert {
        "tag": Tag.UPSTREAM_KEY_PRESENTED,
        "subject": "main-global",
        "carrier": "query",
        "peer": "192.0.2.7",
    } == held
    assert {"tag": Tag.UPSTREAM_KEY_PRESENTED, "carrier": "x-api-key", "peer": "198.51.100.7"} == strange
    for event in (held, strange):
        assert event is not None
        assert render_draft(event, SystemClock().now()).size_bytes < LINE_LIMIT_BYTES


@pytest.mark.parametrize(
    ("first", "second", "is_told", "why"),
    [
        (("192.0.2.7", 0.0), ("192.0.2.7", 59.9), False, "the same peer within the minute"),
        (("192.0.2.7", 0.0), ("192.0.2.200", 1.0), False, "the same /24"),
        (("192.0.2.7", 0.0), ("192.0.2.7", 60.0), True, "a minute later"),
        (("192.0.2.7", 0.0), ("192.0.3.7", 0.0), True, "another /24"),
        (("2001:db8::1", 0.0), ("2001:db8::ffff:0:0:1", 1.0), False, "the same /64"),
        (("2001:db8::1", 0.0), ("2001:db8:0:1::1", 1.0), True, "another /64"),
        (("fe80::1%eth0", 0.0), ("fe80::2%eth1", 1.0), False, "whatever the zone"),
        (("::1", 0.0), ("127.0.0.1", 0.0), True, "another family"),
    ],
)
def test_one_event_a_minute_and_network(
    first: tuple[str, float], second: tuple[str, float], *, is_told: bool, why: str
) -> None:
    """
    /24 and /64, as networks are counted everywhere in the journal.
    """
    sightings = KeySightings()

    assert sightings.notice(None, Carrier.QUERY, *first) is not None
    assert is_told is (sightings.notice("x", Carrier.QUERY, *second) is not None), why


def test_a_minute_begins_with_an_event() -> None:
    """
    What was not told does not put the next one off.
    """
    sightings = KeySightings()
    told = [sightings.notice(None, Carrier.QUERY, "192.0.2.7", float(second)) is not None for second in range(130)]

    assert [0, 60, 120] == [second for second, is_told in enumerate(told) if is_told]


def test_a_flood_of_networks_is_bounded() -> None:
    """
    A thousand networks a minute; after the minute there is room again.
    """
    sightings = KeySightings()
    peers = [f"10.{number // 256}.{number % 256}.1" for number in range(2000)]
    told = [peer for peer in peers if sightings.notice(None, Carrier.QUERY, peer, 5.0)]

    assert peers[:1024] == told
    assert sightings.notice(None, Carrier.QUERY, peers[1999], 64.9) is None
    assert sightings.notice(None, Carrier.QUERY, peers[1999], 65.0) is not None
    assert 1 == len(sightings._told_at)
