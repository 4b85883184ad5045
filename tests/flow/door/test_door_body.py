"""
How the door reads bodies: by length, by chunks, in time, and only when asked.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from gateway.data_plane.inbound import CallerLeft
from gateway.errors import CallerError, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.data_plane.answer import Answer
    from gateway.data_plane.inbound import Call
    from tests.flow.door.conftest import House

    OpenHouse = Callable[..., House]

CHUNKED = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


def in_bytes(data: bytes) -> list[bytes]:
    """
    The data in pieces of one byte.
    """
    return [data[number : number + 1] for number in range(len(data))]


UPGRADES = {
    "the JDK's h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n",
    "a web socket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
}


def test_upgrade_is_ignored_and_the_body_read(open_house: OpenHouse) -> None:
    """
    With a length or chunks, in one packet, split, and byte by byte; the next request on the connection is found too.
    """
    house = open_house()
    for what, upgrade in UPGRADES.items():
        for framed in (b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"):
            data = b"POST /a HTTP/1.1\r\nHost: a\r\n" + upgrade + framed + NEXT
            middle = data.index(b"\r\n\r\n") + 2
            for pieces in ([data], [data[:middle], data[middle:]], [data[: middle + 4], data[middle + 4 :]]):
                with house.connect() as caller:
                    caller.send(*pieces)

                    assert b"POST /a abc" == caller.read_reply().body, what
                    assert b"GET /next " == caller.read_reply().body, what
    with house.connect() as caller:
        for piece in in_bytes(data):
            caller.socket.sendall(piece)

        assert b"POST /a abc" == caller.read_reply().body
        assert b"GET /next " == caller.read_reply().body


def test_a_post_without_length_has_no_body(open_house: OpenHouse) -> None:
    """
    The Java client sends neither Content-Length nor Transfer-Encoding: an empty body, answered at once.
    """
    house = open_house()
    with house.connect() as caller:
        caller.send(b"POST /a?apiKey=x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")

        assert b"POST /a?apiKey=x " == caller.read_reply().body
        assert b"GET /next " == caller.send(NEXT).read_reply().body
    assert (False, 0) == (house.calls[0].has_body, house.calls[0].declared_length)


GOOD_CHUNKS = {
    b"0\r\n\r\n": b"",
    b"3\r\nabc\r\n0\r\n\r\n": b"abc",
    b"003\r\nabc\r\n1;ext=1\r\nd\r\nA\r\n0123456789\r\n00;last\r\n\r\n": b"abcd0123456789",
    b"2\r\n\r\n\r\n0\r\n\r\n": b"\r\n",
}


def test_chunks_are_joined_however_they_are_cut(open_house: OpenHouse) -> None:
    """
    A chunked body is the same at every cut, and what follows it is the next request.
    """
    house = open_house()
    with house.connect() as caller:
        for framed, expected in GOOD_CHUNKS.items():
            for cut in range(len(framed)):
                caller.socket.sendall(CHUNKED + framed[:cut])
                caller.socket.sendall(framed[cut:] + NEXT)

                assert b"POST /a " + expected == caller.read_reply().body
                assert b"GET /next " == caller.read_reply().body
    assert (True, None) == (house.calls[0].has_body, house.calls[0].declared_length)


BAD_CHUNKS = {
    "trailers": (b"1\r\na\r\n0\r\nX: y\r\n\r\n", 400),
    "no size": (b"\r\na\r\n", 400),
    "a size in words": (b"one\r\na\r\n", 400),
    "a signed size": (b"+1\r\na\r\n0\r\n\r\n", 400),
    "a prefixed size": (b"0x1\r\na\r\n0\r\n\r\n", 400),
    "a space in the size line": (b"1 \r\na\r\n0\r\n\r\n", 400),
    "a bare LF in the size line": (b"1;a\nb\r\na\r\n0\r\n\r\n", 400),
    "a bare LF after the last size": (b"0\n\n", 400),
    "bare LFs throughout": (b"1\na\n0\n\n", 400),
    "a bare CR after a chunk": (b"1\r\na\r0\n\n", 400),
    "a chunk longer than its size": (b"1\r\nab\r\n0\r\n\r\n", 400),
    "an endless extension": (b"1;" + b"e" * 2000, 400),
    "a size beyond all bounds": (b"fffffffffffffffff\r\n", 400),
    "a chunk larger than 1 MiB": (b"100001\r\n", 413),
    "chunks of more than 1 MiB together": (b"80000\r\n" + b"a" * 0x80000 + b"\r\n80001\r\n", 413),
    "too much framing": (b"1\r\na\r\n" * 30_000, 413),
}


def test_bad_chunks_are_refused(open_house: OpenHouse) -> None:
    """
    Each row is refused by `Call.body`, before a byte of the body is handed on, and the connection ends.
    """
    house = open_house()
    for what, (framed, status) in BAD_CHUNKS.items():
        with house.connect() as caller:
            reply = caller.send(CHUNKED + framed).read_reply()

            assert (status, "close") == (reply.status, reply.headers["connection"]), what
            assert b"" == caller.read_to_end(), what


def test_a_body_of_1_mib_passes(open_house: OpenHouse) -> None:
    """
    The bound itself is allowed, by length and by chunks of 1000 bytes.
    """
    house = open_house()
    body = bytes(range(256)) * 4096
    with house.connect() as caller:
        caller.send(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n" + body)

        assert b"POST /a " + body == caller.read_reply().body

        chunks = [body[at : at + 1000] for at in range(0, len(body), 1000)]
        caller.send(CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n")

        assert b"POST /a " + body == caller.read_reply().body


def test_continue_is_sent_only_when_the_body_is_asked_for(open_house: OpenHouse) -> None:
    """
    A caller that waits gets its 100 when `body` is called; a refused one gets its refusal instead, and the end.
    """

    async def handle(call: Call, answer: Answer) -> None:
        body = b"" if call.target == b"/refused" else await call.body()
        await answer.send(403 if call.target == b"/refused" else 200, [], body)

    house = open_house(handle)
    head = b"POST %b HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    with house.connect() as caller:
        assert 100 == caller.send(head % b"/a").read_reply().status
        assert b"abc" == caller.send(b"abc").read_reply().body
        assert b"abc" == caller.send(head % b"/a" + b"abc").read_reply().body
    with house.connect() as caller:
        reply = caller.send(head % b"/refused").read_reply()

        assert (403, "close") == (reply.status, reply.headers["connection"])
        assert b"" == caller.read_to_end()


def test_a_body_that_does_not_arrive_is_408(open_house: OpenHouse) -> None:
    """
    The time runs from when the body is asked for, however often a byte comes.
    """
    house = open_house(body_seconds=0.2)
    with house.connect() as caller:
        caller.send(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n", *[b"a"] * 8)
        reply = caller.read_reply()

    assert (408, "close") == (reply.status, reply.headers["connection"])
    assert "request_timeout" == json.loads(reply.body)["reason"]
    assert [Reason.REQUEST_TIMEOUT] == [reason for reason, _ in house.refusals]


def test_a_body_nobody_asked_for_is_dropped(open_house: OpenHouse) -> None:
    """
    If it is here whole the connection goes on behind it; its bytes are never taken for a request.
    """

    async def refuse(_call: Call, _answer: Answer) -> None:
        raise CallerError(Reason.OPERATION_NOT_GRANTED)

    house = open_house(refuse)
    smuggled = b"POST /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    with house.connect() as caller:
        for framed in (
            b"Content-Length: %d\r\n\r\n%b" % (len(smuggled), smuggled),
            b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(smuggled), smuggled),
        ):
            reply = caller.send(b"POST /a HTTP/1.1\r\nHost: a\r\n" + framed).read_reply()

            assert (403, None) == (reply.status, reply.headers.get("connection"))
    assert [b"/a", b"/a"] == [call.target for call in house.calls]


def test_a_caller_that_leaves_before_its_body_is_whole_is_told_apart(open_house: OpenHouse) -> None:
    """
    `body` raises `CallerLeft`, on a FIN and on a reset alike, waiting or not.
    """
    seen: list[str] = []

    async def handle(call: Call, _: Answer) -> None:
        if call.target == b"/late":
            await asyncio.wait_for(call.wait_until_left(), 10)
        try:
            await call.body()
        except CallerLeft:
            seen.append(f"{call.target.decode()} {call.has_left}")
            raise

    house = open_house(handle)
    for target in (b"/now", b"/late"):
        with house.connect() as caller:
            caller.send(b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc" % target)
            house.wait_until(lambda: house.hall.running, "the call")
        house.wait_until(lambda: not house.hall.running, "its end")
    assert ["/now True", "/late True"] == seen
