"""
Through a corporate proxy: CONNECT with a user and password, what its refusals become, and what it never sees.
"""

from __future__ import annotations

import base64
import dataclasses
import socket
from typing import TYPE_CHECKING

import pytest
from connect_proxy import run_connect_proxy
from way_up import KEY, RING, create_credential, create_request

from gateway.access.proxy import Proxy
from gateway.custody import seal_key, seal_proxy_password
from gateway.errors import Reason, UpstreamError
from gateway.outcome import Outcome
from gateway.secret import Secret
from gateway.simulator.certificates import ensure_certificates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scripted_upstream import ScriptedUpstream

    from gateway.access.credential import Credential
    from gateway.upstream.client import PooledUpstreams
    from gateway.upstream.request import UpstreamRequest

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"Code":0}'
PASSWORD = "p\u00e4ss:w\u00f6rd-5f1c9d"
BASIC = "Basic " + base64.b64encode(f"gate way:{PASSWORD}".encode()).decode()


def behind(credential: Credential, port: int, *, user: str | None = None) -> Credential:
    """
    The credential of an upstream behind a proxy on loopback.
    """
    proxy = Proxy("127.0.0.1", port, user)
    if user is not None:
        sealed = seal_proxy_password(RING, Secret(PASSWORD), credential.upstream.name, proxy)
        proxy = dataclasses.replace(proxy, sealed=sealed)
    moved = dataclasses.replace(credential, upstream=dataclasses.replace(credential.upstream, proxy=proxy))
    return dataclasses.replace(moved, sealed=seal_key(RING, Secret(KEY), moved))


async def send(sender: PooledUpstreams, request: UpstreamRequest) -> int | tuple[Reason, Outcome, str]:
    """
    The reply's status, or the error.
    """
    try:
        reply = await sender.send(request)
    except UpstreamError as error:
        return error.reason, error.outcome, error.detail
    await reply.close()
    return reply.status


def test_a_call_goes_through_the_proxy_that_the_upstream_names(
    scripted: ScriptedUpstream, play: Callable[..., None]
) -> None:
    """
    The proxy sees a host, a port and our user and password; Noojee gets the call, and the connection is used again.
    """
    query = scripted.add(OK)
    with run_connect_proxy(authorization=BASIC) as proxy:
        credential = behind(create_credential(scripted), proxy.port, user="gate way")

        async def story(sender: PooledUpstreams) -> None:
            assert [200, 200] == [await send(sender, create_request(credential, query)) for _ in range(2)]

        before = len(scripted.visits)
        play(story)

    (head,) = proxy.heads
    assert head.startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: 127.0.0.1:" % scripted.port)
    assert KEY.encode() not in head
    assert [2] == [len(visit.requests) for visit in scripted.visits[before:]]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 407 No\r\n\r\n", "asks for a user and password (407)"),
        (
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
            "does not allow connections to 127.0.0.1:{port} (403)",
        ),
        (b"HTTP/1.0 502 Bad Gateway\r\n\r\n", "could not connect to 127.0.0.1:{port} (502)"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://login/\r\n\r\n", "could not connect to 127.0.0.1:{port} (302)"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "gave no answer that can be read"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000, "gave no answer that can be read"),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "sent data of its own into the tunnel"),
        (b"", "gave no answer that can be read"),
    ],
    ids=["407", "403", "502", "302", "no HTTP", "too long", "data before TLS", "nothing"],
)
def test_what_the_proxy_refuses_was_not_sent_and_is_told_with_its_name(
    scripted: ScriptedUpstream, play: Callable[..., None], answer: bytes, said: str
) -> None:
    """
    `upstream_unreachable`, proven not sent, and a sentence that names the proxy and what it said.
    """
    with run_connect_proxy(answer=answer) as proxy:
        credential = behind(create_credential(scripted), proxy.port)

        async def story(sender: PooledUpstreams) -> None:
            detail = f"The proxy 127.0.0.1:{proxy.port} {said.format(port=scripted.port)}; it was not sent."
            expected = (Reason.UPSTREAM_UNREACHABLE, Outcome.NOT_SENT, detail)
            assert expected == await send(sender, create_request(credential, b""))

        play(story)


def test_a_wrong_password_is_told_from_a_missing_one(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    With a user the proxy does not ask for one, it does not accept ours; neither stands in what is told.
    """
    with run_connect_proxy(authorization="Basic something-else") as proxy:
        credential = behind(create_credential(scripted), proxy.port, user="gate way")

        async def story(sender: PooledUpstreams) -> None:
            told = await send(sender, create_request(credential, b""))
            detail = f"The proxy 127.0.0.1:{proxy.port} does not accept the user and password (407); it was not sent."
            assert (Reason.UPSTREAM_UNREACHABLE, Outcome.NOT_SENT, detail) == told

        play(story)


def test_a_proxy_that_is_not_there_is_named(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    Nothing listens: not Noojee is to be looked at, but the proxy.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    credential = behind(create_credential(scripted), port)

    async def story(sender: PooledUpstreams) -> None:
        detail = f"Noojee could not be reached through the proxy 127.0.0.1:{port}; it was not sent."
        assert (Reason.UPSTREAM_UNREACHABLE, Outcome.NOT_SENT, detail) == await send(
            sender, create_request(credential, b"")
        )

    play(story)


def test_a_password_that_was_moved_to_another_proxy_does_not_open(
    scripted: ScriptedUpstream, play: Callable[..., None]
) -> None:
    """
    Whoever points an upstream at a proxy of his own, without the master key, gets no password.
    """
    with run_connect_proxy() as proxy:
        credential = behind(create_credential(scripted), proxy.port + 1 if proxy.port < 65535 else 1, user="gate way")
        there = credential.upstream.proxy
        assert there is not None
        upstream = dataclasses.replace(credential.upstream, proxy=dataclasses.replace(there, port=proxy.port))
        moved = dataclasses.replace(credential, upstream=upstream)

        async def story(sender: PooledUpstreams) -> None:
            told = await send(sender, create_request(moved, b""))
            assert isinstance(told, tuple)
            assert (Reason.UPSTREAM_UNREACHABLE, Outcome.NOT_SENT) == told[:2]
            assert "its password does not open" in told[2]

        play(story)
    assert [] == proxy.heads


def test_noojee_is_verified_inside_the_tunnel(
    scripted: ScriptedUpstream, play: Callable[..., None], tmp_path: Path
) -> None:
    """
    A proxy that leads elsewhere gains nothing: the certificate is looked at as without one, and no byte follows.
    """
    stranger = ensure_certificates(tmp_path).ca_file.read_text()
    before = len(scripted.requests)
    with run_connect_proxy() as proxy:
        credential = behind(create_credential(scripted, ca_pem=stranger), proxy.port)

        async def story(sender: PooledUpstreams) -> None:
            told = await send(sender, create_request(credential, b""))
            assert isinstance(told, tuple)
            assert (Reason.UPSTREAM_CERTIFICATE, Outcome.NOT_SENT) == told[:2]

        play(story)
    assert 1 == len(proxy.heads)
    assert before == len(scripted.requests)
