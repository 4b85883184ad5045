"""
How connections end: nothing that was begun goes without an answer, and the answer arrives.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.data_plane.server import CallersServer
from gateway.data_plane.wire import render_address
from gateway.errors import Reason

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from gateway.data_plane.answer import Answer
    from gateway.data_plane.door import Door
    from gateway.data_plane.inbound import Call
    from tests.flow.door.conftest import Caller, House

    OpenHouse = Callable[..., House]
    Contexts = tuple[ssl.SSLContext, ssl.SSLContext]

REQUEST = b"POST %b HTTP/1.1\r\nHost: a\r\n\r\n"


def reset(caller: Caller) -> None:
    """
    Close with a reset.
    """
    caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    caller.socket.close()


def send_for_ever(caller: Caller) -> None:
    """
    Send and never read.
    """
    while True:
        caller.send(b"x" * 10_000)
        time.sleep(0.001)


async def refuse(_: Call, answer: Answer) -> None:
    """
    Answer at once, whatever body may come.
    """
    await answer.send(403, [], b"no")


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_an_early_answer_reaches_a_caller_that_sends_on(
    open_house: OpenHouse, tls: Contexts, *, is_encrypted: bool
) -> None:
    """
    The caller sends all of a large body, slowly, and only then reads: it finds the answer, no EPIPE and no reset.
    """
    house = open_house(refuse, tls=tls if is_encrypted else None, linger_seconds=1.0)
    for length, status, size in ((900_000, 403, 900_000), (8_000_000, 413, 8_000_000), (900_000, 403, 600_000)):
        with house.connect() as caller:
            caller.send(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length)
            for _ in range(5):
                time.sleep(0.02)
                caller.send(b"x" * (size // 5))
            reply = caller.read_reply()

            assert (status, "close") == (reply.status, reply.headers["connection"])


def test_lingering_ends(open_house: OpenHouse) -> None:
    """
    A caller that sends for ever is cut after the time, or after the bytes.
    """
    for bounds in ({"linger_seconds": 0.2}, {"linger_seconds": 60.0, "linger_bytes": 1_000_000}):
        house = open_house(refuse, **bounds)
        with house.connect() as caller:
            caller.send(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                send_for_ever(caller)


def test_a_head_that_is_not_complete_in_time_is_408(open_house: OpenHouse, tls: Contexts) -> None:
    """
    From its first byte on, however often another comes; on a second request of a connection as on the first.
    """
    house = open_house(head_seconds=0.2, tls=tls)
    with house.connect() as caller:
        assert 200 == caller.send(REQUEST % b"/").read_reply().status
        reply = caller.send(*[b"P", b"O", b"S", b"T", b" ", b"/"] + [b"a"] * 6).read_reply()

        assert (408, "close") == (reply.status, reply.headers["connection"])
        assert "request_timeout" == json.loads(reply.body)["reason"]
    assert [(Reason.REQUEST_TIMEOUT, "127.0.0.1")] == house.refusals


def test_connections_without_a_request_are_closed_silently(open_house: OpenHouse) -> None:
    """
    A fresh one after the head's time, an idle one after the keep-alive time: no request was made, nothing is counted.
    """
    house = open_house(head_seconds=0.2, keep_alive_seconds=0.5)
    with house.connect() as fresh, house.connect() as idle:
        idle.send(REQUEST % b"/").read_reply()
        began_at = time.monotonic()

        assert b"" == fresh.read_to_end()
        assert time.monotonic() - began_at < 0.45

        assert b"" == idle.send(b"\r\n").read_to_end()
        assert 0.4 < time.monotonic() - began_at < 2
    assert [] == house.refusals


@pytest.mark.parametrize("leave", [lambda caller: caller.socket.close(), reset], ids=["FIN", "RST"])
@pytest.mark.parametrize("is_encrypted", [False, True])
def test_a_caller_that_leaves_is_noticed_while_its_call_runs(
    open_house: OpenHouse, tls: Contexts, leave: Callable[[Caller], None], *, is_encrypted: bool
) -> None:
    """
    `left` is set at once, on a FIN and on a reset, also with another request waiting behind.
    """

    async def handle(call: Call, _: Answer) -> None:
        await asyncio.wait_for(call.wait_until_left(), 10)

    house = open_house(handle, tls=tls if is_encrypted else None)
    for waiting in (b"", REQUEST % b"/second"):
        caller = house.connect().send(REQUEST % b"/first" + waiting)
        house.wait_until(lambda: house.hall.running, "the call")
        leave(caller)
        house.wait_until(lambda: not house.hall.doors, "the end")
    assert all(call.has_left for call in house.calls)


def test_a_call_that_is_cancelled_before_it_began_is_answered(open_house: OpenHouse) -> None:
    """
    The end of a drain may cancel a task in the very turn of the loop that made it.
    """
    house = open_house()
    with house.connect() as caller:

        async def cancel_at_once() -> None:
            create_task = house.loop.create_task

            def create_cancelled(*arguments: Any, **options: Any) -> asyncio.Task[Any]:
                task = create_task(*arguments, **options)
                task.cancel()
                return task

            (door,) = house.hall.doors
            door._loop = SimpleNamespace(create_task=create_cancelled)  # type: ignore[assignment] # the one method
            door.data_received(REQUEST % b"/")
            door._loop = house.loop

        house.wait_for_doors(1)
        house.run(cancel_at_once())

        assert 503 == caller.read_reply().status
        assert 200 == caller.send(REQUEST % b"/next").read_reply().status
    assert [b"/next"] == [call.target for call in house.calls]


def test_a_half_closed_caller_gets_its_answers(open_house: OpenHouse) -> None:
    """
    A FIN counts as leaving, but what is answered all the same arrives, for pipelined requests too, and for half a head.
    """

    async def handle(call: Call, answer: Answer) -> None:
        await asyncio.wait_for(call.wait_until_left(), 10)
        await answer.start(200, [], length=None)
        await answer.write(call.target)
        await answer.finish()

    house = open_house(handle)
    with house.connect() as caller:
        caller.send(REQUEST % b"/1" + REQUEST % b"/2" + b"POST /ha")
        caller.socket.shutdown(socket.SHUT_WR)

        assert [b"/1", b"/2"] == [caller.read_reply().body, caller.read_reply().body]
        refused = caller.read_reply()
        assert (400, "request_malformed") == (refused.status, json.loads(refused.body)["reason"])
        assert b"" == caller.read_to_end()


def test_half_a_head_and_then_the_end_is_told(open_house: OpenHouse, tls: Contexts) -> None:
    """
    A refusal like that of half a body, where one side can be closed alone; over TLS it cannot, and nobody is there.
    """
    for contexts, expected in ((None, b"HTTP/1.1 400 "), (tls, b"")):
        house = open_house(tls=contexts)
        with house.connect() as caller:
            caller.send(b"POST /x HTTP/1.1\r\nHost: a\r\n")
            house.wait_for_doors(1, "HEAD")
            if contexts is None:
                caller.socket.shutdown(socket.SHUT_WR)
                assert expected == caller.read_to_end()[:13]
            else:
                caller.socket.unwrap()  # type: ignore[attr-defined]  # it is a TLS socket here
        house.wait_for_doors(0)


def test_above_the_cap_a_connection_gets_503(open_house: OpenHouse, tls: Contexts) -> None:
    """
    With the first byte of its request; without one it is closed; and the next is served when one of the others ends.
    """
    for contexts in (None, tls):
        house = open_house(connections=2, source_connections=2, linger_seconds=0.2, tls=contexts)
        with house.connect() as first, house.connect() as second:
            for caller in (first, second):
                caller.send(REQUEST % b"/").read_reply()
            reply = house.exchange(REQUEST % b"/")

            assert (503, "1", "close") == (reply.status, reply.headers["retry-after"], reply.headers["connection"])
            assert "connections_exhausted" == json.loads(reply.body)["reason"]
            with house.connect() as silent:
                assert b"" == silent.read_to_end()
        house.wait_for_doors(0)

        assert 200 == house.exchange(REQUEST % b"/").status
        assert [(Reason.CONNECTIONS_EXHAUSTED, "127.0.0.1")] == house.refusals


def test_far_above_the_cap_connections_are_closed_unread(open_house: OpenHouse) -> None:
    """
    Those that wait for their 503 are bounded too.
    """
    house = open_house(connections=0, refused_connections=1, linger_seconds=5.0)
    with house.connect() as waiting:
        house.wait_until(lambda: house.hall.doors, "the first")
        with house.connect() as surplus, pytest.raises((ConnectionResetError, EOFError)):
            surplus.read_reply()

        assert 503 == waiting.send(b"P").read_reply().status


def test_a_handshake_has_a_bound(open_house: OpenHouse, tls: Contexts) -> None:
    """
    A caller that never speaks TLS is closed in the time of the handshake, not in asyncio's 60 s.
    """
    house = open_house(tls=tls, handshake_seconds=0.2)
    with socket.create_connection(house.address, timeout=10) as silent:
        assert b"" == silent.recv(1)


def test_draining_makes_every_answer_the_last(open_house: OpenHouse) -> None:
    """
    Idle connections close, a running call's answer says `close`, and a new connection is still served, once.
    """
    is_open = asyncio.Event()

    async def handle(_: Call, answer: Answer) -> None:
        await is_open.wait()
        await answer.send(200, [], b"")

    house = open_house(handle)
    with house.connect() as idle, house.connect() as busy:
        house.wait_until(lambda: len(house.hall.doors) == 2, "both")
        busy.send(REQUEST % b"/")
        house.wait_until(lambda: house.hall.running, "the call")
        house.drain()

        assert b"" == idle.read_to_end()

        house.loop.call_soon_threadsafe(is_open.set)

        assert "close" == busy.read_reply().headers["connection"]
        assert b"" == busy.read_to_end()
    assert "close" == house.exchange(REQUEST % b"/").headers["connection"]


def test_a_fresh_connection_is_given_a_moment_when_the_drain_begins(open_house: OpenHouse) -> None:
    """
    Who has just connected is about to send, and is answered; who sends nothing is closed then.
    """
    house = open_house(linger_seconds=0.5)
    with house.connect() as slow, house.connect() as silent:
        house.wait_for_doors(2, "IDLE")
        house.drain()
        reply = slow.send(REQUEST % b"/").read_reply()

        assert (200, "close") == (reply.status, reply.headers["connection"])
        assert b"" == silent.read_to_end()


def test_a_worker_that_leaves_closes_no_idle_connection(open_house: OpenHouse) -> None:
    """
    Its caller's next request may be on its way: it is served, as the last of its connection.
    """
    house = open_house()
    with house.connect() as idle, house.connect() as fresh:
        idle.send(REQUEST % b"/1").read_reply()
        house.wait_for_doors(2, "IDLE")
        house.hall.leaving = True

        for caller in (idle, fresh):
            reply = caller.send(REQUEST % b"/2").read_reply()
            assert (200, "close") == (reply.status, reply.headers["connection"])
            assert b"" == caller.read_to_end()


BODY_TO_COME = b"POST /%b HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n"
ENDINGS = pytest.mark.parametrize("ending", ["draining", "leaving"])


def begin_to_end(house: House, ending: str) -> None:
    """
    The worker ends, or hands its place on.
    """

    async def begin() -> None:
        setattr(house.hall, ending, True)

    house.run(begin())


@ENDINGS
def test_a_body_that_does_not_come_is_not_waited_for_by_who_ends(open_house: OpenHouse, ending: str) -> None:
    """
    Its caller is told that nothing was sent; also who comes only now, over a connection that it kept.
    """
    house = open_house(body_seconds=60.0, last_body_seconds=0.2)
    with house.connect() as waiting, house.connect() as kept:
        kept.send(REQUEST % b"/1").read_reply()
        waiting.send(BODY_TO_COME % b"waiting" + b"abc")
        house.wait_until(lambda: house.hall.running, "the call")
        begin_to_end(house, ending)
        replies = [waiting.read_reply()]
        if ending == "leaving":
            replies.append(kept.send(BODY_TO_COME % b"kept" + b"abc").read_reply())
        for reply in replies:
            assert (503, "close", "5") == (reply.status, reply.headers["connection"], reply.headers["retry-after"])
            problem = json.loads(reply.body)
            assert "draining" == problem["reason"]
            assert problem["detail"].endswith("; it was not sent.")
    assert len(replies) == len(house.refusals)


@ENDINGS
def test_a_body_that_is_just_arriving_is_served_by_who_ends(open_house: OpenHouse, ending: str) -> None:
    """
    It has a moment, which is not put off: for a worker that leaves, and then ends, as for one that does one of both.
    """
    house = open_house(body_seconds=60.0, last_body_seconds=20.0)
    with house.connect() as caller:
        caller.send(BODY_TO_COME % b"a" + b"abc")
        house.wait_until(lambda: house.hall.running, "the call")
        begin_to_end(house, ending)
        begin_to_end(house, "draining")
        reply = caller.send(b"def").read_reply()

        assert (200, "close", b"POST /a abcdef") == (reply.status, reply.headers["connection"], reply.body)


@ENDINGS
def test_a_body_that_waits_for_room_is_not_waited_for_by_who_ends(open_house: OpenHouse, ending: str) -> None:
    """
    Neither it nor the one that has the room and does not come.
    """
    house = open_house(body_seconds=60.0, last_body_seconds=0.2, waiting_bytes=1, body_room_bytes=6)
    with house.connect() as first, house.connect() as second:
        for caller in (first, second):
            caller.send(BODY_TO_COME % b"a" + b"abc")
        house.wait_until(house.hall.room.count_waiting, "one has room, one waits for it")
        begin_to_end(house, ending)

        assert [503, 503] == [caller.read_reply().status for caller in (first, second)]


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_who_stops_accepting_serves_who_is_connected(
    open_house: OpenHouse, tls: Contexts, *, is_encrypted: bool
) -> None:
    """
    Also who is only half through the handshake: until then the server is not empty.
    """
    house = open_house(tls=tls if is_encrypted else None)
    with house.connect() as served, socket.create_connection(house.address) as raw:
        served.send(REQUEST % b"/").read_reply()
        if is_encrypted:
            house.wait_until(lambda: len(house.server._made) == 2, "the handshake's beginning")
        else:
            house.wait_for_doors(2, "IDLE")
        house.hall.leaving = True
        house.run(call(house.server.stop_accepting))
        emptied = asyncio.run_coroutine_threadsafe(house.server.wait_until_empty(), house.loop)

        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(house.address)
        assert "close" == served.send(REQUEST % b"/").read_reply().headers["connection"]
        served.socket.close()  # else, over TLS, its goodbye is waited for
        assert not emptied.done()
        late = tls[1].wrap_socket(raw, server_hostname="localhost") if is_encrypted else raw
        late.sendall(REQUEST % b"/late")
        assert late.recv(65536).startswith(b"HTTP/1.1 200 ")
        late.close()
        emptied.result(10)


async def call(function: Callable[[], None]) -> None:
    """
    As a coroutine, for the house's loop.
    """
    function()


def test_a_request_that_was_sent_before_the_drain_is_answered(open_house: OpenHouse) -> None:
    """
    Bytes that lie in the kernel unread when the drain begins are a request, not an idle connection.
    """
    house = open_house()
    with house.connect() as caller:
        caller.send(REQUEST % b"/1").read_reply()

        async def drain_over_unread_bytes() -> None:
            caller.send(REQUEST % b"/2")  # the loop is busy here: it cannot have read this
            house.hall.draining = True

        house.run(drain_over_unread_bytes())
        reply = caller.read_reply()

        assert (b"POST /2 ", "close") == (reply.body, reply.headers["connection"])


def test_stopping_answers_what_was_begun(open_house: OpenHouse, tls: Contexts) -> None:
    """
    At the end a half-received head gets 503 `draining`, idle connections close, and nobody can connect any more.
    """
    for contexts in (None, tls):
        house = open_house(tls=contexts)
        with house.connect() as idle, house.connect() as half:
            half.send(b"POST / HT")
            house.wait_for_doors(1, "IDLE")
            house.wait_for_doors(1, "HEAD")
            ending = asyncio.run_coroutine_threadsafe(house.server.stop(), house.loop)
            reply = half.read_reply()

            assert (503, "draining") == (reply.status, json.loads(reply.body)["reason"])
            assert b"" == idle.read_to_end()
            ending.result(10)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(house.address)


def test_stopping_accepts_as_long_as_somebody_waits(open_house: OpenHouse) -> None:
    """
    Callers that connect again at once keep the queue full for a while; who is in it must not be reset.
    """
    house = open_house()
    with socket.create_server(("127.0.0.1", 0)) as busy:
        house.server._sockets.append(busy)  # one that nobody accepts from but we
        with socket.create_connection(busy.getsockname(), 10) as waiting:
            ending = asyncio.run_coroutine_threadsafe(house.server.stop(), house.loop)
            with pytest.raises(TimeoutError):
                ending.result(2)

            with busy.accept()[0] as accepted:
                ending.result(10)

                accepted.sendall(b"x")
                assert b"x" == waiting.recv(1)


def test_uvicorn_runs_the_door(open_house: OpenHouse) -> None:
    """
    `serve` with a bound socket, `should_exit` and its own shutdown: the life cycle is uvicorn's, signals are not.
    """
    house = open_house()
    server = CallersServer(house.hall)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        house.address = listener.getsockname()
        serving = asyncio.run_coroutine_threadsafe(server.serve([listener]), house.loop)
        with house.connect() as caller:
            assert b"POST /a " == caller.send(REQUEST % b"/a").read_reply().body
            assert 1 == len(server.server_state.connections)
            server.should_exit = True

            assert b"" == caller.read_to_end()
        serving.result(10)


def test_the_peer_is_the_address_alone() -> None:
    """
    No port, no zone, and IPv4 even when it came through an IPv6 socket.
    """
    for peername, expected in (
        (("192.0.2.1", 9), "192.0.2.1"),
        (("::ffff:192.0.2.1", 9, 0, 0), "192.0.2.1"),
        (("fe80::1%eth0", 9, 0, 2), "fe80::1"),
        (None, ""),
    ):
        assert expected == render_address(peername)


def test_over_tls_a_connection_serves_as_in_the_clear(open_house: OpenHouse, tls: Contexts) -> None:
    """
    Keep-alive, pipelining, bodies and the last answer's end.
    """
    house = open_house(tls=tls)
    with house.connect() as caller:
        caller.send(REQUEST % b"/1" + b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)

        assert b"POST /1 " == caller.read_reply().body
        assert b"POST /2 " + b"x" * 100_000 == caller.read_reply().body
        assert b"POST /3 " == caller.send(REQUEST % b"/3" + b"junk\r\n\r\n").read_reply().body
        assert 400 == caller.read_reply().status
        assert b"" == caller.read_to_end()


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_a_connection_that_closed_a_moment_ago_does_not_disturb_the_drain(
    open_house: OpenHouse, tls: Contexts, *, is_encrypted: bool
) -> None:
    """
    For a few steps of the loop its transport is closed and its loss not yet told; over TLS its socket is gone then.
    """
    for steps in range(8):
        house = open_house(tls=tls if is_encrypted else None)
        with house.connect():
            house.wait_for_doors(1, "IDLE")
            (door,) = house.hall.doors

            async def close_and_drain(door: Door, house: House, steps: int) -> None:
                door._wire.abort()
                for _ in range(steps):
                    await asyncio.sleep(0)
                house.hall.draining = True

            house.run(close_and_drain(door, house, steps))
            house.wait_for_doors(0)
            assert door.is_gone


def test_a_caller_that_is_gone_when_it_is_refused_does_not_disturb_the_end(open_house: OpenHouse) -> None:
    """
    Its FIN is in the kernel, the loop has not come to it, and the refusal meets a reset: all others must still be told.
    """
    house = open_house()
    with house.connect() as caller:
        caller.send(b"POST / HT")
        house.wait_for_doors(1, "HEAD")
        (door,) = house.hall.doors

        async def shut_down() -> None:
            caller.socket.close()
            door.shutdown()

        house.run(shut_down())
        house.wait_for_doors(0)
        assert door.is_gone
