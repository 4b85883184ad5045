"""
Connections over real TLS: used again, given up, replaced in silence, and never used after something odd.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from reply_scripts import JSON, render_reply
from scripted_upstream import Ending
from way_up import DIAL, KEY, POLL, START, create_credential, create_request, fetch

from gateway.errors import Reason, UpstreamError
from gateway.outcome import Outcome
from gateway.upstream.request import Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripted_upstream import ScriptedUpstream

    from gateway.upstream.client import PooledUpstreams


async def until(holds: Callable[[], bool]) -> None:
    """
    Let the loop go on until something holds; the test's time limit is the patience.
    """
    while not holds():  # noqa: ASYNC110 - what is waited for is a state that tells nobody of its change
        await asyncio.sleep(0.001)


def test_a_connection_is_used_again(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    One handshake for calls that follow one another, dialling ones among them; and what goes up is byte-exact.
    """

    async def story(sender: PooledUpstreams) -> None:
        credential = create_credential(scripted)
        query = scripted.add(render_reply())
        for operation in (START, DIAL, START):
            request = create_request(
                credential, query, operation=operation, body=b'{"a": 1}', headers=[(b"Accept", b"*/*")]
            )
            assert JSON == (await fetch(sender, request)).body

    before = len(scripted.visits)
    play(story)

    (visit,) = scripted.visits[before:]
    path = b"/servicemanager/rest/CallManagementAPI/start?apiKey=" + KEY.encode()
    assert 3 == len(visit.requests)
    assert visit.requests[0].startswith(b"POST " + path + b"&script=")
    lines = visit.requests[0].split(b"\r\n")
    assert b"Host: 127.0.0.1:%d" % scripted.port == lines[1]
    assert lines[2].startswith(b"User-Agent: noojee-gateway/")
    assert [b"Accept-Encoding: identity", b"Accept: */*", b"Content-Length: 8", b"", b'{"a": 1}'] == lines[3:]
    assert visit.has_signed_off


@pytest.mark.parametrize("ending", [Ending.FIN, Ending.NOTIFY, Ending.RESET])
def test_an_end_while_idle_is_noticed(scripted: ScriptedUpstream, play: Callable[..., None], ending: Ending) -> None:
    """
    The next call goes on another connection, and was sent once.
    """

    async def story(sender: PooledUpstreams) -> None:
        credential = create_credential(scripted)
        later = threading.Event()
        await fetch(sender, create_request(credential, scripted.add(render_reply(), later, ending=ending)))
        assert "1 idle" in repr(sender)
        later.set()
        await until(lambda: "calls: 0 busy, 0 idle, 0 opening" in repr(sender))

        request = create_request(credential, scripted.add(render_reply()))
        assert JSON == (await fetch(sender, request)).body

    before = len(scripted.visits)
    play(story)

    assert [1, 1] == [len(visit.requests) for visit in scripted.visits[before:]]


def test_what_nobody_asked_for_ends_a_connection(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    Data on an idle connection would be taken for the next call's reply.
    """

    async def story(sender: PooledUpstreams) -> None:
        credential = create_credential(scripted)
        later = threading.Event()
        await fetch(sender, create_request(credential, scripted.add(render_reply(), later, render_reply(500))))
        later.set()
        await until(lambda: "calls: 0 busy, 0 idle, 0 opening" in repr(sender))

        assert 200 == (await fetch(sender, create_request(credential, scripted.add(render_reply())))).status

    play(story)


@pytest.mark.parametrize(
    "reply",
    [
        render_reply() + b"surplus",
        render_reply(headers=b"Connection: close\r\n"),
        render_reply(version=b"1.0"),
        render_reply(302),
        b"nonsense\r\n\r\n",
    ],
)
def test_an_odd_reply_is_a_connections_last(
    scripted: ScriptedUpstream, play: Callable[..., None], reply: bytes
) -> None:
    """
    Whatever comes of the call, the next one does not go there.
    """

    async def story(sender: PooledUpstreams) -> None:
        credential = create_credential(scripted)
        await fetch(sender, create_request(credential, scripted.add(reply)))
        await fetch(sender, create_request(credential, scripted.add(render_reply())))

    before = len(scripted.visits)
    play(story)

    assert [1, 1] == [len(visit.requests) for visit in scripted.visits[before:]]


def test_a_dial_meets_no_connection_that_is_just_closing(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    Its end is in the kernel, and our loop has not come to it yet: a look there costs a microsecond, a guess a call.
    """

    async def story(sender: PooledUpstreams) -> None:
        credential = create_credential(scripted)
        later = threading.Event()
        await fetch(sender, create_request(credential, scripted.add(render_reply(), later, ending=Ending.FIN)))
        later.set()
        scripted.visits[-1].has_said_all.wait(10)  # and the loop stands still meanwhile

        request = create_request(credential, scripted.add(render_reply()), operation=DIAL)
        assert JSON == (await fetch(sender, request)).body

    play(story)


def test_a_cancelled_call_takes_its_connection_with_it(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    It was handed over, so nobody may call it unsent; and its late reply must not meet the next call.
    """

    async def story(sender: PooledUpstreams) -> None:
        credential = create_credential(scripted)
        never = threading.Event()
        request = create_request(credential, scripted.add(never, render_reply()))
        before = len(scripted.requests)
        sending = asyncio.create_task(sender.send(request))
        await until(lambda: len(scripted.requests) > before)
        visit = scripted.visits[-1]
        sending.cancel()
        await asyncio.wait({sending})
        assert (True, True) == (sending.cancelled(), request.was_handed_over)
        never.set()
        await until(visit.has_ended.is_set)

        assert not visit.has_signed_off
        assert JSON == (await fetch(sender, create_request(credential, scripted.add(render_reply())))).body
        assert visit is not scripted.visits[-1]

    play(story)


def test_a_call_that_is_cancelled_before_it_has_a_connection_was_not_sent(
    scripted: ScriptedUpstream, play: Callable[..., None]
) -> None:
    """
    In the queue, and while a connection is being opened.
    """

    async def story(sender: PooledUpstreams) -> None:
        credential = create_credential(scripted)
        never = threading.Event()
        first = asyncio.create_task(sender.send(create_request(credential, scripted.add(never, render_reply()))))
        opening = create_request(credential, scripted.add(render_reply()))
        task = asyncio.create_task(sender.send(opening))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        assert (True, False) == (task.cancelled(), opening.was_handed_over)
        never.set()
        assert JSON == (await first).body

    play(story)


def test_a_reply_that_is_given_up_ends_its_connection(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    Closed before its end, or cancelled while more is waited for.
    """

    async def story(sender: PooledUpstreams) -> None:
        credential = create_credential(scripted)
        for cancelled in (False, True):
            never = threading.Event()
            query = scripted.add(render_reply(200, b"x" * 200_000)[:100_000], never)
            reply = await sender.send(create_request(credential, query))
            visit = scripted.visits[-1]
            if cancelled:
                reading = asyncio.create_task(_read(reply))
                await asyncio.sleep(0.01)
                reading.cancel()
                await asyncio.wait({reading})
            await reply.close()
            await reply.close()
            assert "0 busy, 0 idle" in repr(sender) or "1 busy" in repr(sender)
            never.set()
            await until(visit.has_ended.is_set)

    play(story)


async def _read(reply: object) -> None:
    async for _ in reply.chunks():  # type: ignore[attr-defined]
        pass


def test_polls_do_not_stand_in_the_way_of_calls(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    They have connections and a limit of their own.
    """

    async def story(sender: PooledUpstreams) -> None:
        credential = create_credential(scripted)
        something = threading.Event()
        query = scripted.add(something, render_reply())
        polls = [
            asyncio.create_task(fetch(sender, create_request(credential, query, operation=POLL))) for _ in range(5)
        ]
        await until(lambda: "polls: 3 busy, 0 idle, 0 opening, 2 waiting, at most 3" in repr(sender))

        assert JSON == (await fetch(sender, create_request(credential, scripted.add(render_reply())))).body
        something.set()
        assert [JSON] * 5 == [each.body for each in await asyncio.gather(*polls)]

    play(story, connections=1, polls=3)


def test_the_limit_holds_and_nobody_is_lost(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    Two hundred calls at once over ten connections.
    """

    async def story(sender: PooledUpstreams) -> None:
        credential = create_credential(scripted)
        query = scripted.add(render_reply())
        results = await asyncio.gather(*(fetch(sender, create_request(credential, query)) for _ in range(200)))
        assert {JSON} == {result.body for result in results}

    before = len(scripted.visits)
    play(story, connections=10)

    assert 10 == len(scripted.visits) - before
    assert 200 == sum(len(visit.requests) for visit in scripted.visits[before:])


def test_a_call_that_finds_no_place_is_told_that_noojee_is_busy(
    scripted: ScriptedUpstream, play: Callable[..., None]
) -> None:
    """
    After the time for connecting, and proven not sent.
    """

    async def story(sender: PooledUpstreams) -> None:
        credential = create_credential(scripted)
        something = threading.Event()
        first = asyncio.create_task(fetch(sender, create_request(credential, scripted.add(something, render_reply()))))
        await until(lambda: "calls: 1 busy" in repr(sender))
        request = create_request(credential, scripted.add(render_reply()))
        with pytest.raises(UpstreamError) as caught:
            await sender.send(request)
        assert (Reason.UPSTREAM_BUSY, Outcome.NOT_SENT) == (caught.value.reason, caught.value.outcome)
        assert not request.was_handed_over
        something.set()
        await first

    play(story, connections=1, timeouts=Timeouts(connect_seconds=0.1))


def test_who_closes_every_connection_at_once_is_not_asked_for_ever(
    scripted: ScriptedUpstream, play: Callable[..., None]
) -> None:
    """
    A few connections, and then the call is told that it was not sent.
    """

    async def story(sender: PooledUpstreams) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            threading.Thread(target=_slam, args=(listening,), daemon=True).start()
            request = create_request(create_credential(scripted, port=listening.getsockname()[1]), b"")
            result = await fetch(sender, request)
            listening.shutdown(socket.SHUT_RDWR)

        assert ("upstream_unreachable", "not_sent") == (result.reason, result.outcome)
        assert not result.was_handed_over

    play(story)


def _slam(listening: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            listening.accept()[0].close()


def test_nothing_shows_the_key(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    Neither the sender nor a pool, a connection, a reply, or what is under way.
    """

    async def story(sender: PooledUpstreams) -> None:
        credential = create_credential(scripted)
        something = threading.Event()
        sending = asyncio.create_task(sender.send(create_request(credential, scripted.add(something, render_reply()))))
        await until(lambda: "calls: 1 busy" in repr(sender))
        (site,) = sender._sites.values()
        (connection,) = site.calls._all
        await until(lambda: connection._traffic is not None)
        shown = [repr(each) for each in (sender, site, site.connector, connection, connection._traffic)]
        shown += [repr(connection._channel), repr(connection._resumption), repr(connection._transport)]
        something.set()
        shown.append(repr(await sending))

        assert not [text for text in shown if KEY in text]
        assert "<Connection busy>" in shown
        assert "<WholeReply 200, 59 bytes>" in shown
        assert "<Transmission sent: <ReplyReader in its head: 0, 0 bytes of body>>" in shown

    play(story)


def test_a_header_that_shows_our_key_does_not_go_down(scripted: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    Whoever shows us the request that we made shows the key in it; the body is passed on as it is.
    """

    async def story(sender: PooledUpstreams) -> None:
        head = (
            f'HTTP/1.1 200 OK\r\nETag: "/stop?apiKey={KEY}"\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok'
        )
        reply = await sender.send(create_request(create_credential(scripted), scripted.add(head.encode())))

        assert ((b"content-type", b"text/plain"), (b"content-length", b"2")) == reply.headers
        assert b"ok" == reply.body

    play(story)


def test_an_upstream_that_cannot_be_reached_is_logged_once(
    scripted: ScriptedUpstream, play: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """
    And so is its return; not each call that met it.
    """

    async def story(sender: PooledUpstreams) -> None:
        caplog.clear()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            nobody = create_credential(scripted, port=listener.getsockname()[1])
        for _ in range(3):
            result = await fetch(sender, create_request(nobody, b"x=1"))
            assert "upstream_unreachable" == result.reason
        told = [record.getMessage() for record in caplog.records if record.name == "gateway.upstream.client"]

        assert 1 == len(told)
        assert told[0].startswith("noojee cannot be reached: upstream_unreachable: ")

    play(story)
