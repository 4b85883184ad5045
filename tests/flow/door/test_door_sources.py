"""
How many connections one source may hold.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.data_plane.bounds import Bounds
from gateway.data_plane.hall import _find_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flow.door.conftest import House

    OpenHouse = Callable[..., House]

REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a machine is 127.0.0.1 alone")
def test_one_source_holds_a_quarter_of_the_connections(open_house: OpenHouse) -> None:
    """
    Whoever lets connections hang gets 503 for more; others are served, and so is he when one of his has ended.
    """
    house = open_house(connections=8, linger_seconds=0.2)
    with house.connect() as first, house.connect() as second:
        for caller in (first, second):
            caller.send(REQUEST).read_reply()
        reply = house.exchange(REQUEST)
        with house.connect("127.0.0.2") as other:
            assert 200 == other.send(REQUEST).read_reply().status

        assert (503, "1", "close") == (reply.status, reply.headers["retry-after"], reply.headers["connection"])
        assert "connections_exhausted" == json.loads(reply.body)["reason"]
    house.wait_for_doors(0)

    assert 200 == house.exchange(REQUEST).status
    house.wait_for_doors(0)
    assert {} == house.hall._admitted_by_source  # no trace is left of who came


@pytest.mark.parametrize(
    ("connections", "given", "share"), [(10_000, None, 2500), (3, None, 1), (0, None, 1), (8, 8, 8)]
)
def test_a_sources_share_is_a_quarter_and_at_least_one(connections: int, given: int | None, share: int) -> None:
    """
    Unless it is set.
    """
    assert share == Bounds(connections=connections, source_connections=given).source_share


def test_an_ipv6_source_is_its_network() -> None:
    """
    One host can have all addresses of a /64 to itself.
    """
    assert _find_source("2001:db8::1") == _find_source("2001:db8::ffff:0:0:1") != _find_source("2001:db8:0:1::1")
    assert "192.0.2.7" == _find_source("192.0.2.7") != _find_source("192.0.2.8")
