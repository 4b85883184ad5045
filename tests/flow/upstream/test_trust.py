"""
TLS on the way up: who is trusted, what is resumed, and what a changed trust leaves behind.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest
from relay import open_relay
from reply_scripts import JSON, render_reply
from scripted_upstream import run_scripted_upstream
from way_up import create_credential, create_request, fetch

from gateway.upstream.request import Timeouts
from gateway.upstream.tls_channel import Resumption

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scripted_upstream import ScriptedUpstream

    from gateway.upstream.client import PooledUpstreams

CLOSE = b"Connection: close\r\n"
NOT_SENT = ("not_sent", False)


async def call(sender: PooledUpstreams, upstream: ScriptedUpstream, **more: Any) -> None:
    """
    One call whose connection ends with it.
    """
    credential = create_credential(upstream, **more)
    result = await fetch(sender, create_request(credential, upstream.add(render_reply(headers=CLOSE))))

    assert JSON == result.body


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_further_connection_resumes_the_session(
    tmp_path: Path, play: Callable[..., None], version: ssl.TLSVersion
) -> None:
    """
    A short handshake, which the server tells; also the one after it.
    """

    async def story(sender: PooledUpstreams) -> None:
        with run_scripted_upstream(tmp_path) as upstream:
            upstream.context.maximum_version = version
            for _ in range(3):
                await call(sender, upstream)

            assert [False, True, True] == [visit.is_resumed for visit in upstream.visits]

    play(story)


def test_a_session_that_is_refused_costs_a_full_handshake(tmp_path: Path, play: Callable[..., None]) -> None:
    """
    As after a restart of the server, which has forgotten the key of its tickets.
    """

    async def story(sender: PooledUpstreams) -> None:
        with run_scripted_upstream(tmp_path) as upstream:
            await call(sender, upstream)
            forgetful = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            forgetful.load_cert_chain(tmp_path / "server.pem", tmp_path / "server-key.pem")
            upstream.context = forgetful
            await call(sender, upstream)

            assert [False, False] == [visit.is_resumed for visit in upstream.visits]

    play(story)


def test_a_changed_trust_leaves_no_session_and_no_connection(tmp_path: Path, play: Callable[..., None]) -> None:
    """
    What was agreed on under the old certificates is of no use under the new ones, though the server would resume it.
    """

    async def story(sender: PooledUpstreams) -> None:
        with run_scripted_upstream(tmp_path / "one") as upstream, run_scripted_upstream(tmp_path / "other") as other:
            old = create_credential(upstream)
            assert JSON == (await fetch(sender, create_request(old, upstream.add(render_reply())))).body
            new = create_credential(upstream, ca_pem=upstream.ca_pem + "\n")
            await sender.forget({new})
            assert JSON == (await fetch(sender, create_request(new, upstream.add(render_reply(headers=CLOSE))))).body
            assert [False, False] == [visit.is_resumed for visit in upstream.visits]
            distrusted = create_credential(upstream, ca_pem=other.ca_pem)
            await sender.forget({distrusted})
            request = create_request(distrusted, upstream.add(render_reply()))
            result = await fetch(sender, request)

            assert ("upstream_certificate", *NOT_SENT) == (result.reason, result.outcome, result.was_handed_over)
            assert 2 == len(upstream.requests)

    play(story)


def test_what_rings_is_not_cut_off_by_a_changed_trust(tmp_path: Path, play: Callable[..., None]) -> None:
    """
    The running call ends as it would have, on the old connection; that is its last.
    """

    async def story(sender: PooledUpstreams) -> None:
        with run_scripted_upstream(tmp_path) as upstream:
            credential = create_credential(upstream)
            something = threading.Event()
            sending = asyncio.create_task(
                fetch(sender, create_request(credential, upstream.add(something, render_reply())))
            )
            while not upstream.requests:  # noqa: ASYNC110 - the server's thread tells no loop
                await asyncio.sleep(0.001)
            await sender.forget(frozenset())
            assert "<PooledUpstreams: []>" == repr(sender)
            something.set()

            assert JSON == (await sending).body
            while not upstream.visits[0].has_ended.is_set():  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.001)
            assert upstream.visits[0].has_signed_off

    play(story)


def test_the_same_upstream_under_another_key_keeps_its_connections(tmp_path: Path, play: Callable[..., None]) -> None:
    """
    A rotated key changes no trust.
    """

    async def story(sender: PooledUpstreams) -> None:
        with run_scripted_upstream(tmp_path) as upstream:
            for _ in range(2):
                credential = create_credential(upstream)
                await sender.forget({credential})
                await fetch(sender, create_request(credential, upstream.add(render_reply())))

            assert 1 == len(upstream.visits)

    play(story)


def test_a_name_that_is_not_in_the_certificate_is_refused(tmp_path: Path, play: Callable[..., None]) -> None:
    """
    Also when a session with the same server could be resumed under its right name.
    """

    async def story(sender: PooledUpstreams) -> None:
        with run_scripted_upstream(tmp_path) as upstream:
            await call(sender, upstream)
            # 127.1 is another way to write 127.0.0.1, and not in the certificate.
            wrong = create_request(create_credential(upstream, host="127.1"), upstream.add(render_reply()))
            result = await fetch(sender, wrong)

            assert ("upstream_certificate", *NOT_SENT) == (result.reason, result.outcome, result.was_handed_over)
            assert 1 == len(upstream.requests)

    play(story)


def test_what_speaks_no_tls_is_unreachable(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    Whatever it says, and if it says nothing: within the time for connecting.
    """

    async def story(sender: PooledUpstreams) -> None:
        for answer in (b"HTTP/1.1 400 Bad Request\r\n\r\n", None):
            with socket.create_server(("127.0.0.1", 0)) as listening:
                threading.Thread(target=_answer, args=(listening, answer), daemon=True).start()
                credential = create_credential(scripted, port=listening.getsockname()[1])
                request = create_request(credential, b"")
                result = await fetch(sender, request)

            assert ("upstream_unreachable", *NOT_SENT) == (result.reason, result.outcome, result.was_handed_over)

    play(story, timeouts=Timeouts(connect_seconds=0.2))


def _answer(listening: socket.socket, answer: bytes | None) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(65536)
        if answer is not None:
            connection.sendall(answer)
        connection.recv(65536)


@pytest.mark.parametrize("piece_bytes", [1, 7])
def test_records_may_be_cut_anywhere(tmp_path: Path, play: Callable[..., None], piece_bytes: int) -> None:
    """
    A segment of TCP can end in the middle of a record, of its header too.
    """

    async def story(sender: PooledUpstreams) -> None:
        with run_scripted_upstream(tmp_path) as upstream, open_relay(upstream.port, piece_bytes) as relay:
            upstream.port = relay.port
            credential = create_credential(upstream)
            for _ in range(2):
                result = await fetch(sender, create_request(credential, upstream.add(render_reply())))
                assert JSON == result.body

            assert 1 == len(upstream.visits)

    play(story)


def test_a_reply_that_was_altered_on_the_way_is_none(tmp_path: Path, play: Callable[..., None]) -> None:
    """
    One bit is enough.
    """

    async def story(sender: PooledUpstreams) -> None:
        with run_scripted_upstream(tmp_path) as upstream, open_relay(upstream.port) as relay:
            upstream.port = relay.port
            credential = create_credential(upstream)
            await fetch(sender, create_request(credential, upstream.add(render_reply())))
            relay.spoils.set()
            result = await fetch(sender, create_request(credential, upstream.add(render_reply())))

            assert ("upstream_broke", "unknown", True) == (result.reason, result.outcome, result.was_handed_over)

    play(story)


def test_the_next_address_is_tried_and_remembered(
    tmp_path: Path, play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A name with two addresses, nobody at the first: the second serves, and goes first from then on.
    """

    async def story(sender: PooledUpstreams) -> None:
        with run_scripted_upstream(tmp_path) as upstream:
            loop = asyncio.get_running_loop()
            tried: list[str] = []
            connect = loop.create_connection

            async def resolve(_host: str, port: int, **_: object) -> list[Any]:
                return [
                    (socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("127.0.0.9", "127.0.0.1")
                ]

            async def note(make: Any, address: str, port: int, **more: Any) -> Any:
                tried.append(address)
                return await connect(make, address, port, **more)

            patched = _Loop(loop, resolve, note)
            monkeypatch.setattr("gateway.upstream.connector.asyncio.get_running_loop", lambda: patched)
            for _ in range(2):
                await call(sender, upstream, host="localhost")
            monkeypatch.undo()

            assert ["127.0.0.9", "127.0.0.1", "127.0.0.1"] == tried

    play(story)


class _Loop:
    """
    A loop with a resolver of its own; uvloop's cannot be changed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, getaddrinfo: Any, create_connection: Any) -> None:
        self._loop = loop
        self.getaddrinfo = getaddrinfo
        self.create_connection = create_connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


def test_a_session_is_resumed_for_an_hour_after_its_certificate_was_seen() -> None:
    """
    Each resumption brings a new session, and none of them shows the certificate again.
    """

    class Channel:
        is_resumed = False
        session = object()

    resumption = Resumption()
    assert (None, 5.0) == resumption.find(5.0)
    resumption.keep(Channel(), 5.0, 6.0)  # type: ignore[arg-type]
    assert (Channel.session, 5.0) == resumption.find(3600.0)
    resumption.keep(Channel(), 5.0, 3601.0)  # type: ignore[arg-type]
    assert (None, 3605.0) == resumption.find(3605.0)
    assert "<Resumption with a session>" == repr(resumption)


def test_nothing_is_resumed_where_certificates_are_looked_at_elsewhere() -> None:
    """
    A resumed handshake shows none, so a context that asks the system afterwards could not.
    """

    class Channel:
        is_resumed = False
        session = object()

    resumption = Resumption(is_possible=False)
    resumption.keep(Channel(), 5.0, 6.0)  # type: ignore[arg-type]
    assert (None, 7.0) == resumption.find(7.0)


def test_certificates_that_cannot_be_read_are_told_to_the_operator(
    scripted: ScriptedUpstream, play: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """
    The call was not sent; read ahead of calls, that it failed bothers nobody yet.
    """

    async def story(sender: PooledUpstreams) -> None:
        credential = create_credential(scripted, ca_pem="no certificate")
        sender.prepare([credential])
        for _ in range(2):
            result = await fetch(sender, create_request(credential, b""))

            assert ("upstream_unreachable", *NOT_SENT) == (result.reason, result.outcome, result.was_handed_over)
        assert "the certificates to trust cannot be read" in caplog.text
        assert "never retrieved" not in caplog.text

    play(story)
