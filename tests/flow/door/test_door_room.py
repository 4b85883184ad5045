"""
How large bodies wait for room: unread, in turn, as long as a body may take, and for nobody's sake longer than needed.

Sizes are small here but for the body itself, which must be more than the kernel holds for who does not read.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import socket
import struct
import tracemalloc
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from gateway.data_plane.door import Bounds
from gateway.errors import CallerError, Reason

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from gateway.data_plane.answer import Answer
    from gateway.data_plane.inbound import Call
    from tests.flow.door.conftest import Caller, House

    OpenHouse = Callable[..., House]
    Contexts = tuple[ssl.SSLContext, ssl.SSLContext]

BODY = b"x" * (1024 * 1024)
HEAD = b"POST /%b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST /%b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
ROOM = {"waiting_bytes": 1000, "body_room_bytes": 2 * len(BODY)}
"""For two of the bodies, so that each caller has a share of one."""


async def tell_size(call: Call, answer: Answer) -> None:
    """
    Read the body for the caller that the target names, and tell its size.
    """
    body = await call.body(call.target.decode())
    await answer.send(200, [], b"%d" % len(body))


def begin(house: House, whose: bytes, size: int = len(BODY), sent: int = 100) -> Caller:
    """
    A caller that has sent the head and some of its body.
    """
    caller = house.connect()
    caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
    return caller.send(HEAD % (whose, size) + BODY[:sent])


def send_until_it_blocks(caller: Caller, data: bytes) -> int:
    """
    Send as much as is taken. Returns how much.
    """
    caller.socket.settimeout(0.5)
    sent = 0
    try:
        while sent < len(data):
            sent += caller.socket.send(data[sent : sent + 10_000])
    except TimeoutError:
        pass
    finally:
        caller.socket.settimeout(10)
    return sent


def wait_for_room(house: House, taken_bytes: int, waiting: int) -> None:
    """
    Wait until so much is taken, and so many wait.
    """
    room = house.hall.room
    house.wait_until(lambda: (taken_bytes, waiting) == (room.taken_bytes, room.count_waiting()), f"not {room}")


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_a_large_body_waits_unread_until_there_is_room(
    open_house: OpenHouse, tls: Contexts, *, is_encrypted: bool
) -> None:
    """
    Its caller cannot send on: that is all that it notices.
    """
    house = open_house(tell_size, tls=tls if is_encrypted else None, **ROOM)
    with begin(house, b"one") as first, begin(house, b"one") as second:
        wait_for_room(house, len(BODY), 1)
        sent = 100 + send_until_it_blocks(second, BODY[100:])
        assert sent < len(BODY)

        first.send(BODY[100:])
        assert b"1048576" == first.read_reply().body
        second.send(BODY[sent:])
        assert b"1048576" == second.read_reply().body
    wait_for_room(house, 0, 0)


def test_one_caller_does_not_keep_another_out(open_house: OpenHouse) -> None:
    """
    Whatever it sends or does not send: the other's body is read at once.
    """
    house = open_house(tell_size, **ROOM)
    with ExitStack() as callers:
        for _ in range(20):
            callers.enter_context(begin(house, b"one"))
        wait_for_room(house, len(BODY), 19)
        with house.connect() as other:
            assert b"1048576" == other.send(HEAD % (b"two", len(BODY)) + BODY).read_reply().body
            assert b"1048576" == other.send(HEAD % (b"two", len(BODY)) + BODY).read_reply().body


def test_a_small_body_needs_no_room(open_house: OpenHouse) -> None:
    """
    By its length, or by what has come of it in chunks.
    """
    house = open_house(tell_size, **ROOM)
    with begin(house, b"one"), begin(house, b"one"), house.connect() as caller:
        wait_for_room(house, len(BODY), 1)

        assert b"1000" == caller.send(HEAD % (b"one", 1000), BODY[:999], b"x").read_reply().body
        assert b"500" == caller.send(CHUNKED % b"one", b"1f4\r\n" + BODY[:500], b"\r\n0\r\n\r\n").read_reply().body
    wait_for_room(house, 0, 0)


def test_chunks_take_the_most_they_may_come_to_and_then_what_they_are(open_house: OpenHouse) -> None:
    """
    As soon as more has come than may wait.
    """
    is_open = asyncio.Event()

    async def hold(call: Call, answer: Answer) -> None:
        await call.body("one")
        await is_open.wait()
        await answer.send(200, [], b"")

    house = open_house(hold, **ROOM)
    with house.connect() as caller:
        caller.send(CHUNKED % b"one" + b"7d0\r\n" + BODY[:1500])
        wait_for_room(house, len(BODY), 0)
        caller.send(BODY[:500] + b"\r\n0\r\n\r\n")
        wait_for_room(house, 2000, 0)
        house.loop.call_soon_threadsafe(is_open.set)

        assert 200 == caller.read_reply().status
    wait_for_room(house, 0, 0)


def test_a_body_that_is_here_already_does_not_wait_but_counts(open_house: OpenHouse) -> None:
    """
    It is in memory one way or the other.
    """
    is_open = asyncio.Event()

    async def hold(call: Call, answer: Answer) -> None:
        await call.body("one")
        if call.target == b"/held":
            await is_open.wait()
        await answer.send(200, [], b"")

    house = open_house(hold, waiting_bytes=1000, body_room_bytes=5000)
    with house.connect() as caller, begin(house, b"late", 4000) as late:
        wait_for_room(house, 4000, 0)
        caller.send(HEAD % (b"held", 4000) + BODY[:4000])
        wait_for_room(house, 8000, 0)
        assert 200 == late.send(BODY[:3900]).read_reply().status
        house.loop.call_soon_threadsafe(is_open.set)

        assert 200 == caller.read_reply().status
    wait_for_room(house, 0, 0)


def leave(caller: Caller) -> None:
    """
    Close, and say so.
    """
    caller.socket.close()


def reset(caller: Caller) -> None:
    """
    Close with a reset.
    """
    caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    caller.socket.close()


def finish(caller: Caller) -> None:
    """
    Send the rest of the body, and read the answer.
    """
    caller.send(BODY[100:4000]).read_reply()


def spoil(caller: Caller) -> None:
    """
    Send what is no chunk, and read the answer.
    """
    assert 400 == caller.send(b"x" * 5000).read_reply().status


ENDS: dict[str, tuple[bytes, Callable[[Caller], Any]]] = {
    "it is answered": (b"", finish),
    "it is refused": (b"refused", finish),
    "a bug of ours": (b"bug", finish),
    "nobody answers it": (b"nothing", finish),
    "its caller leaves": (b"", leave),
    "its caller resets": (b"", reset),
    "its body does not come": (b"", lambda caller: caller.read_reply()),
    "its chunks are wrong": (b"", spoil),
}


@pytest.mark.parametrize("what", ENDS)
def test_room_is_given_back_however_a_call_ends(open_house: OpenHouse, what: str) -> None:
    """
    So that the next in turn, which waits, is served.
    """

    async def handle(call: Call, answer: Answer) -> None:
        body = await call.body("one")
        if call.target == b"/refused":
            raise CallerError(Reason.OPERATION_NOT_GRANTED)
        if call.target == b"/bug":
            raise RuntimeError
        if call.target != b"/nothing":
            await answer.send(200, [], b"%d" % len(body))

    target, end = ENDS[what]
    house = open_house(handle, waiting_bytes=1000, body_room_bytes=4096, body_bytes=4096, body_seconds=2.0)
    first = house.connect()
    house.wait_for_doors(1)
    house.hall.bounds = dataclasses.replace(house.hall.bounds, body_seconds=60.0)  # for the second
    is_chunked = end is spoil
    first.send(CHUNKED % target + b"fa0\r\n" + BODY[:4000] if is_chunked else HEAD % (target, 4000) + BODY[:100])
    house.wait_until(lambda: house.hall.room.taken_bytes, "the first has its place")
    with begin(house, b"next", 4000) as second:
        wait_for_room(house, 4096 if is_chunked else 4000, 1)
        end(first)

        second.send(BODY[100:4000])
        assert (200, b"4000") == ((reply := second.read_reply()).status, reply.body)
    first.socket.close()
    wait_for_room(house, 0, 0)


def test_waiting_for_room_is_part_of_the_bodys_time(open_house: OpenHouse) -> None:
    """
    All of many get their 408, also those that were let in at the very moment when their time was over.
    """
    house = open_house(tell_size, **ROOM, body_seconds=0.5)
    with ExitStack() as stack:
        callers = [stack.enter_context(begin(house, b"one")) for _ in range(40)]
        replies = [caller.read_reply() for caller in callers]

    assert {(408, "request_timeout")} == {(reply.status, json.loads(reply.body)["reason"]) for reply in replies}
    wait_for_room(house, 0, 0)


def test_a_body_is_invited_only_when_there_is_room(open_house: OpenHouse) -> None:
    """
    A caller that waits for `100 Continue` waits a little longer.
    """
    house = open_house(tell_size, **ROOM)
    invited = b"POST /one HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1048576\r\n\r\n"
    with begin(house, b"one") as first, house.connect() as second:
        wait_for_room(house, len(BODY), 0)
        second.send(invited)
        wait_for_room(house, len(BODY), 1)
        second.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            second.read_reply()
        second.socket.settimeout(10)
        first.send(BODY[100:]).read_reply()

        assert 100 == second.read_reply().status
        assert b"1048576" == second.send(BODY).read_reply().body


def test_a_body_in_chunks_is_invited_once(open_house: OpenHouse) -> None:
    """
    Though it takes its place only when more of it has come than may wait.
    """
    house = open_house(tell_size, **ROOM)
    with house.connect() as caller:
        caller.send(CHUNKED[:-2] % b"one" + b"Expect: 100-continue\r\n\r\n")
        assert 100 == caller.read_reply().status
        caller.send(b"7d0\r\n" + BODY[:2000] + b"\r\n")
        wait_for_room(house, len(BODY), 0)

        assert (200, b"2000") == ((reply := caller.send(b"0\r\n\r\n").read_reply()).status, reply.body)


def test_a_body_is_not_kept_by_a_connection_that_idles(open_house: OpenHouse) -> None:
    """
    Nor by anything else, once its call is over: by length and by chunks, answered and refused.
    """

    async def handle(call: Call, answer: Answer) -> None:
        if call.target == b"/refused":
            await call.body("one")
            raise CallerError(Reason.OPERATION_NOT_GRANTED)
        await tell_size(call, answer)

    house = open_house(handle)
    with ExitStack() as stack:
        callers = [stack.enter_context(house.connect()) for _ in range(24)]
        callers[0].send(HEAD % (b"warm", 1) + b"x").read_reply()
        with tracing() as count_held_bytes:
            for number, caller in enumerate(callers):
                target, status = (b"refused", 403) if number % 3 else (b"one", 200)
                if number % 2:
                    caller.send(CHUNKED % target + 32 * CHUNK + b"0\r\n\r\n")
                else:
                    caller.send(HEAD % (target, len(BODY)) + BODY)
                assert status == caller.read_reply().status
            house.wait_for_doors(24, "IDLE")
            house.calls.clear()
            assert count_held_bytes() < 4 * len(BODY)


def test_what_came_of_a_body_is_not_kept_when_its_caller_leaves(open_house: OpenHouse) -> None:
    """
    However much of it that was.
    """
    house = open_house(tell_size)
    house.exchange(HEAD % (b"warm", 1) + b"x")
    with tracing() as count_held_bytes:
        for _ in range(12):
            with house.connect() as caller:
                caller.send(CHUNKED % b"one" + 31 * CHUNK)
                house.wait_for_doors(1, "CALL")
            house.wait_until(lambda: not house.hall.running, "its end")
        house.wait_for_doors(0)
        house.calls.clear()
        assert count_held_bytes() < 4 * len(BODY)


@contextmanager
def tracing() -> Iterator[Callable[[], int]]:
    """
    Count what is allocated in the block and held, also by what only the collector would free.
    """
    gc.disable()
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()


def test_what_a_reload_says_of_the_room_holds_at_once(open_house: OpenHouse) -> None:
    """
    For who waits, too.
    """
    house = open_house(tell_size, **ROOM)
    with begin(house, b"one"), begin(house, b"one") as second:
        wait_for_room(house, len(BODY), 1)

        async def reload() -> None:
            house.hall.bounds = Bounds(body_room_bytes=4 * len(BODY))

        house.run(reload())
        assert b"1048576" == second.send(BODY[100:]).read_reply().body
