"""
Several addresses, IPv6, and a name that comes to lead elsewhere. The resolver is handed in; the sockets are real.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from connect_proxy import run_connect_proxy
from relay import open_relay
from way_up import RING, create_credential, create_request, fetch

from gateway.access.credential import Credential, Kind
from gateway.access.proxy import Proxy
from gateway.access.upstream import Upstream
from gateway.custody import seal_key
from gateway.secret import Secret
from gateway.simulator import run_in_background
from gateway.upstream.addresses import Address
from gateway.upstream.request import Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scripted_upstream import ScriptedUpstream

    from gateway.upstream.client import PooledUpstreams

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"Code":0}'
NAME = "localhost"
V4 = int(socket.AF_INET)
V6 = int(socket.AF_INET6)


class Names:
    """
    A resolver that a test sets.
    """

    def __init__(self, *addresses: tuple[str, int]) -> None:
        self.addresses = [Address(*each) for each in addresses]
        self.asked = 0
        self.is_down = False

    async def resolve(self, host: str, port: int) -> list[Address]:
        """
        What it was set to.
        """
        del port
        assert NAME == host
        self.asked += 1
        if self.is_down:
            raise socket.gaierror(socket.EAI_AGAIN, "nobody answers")
        return list(self.addresses)

    async def wait_until_asked(self, more: int) -> None:
        """
        Return when it was asked so many times more, and what was learnt has been acted on.
        """
        until = self.asked + more
        async with asyncio.timeout(10):
            while self.asked < until:  # noqa: ASYNC110 - the resolver is asked by the sender's own timer
                await asyncio.sleep(0.01)


async def wait_until_none_is_open(sender: PooledUpstreams) -> None:
    """
    Return when its pools hold no connection any more.
    """
    async with asyncio.timeout(10):
        while "calls: 0 busy, 0 idle" not in repr(sender):  # noqa: ASYNC110 - a pool tells nobody
            await asyncio.sleep(0.01)


def named(scripted: ScriptedUpstream) -> Credential:
    """
    A credential whose upstream has a name.
    """
    return create_credential(scripted, host=NAME)


@pytest.mark.parametrize(
    "first", [("127.0.0.9", V4), ("::1", V6), ("2001:db8::1", V6)], ids=["refuses", "IPv6 refuses", "leads nowhere"]
)
def test_a_second_address_is_tried_when_the_first_does_not_answer(
    scripted: ScriptedUpstream, play: Callable[..., None], first: tuple[str, int]
) -> None:
    """
    Within the same attempt, and the address that answered goes first the next time.
    """
    names = Names(first, ("127.0.0.1", V4))
    query = scripted.add(OK)

    async def story(sender: PooledUpstreams) -> None:
        assert 200 == (await fetch(sender, create_request(named(scripted), query))).status

    play(story, resolver=names.resolve, timeouts=Timeouts(connect_seconds=0.6))


def test_connections_to_an_address_that_the_name_has_no_longer_are_retired(
    scripted: ScriptedUpstream, play: Callable[..., None]
) -> None:
    """
    The idle one is closed at the next look, and the next call goes where the name leads now, be it to nobody.
    """
    names = Names(("127.0.0.1", V4))
    query = scripted.add(OK)
    before = len(scripted.visits)

    async def story(sender: PooledUpstreams) -> None:
        request = create_request(named(scripted), query)
        assert 200 == (await fetch(sender, request)).status
        await names.wait_until_asked(2)
        assert 200 == (await fetch(sender, request.again())).status
        assert 1 == len(scripted.visits) - before  # nothing has changed: the connection stayed
        names.addresses = [Address("127.0.0.2", V4)]
        await wait_until_none_is_open(sender)
        assert "upstream_unreachable" == (await fetch(sender, request.again())).reason  # nobody listens there

    play(story, resolver=names.resolve, follow_seconds=0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
def test_a_call_reaches_the_address_that_a_name_has_now(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    The old one goes on listening, and hears no more of us.
    """
    names = Names(("127.0.0.1", V4))
    query = scripted.add(OK)
    with open_relay(scripted.port, at=("127.0.0.2", scripted.port)) as moved:

        async def story(sender: PooledUpstreams) -> None:
            request = create_request(named(scripted), query)
            assert 200 == (await fetch(sender, request)).status
            assert 0 == moved.connections
            names.addresses = [Address("127.0.0.2", V4)]
            await wait_until_none_is_open(sender)
            assert 200 == (await fetch(sender, request.again())).status

        play(story, resolver=names.resolve, follow_seconds=0.05)
        assert 1 == moved.connections


def test_a_name_that_cannot_be_resolved_for_the_moment_retires_nothing(
    scripted: ScriptedUpstream, play: Callable[..., None]
) -> None:
    """
    What is open still leads to Noojee as far as anybody knows: calls go on.
    """
    names = Names(("127.0.0.1", V4))
    query = scripted.add(OK)
    before = len(scripted.visits)

    async def story(sender: PooledUpstreams) -> None:
        request = create_request(named(scripted), query)
        assert 200 == (await fetch(sender, request)).status
        names.is_down = True
        await names.wait_until_asked(3)
        assert 200 == (await fetch(sender, request.again())).status

    play(story, resolver=names.resolve, follow_seconds=0.05)
    assert 1 == len(scripted.visits) - before


def test_a_tunnel_is_retired_when_it_is_old_though_the_proxys_name_cannot_be_resolved(
    scripted: ScriptedUpstream, play: Callable[..., None]
) -> None:
    """
    The proxy resolves Noojee's name, unseen by us: that its own does not resolve tells nothing of where that leads now.
    """
    names = Names(("127.0.0.1", V4))
    query = scripted.add(OK)
    with run_connect_proxy() as proxy:
        direct = create_credential(scripted)
        upstream = dataclasses.replace(direct.upstream, proxy=Proxy(NAME, proxy.port))
        credential = dataclasses.replace(direct, upstream=upstream)

        async def story(sender: PooledUpstreams) -> None:
            assert 200 == (await fetch(sender, create_request(credential, query))).status
            names.is_down = True
            await wait_until_none_is_open(sender)

        play(story, resolver=names.resolve, follow_seconds=0.5)


def test_what_is_under_way_is_not_cut_off(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    A call on a connection whose address is gone ends as it would have; then the connection is closed.
    """
    names = Names(("127.0.0.1", V4))
    goes_on = threading.Event()
    query = scripted.add(OK[:20], goes_on, OK[20:])

    async def story(sender: PooledUpstreams) -> None:
        call = asyncio.create_task(fetch(sender, create_request(named(scripted), query)))
        await names.wait_until_asked(2)
        names.addresses = [Address("127.0.0.2", V4)]
        await names.wait_until_asked(2)
        goes_on.set()
        assert 200 == (await call).status
        await wait_until_none_is_open(sender)

    play(story, resolver=names.resolve, follow_seconds=0.05)


def has_ipv6() -> bool:
    """
    Whether this machine has ::1.
    """
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
def test_a_call_goes_to_an_ipv6_address(tmp_path: Path, play: Callable[..., None]) -> None:
    """
    The address of the URL, its brackets taken off for the socket and kept for Host.
    """
    with run_in_background(tmp_path, host="::1") as simulator:
        port = int(simulator.url.rpartition(":")[2])
        key = Secret(simulator.global_key_file.read_text().strip())
        there = create_credential_at("::1", port, simulator.ca_file.read_text(), key)

        async def story(sender: PooledUpstreams) -> None:
            assert 200 == (await fetch(sender, create_request(there, b"extenOrUniqueId=410"))).status

        play(story)


def create_credential_at(host: str, port: int, ca_pem: str, key: Secret) -> Credential:
    """
    A global key of an upstream.
    """
    credential = Credential("c1", "everything", Upstream("noojee", host, port, ca_pem=ca_pem), Kind.GLOBAL, None, None)
    return dataclasses.replace(credential, sealed=seal_key(RING, key, credential))
