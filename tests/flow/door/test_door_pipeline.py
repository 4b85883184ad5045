"""
Several requests on one connection: in order, one at a time, and none can spoil another.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.data_plane.answer import Answer
    from gateway.data_plane.inbound import Call
    from tests.flow.door.conftest import House

    OpenHouse = Callable[..., House]

REQUEST = b"POST /%d HTTP/1.1\r\nHost: a\r\n\r\n"


class Gate:
    """
    A handler that waits until it is told to answer.
    """

    def __init__(self) -> None:
        self.is_open = asyncio.Event()
        self.inside = 0
        self.most_inside = 0

    async def handle(self, call: Call, answer: Answer) -> None:
        """
        Answer with the target, after the gate has opened.
        """
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        await self.is_open.wait()
        await asyncio.sleep(0)
        self.inside -= 1
        await answer.send(200, [], call.target)

    def has_one(self) -> bool:
        """
        Whether a call waits at the gate.
        """
        return self.inside == 1

    def open(self, house: House) -> None:
        """
        Let every call answer.
        """
        house.loop.call_soon_threadsafe(self.is_open.set)


def test_pipelined_requests_are_answered_in_order_one_at_a_time(open_house: OpenHouse) -> None:
    """
    Twenty requests in one packet: twenty answers in their order, never two calls at once.
    """
    gate = Gate()
    house = open_house(gate.handle)
    with house.connect() as caller:
        caller.send(b"".join(REQUEST % number for number in range(20)))
        house.wait_until(gate.has_one, "the first call")
        gate.open(house)

        assert [b"/%d" % number for number in range(20)] == [caller.read_reply().body for _ in range(20)]
    assert 1 == gate.most_inside


def test_junk_behind_a_request_never_becomes_its_answer(open_house: OpenHouse) -> None:
    """
    The valid call gets its own answer; the junk its 400, afterwards. Stock uvicorn answers the call with 400.
    """
    gate = Gate()
    house = open_house(gate.handle)
    for junk in (b"junk\r\n\r\n", b"\x00", b"POST / HTTP/1.1\r\n\r\n", b"post / HTTP/1.1\r\nHost: a\r\n\r\n"):
        gate.is_open.clear()
        house.refusals.clear()
        with house.connect() as caller:
            caller.send(REQUEST % 1 + junk)
            house.wait_until(gate.has_one, "the call")

            assert [] == house.refusals
            gate.open(house)
            first = caller.read_reply()
            second = caller.read_reply()

            assert (200, b"/1", 400) == (first.status, first.body, second.status)
            assert b"" == caller.read_to_end()
    assert 4 == len(house.calls)


def test_what_follows_connection_close_is_not_served(open_house: OpenHouse) -> None:
    """
    The answer arrives whole and the connection ends, though bytes lie behind the request.
    """
    house = open_house()
    with house.connect() as caller:
        caller.send(b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + REQUEST % 2)
        reply = caller.read_reply()

        assert (b"POST /a ", "close") == (reply.body, reply.headers["connection"])
        assert b"" == caller.read_to_end()
    assert 1 == len(house.calls)


def test_reading_pauses_only_when_much_waits(open_house: OpenHouse) -> None:
    """
    Behind a running call little more than 64 KiB is taken from a flooding caller, and all of it is served later.
    """
    gate = Gate()
    house = open_house(gate.handle)
    number_of_requests = 400
    flood = b"".join(
        b"POST /%d HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (n, b"x" * 20_000) for n in range(number_of_requests)
    )
    with house.connect() as caller:
        caller.socket.settimeout(0.3)
        sent_bytes = 0
        try:
            while sent_bytes < len(flood):
                sent_bytes += caller.socket.send(flood[sent_bytes : sent_bytes + 65536])
        except TimeoutError:
            pass
        (door,) = house.hall.doors

        assert sent_bytes < len(flood)
        assert len(door._buffer) <= 64 * 1024 + 256 * 1024  # one read of asyncio's on top

        caller.socket.settimeout(10)
        gate.open(house)
        replies = 0
        while replies < number_of_requests:
            if sent_bytes < len(flood):
                sent_bytes += caller.socket.send(flood[sent_bytes : sent_bytes + 20_000])
            assert b"/%d" % replies == caller.read_reply().body
            replies += 1


def test_a_caller_who_never_reads_gets_no_further_calls(open_house: OpenHouse) -> None:
    """
    Answers that are not taken hold back the next request, so that they cannot pile up here; then all come.
    """

    async def handle(_: Call, answer: Answer) -> None:
        await answer.send(200, [], b"x" * 1_000_000)

    house = open_house(handle)
    with house.connect() as caller:
        caller.send(b"".join(REQUEST % number for number in range(100)))
        house.wait_until(lambda: any(door._wire.writing_paused for door in house.hall.doors), "a full buffer")
        calls_before = len(house.calls)

        assert calls_before < 30
        for _ in range(100):
            assert 1_000_000 == len(caller.read_reply().body)
    assert 100 == len(house.calls)
