"""
How answers leave: whole or streamed, with back-pressure, aborted where they must not look complete.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from typing import TYPE_CHECKING

import pytest

from gateway.data_plane.inbound import CallerLeft, CallerStalled
from gateway.errors import CallerError, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.data_plane.answer import Answer
    from gateway.data_plane.inbound import Call
    from tests.flow.door.conftest import House

    OpenHouse = Callable[..., House]

REQUEST = b"POST %b HTTP/1.1\r\nHost: a\r\n\r\n"
OLD_REQUEST = b"POST %b HTTP/1.0\r\nHost: a\r\n\r\n"


async def stream(call: Call, answer: Answer) -> None:
    """
    Three pieces, one of them empty; the target says whether the length is told.
    """
    await answer.start(200, [(b"Content-Type", b"audio/wav")], length=6 if call.target == b"/sized" else None)
    for piece in (b"abc", b"", b"def"):
        await answer.write(piece)
    await answer.finish()


def test_an_answer_streams_by_length_or_in_chunks(open_house: OpenHouse) -> None:
    """
    With a length it is told; without one chunks go to HTTP/1.1, and the connection goes on after both.
    """
    with open_house(stream).connect() as caller:
        sized = caller.send(REQUEST % b"/sized").read_reply()
        chunked = caller.send(REQUEST % b"/chunked").read_reply()

    assert ("6", None, b"abcdef") == (
        sized.headers["content-length"],
        sized.headers.get("transfer-encoding"),
        sized.body,
    )
    assert (None, "chunked", b"abcdef") == (
        chunked.headers.get("content-length"),
        chunked.headers["transfer-encoding"],
        chunked.body,
    )


def test_http_1_0_gets_no_chunks(open_house: OpenHouse) -> None:
    """
    Without a length the connection's end is the body's end (stock uvicorn sends chunks to callers that know none).
    """
    house = open_house(stream)
    for target in (b"/sized", b"/unsized"):
        reply = house.exchange(OLD_REQUEST % target)

        assert (b"abcdef", "close", None) == (
            reply.body,
            reply.headers["connection"],
            reply.headers.get("transfer-encoding"),
        )


def test_a_streamed_answer_to_head_has_no_body(open_house: OpenHouse) -> None:
    """
    The head is the same, and the connection goes on.
    """
    with open_house(stream).connect() as caller:
        for target, name in ((b"/sized", "content-length"), (b"/chunked", "transfer-encoding")):
            reply = caller.send(b"HEAD %b HTTP/1.1\r\nHost: a\r\n\r\n" % target).read_reply(to_head=True)

            assert name in reply.headers


def test_an_aborted_answer_cannot_be_taken_for_complete(open_house: OpenHouse) -> None:
    """
    The caller sees a reset, not an end: a caller of HTTP/1.0 could not tell an end from a whole body.
    """

    async def handle(_: Call, answer: Answer) -> None:
        await answer.start(200, [], length=None)
        await answer.write(b"abc")
        await asyncio.sleep(0.05)
        answer.abort()

    house = open_house(handle)
    for request in (REQUEST, OLD_REQUEST):
        with house.connect() as caller, pytest.raises(ConnectionResetError):
            caller.send(request % b"/").read_to_end()


def test_a_started_answer_that_goes_wrong_is_aborted(open_house: OpenHouse) -> None:
    """
    Too short, too long, never finished, an exception between: the caller never sees a whole answer.
    """

    async def handle(call: Call, answer: Answer) -> None:
        await answer.start(200, [], length=6)
        await answer.write(b"abcdefg" if call.target == b"/long" else b"abc")
        if call.target == b"/raised":
            raise RuntimeError
        if call.target == b"/short":
            await answer.finish()

    house = open_house(handle)
    for target in (b"/short", b"/long", b"/unfinished", b"/raised"):
        with house.connect() as caller, pytest.raises((ConnectionResetError, EOFError)):
            caller.send(REQUEST % target).read_reply()


def test_a_bug_in_the_handler_is_500_and_tells_no_secret(
    open_house: OpenHouse, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The caller gets `internal_error`; the log the exception's type and place, not its text, and no target.
    """
    secret = "njg_marked"

    async def handle(call: Call, answer: Answer) -> None:
        if call.target.startswith(b"/none"):
            return
        for name, breaking in ((b"/lf", b"\n"), (b"/cr", b"\r"), (b"/nul", b"\0")):
            if call.target.startswith(name):
                await answer.send(200, [(b"X", b"a" + breaking + b"Set-Cookie: b")], b"")
        raise RuntimeError(secret)

    house = open_house(handle)
    caplog.set_level(logging.DEBUG)
    with house.connect() as caller:
        for target in (b"/raise", b"/none", b"/lf", b"/cr", b"/nul"):
            reply = caller.send(REQUEST % (target + b"?apiKey=njg_marked")).read_reply()

            assert (500, "internal_error") == (reply.status, json.loads(reply.body)["reason"])
            assert "set-cookie" not in reply.headers
    assert "RuntimeError" in caplog.text
    assert "test_door_answer.py" in caplog.text
    assert secret not in caplog.text


def test_a_refusal_carries_the_headers_of_its_status(open_house: OpenHouse) -> None:
    """
    `WWW-Authenticate` on 401, `Allow` on 405, `Retry-After` when waiting helps; a full stop ends every sentence.
    """

    async def handle(call: Call, _: Answer) -> None:
        reason = Reason[call.target[1:].decode()]
        raise CallerError(reason, retry_after_seconds=7 if reason is Reason.DRAINING else None)

    house = open_house(handle)
    with house.connect() as caller:
        for reason, name, value in (
            (Reason.TOKEN_MISSING, "www-authenticate", "Bearer"),
            (Reason.METHOD_NOT_ALLOWED, "allow", "POST"),
            (Reason.DRAINING, "retry-after", "7"),
        ):
            reply = caller.send(REQUEST % f"/{reason.name}".encode()).read_reply()

            assert (reason.status, value) == (reply.status, reply.headers[name])
            assert json.loads(reply.body)["detail"].endswith(".")
    assert 3 == len(house.refusals)


def test_small_answers_do_not_wait_for_an_ack(open_house: OpenHouse) -> None:
    """
    TCP_NODELAY is on, though the listening socket does not name its protocol (asyncio sets it only if it does).
    """
    house = open_house()
    with house.connect():
        house.wait_for_doors(1)
        (door,) = house.hall.doors
        connection = door._wire._transport.get_extra_info("socket")

        assert 0 != connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_cancelled_call_is_answered(open_house: OpenHouse) -> None:
    """
    What cancels tasks at the end must not take the answer: 503 `draining`, which says that the fate is unknown.
    """

    async def handle(_: Call, __: Answer) -> None:
        await asyncio.Event().wait()

    house = open_house(handle)
    with house.connect() as caller:
        caller.send(REQUEST % b"/")
        house.wait_until(lambda: house.hall.running, "the call")
        (task,) = house.hall.running
        house.loop.call_soon_threadsafe(task.cancel)
        reply = caller.read_reply()

    assert (503, "draining") == (reply.status, json.loads(reply.body)["reason"])
    assert "look before you repeat it" in json.loads(reply.body)["detail"]


def test_headers_that_are_the_doors_own_are_dropped(open_house: OpenHouse) -> None:
    """
    An upstream's framing, server and caching words do not come down twice; the rest comes as it was.
    """

    async def handle(_: Call, answer: Answer) -> None:
        own = [
            b"Content-Length",
            b"TRANSFER-ENCODING",
            b"connection",
            b"Server",
            b"Date",
            b"X-Request-Id",
            b"Cache-Control",
        ]
        await answer.send(207, [(name, b"9") for name in own] + [(b"ETag", b'"x"')], b"abc")

    reply = open_house(handle).exchange(REQUEST % b"/")

    assert (207, b"abc", "3", '"x"') == (
        reply.status,
        reply.body,
        reply.headers["content-length"],
        reply.headers["etag"],
    )
    assert not {"server", "date", "connection", "transfer-encoding"} & set(reply.headers)


def test_every_status_is_framed_so_that_the_connection_goes_on(open_house: OpenHouse) -> None:
    """
    204 and 304 have no body and no length; an unknown status has an empty phrase.
    """

    async def handle(call: Call, answer: Answer) -> None:
        status = int(call.target[1:])
        await answer.send(status, [], b"" if status < 500 else b"abc")

    with open_house(handle).connect() as caller:
        for status in (204, 304, 599, 200):
            reply = caller.send(REQUEST % (b"/%d" % status)).read_reply()

            assert (status, status not in (204, 304)) == (reply.status, "content-length" in reply.headers)


def test_a_writer_waits_for_a_slow_caller(open_house: OpenHouse) -> None:
    """
    `write` returns only when the caller has taken enough: what is under way here stays bounded, and all arrives.
    """
    most_waiting = 0
    piece = b"x" * 50_000

    async def handle(_: Call, answer: Answer) -> None:
        nonlocal most_waiting
        await answer.start(200, [], length=len(piece) * 400)
        for _number in range(400):
            most_waiting = max(most_waiting, answer._door._wire.unsent_bytes)
            await answer.write(piece)
        await answer.finish()

    with open_house(handle).connect() as caller:
        reply = caller.send(REQUEST % b"/").read_reply()

    assert len(piece) * 400 == len(reply.body)
    assert most_waiting <= 64 * 1024


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_a_stalled_caller_is_told_to_the_writer_and_cut(
    open_house: OpenHouse, tls: tuple[object, object], *, is_encrypted: bool
) -> None:
    """
    A caller that takes nothing for the time of the bound raises `CallerStalled`; its connection is reset.
    """
    seen: list[str] = []

    async def handle(_: Call, answer: Answer) -> None:
        await answer.start(200, [], length=None)
        try:
            while True:
                await answer.write(b"x" * 100_000)
        except CallerStalled:
            seen.append("stalled")
            raise

    house = open_house(handle, tls=tls if is_encrypted else None, stalled_seconds=0.2)
    with house.connect() as caller:
        caller.send(REQUEST % b"/")
        house.wait_until(lambda: not house.hall.doors and seen, "the end")

    assert ["stalled"] == seen


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_a_caller_that_takes_little_at_a_time_is_not_stalled(
    open_house: OpenHouse, tls: tuple[object, object], *, is_encrypted: bool
) -> None:
    """
    The kernel holds megabytes, and says nothing until a third of them is gone: what counts is what the caller took.
    """

    async def handle(_: Call, answer: Answer) -> None:
        await answer.start(200, [], length=20_000_000)
        for _number in range(200):
            await answer.write(b"x" * 100_000)
        await answer.finish()

    house = open_house(handle, tls=tls if is_encrypted else None, stalled_seconds=0.5)
    with house.connect() as caller:
        caller.send(REQUEST % b"/")
        taken = 0
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            taken += len(caller.socket.recv(5_000))
            time.sleep(0.01)  # half a megabyte a second, and the kernel wants one before it says anything
        while piece := caller.socket.recv(1_000_000):
            taken += len(piece)
            if taken > 20_000_000:
                break

    assert taken > 20_000_000, "the head and all of the body"


def test_a_caller_that_never_takes_its_last_answer_is_not_waited_for(open_house: OpenHouse) -> None:
    """
    An answer that was sent whole, with `Connection: close`, and is never read ends with the bound too.
    """

    async def handle(_: Call, answer: Answer) -> None:
        await answer.send(200, [], b"x" * 20_000_000)

    house = open_house(handle, stalled_seconds=0.2)
    with house.connect() as caller, house.connect() as other:
        caller.send(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        other.send(REQUEST % b"/")
        house.wait_until(lambda: len(house.calls) == 2 and not house.hall.doors, "the end of both")


def test_writing_to_a_caller_that_left_raises(open_house: OpenHouse) -> None:
    """
    `write` raises `CallerLeft` once the connection is gone; a whole answer to nobody is no error.
    """
    seen: list[str] = []

    async def handle(call: Call, answer: Answer) -> None:
        if call.target == b"/whole":
            await call.wait_until_left()
            await asyncio.sleep(0.05)
            await answer.send(200, [], b"abc")
            seen.append(f"sent {answer.finished}")
            return
        await answer.start(200, [], length=None)
        try:
            while True:
                await answer.write(b"x" * 1000)
                await asyncio.sleep(0)
        except CallerLeft:
            seen.append("left")
            raise

    house = open_house(handle)
    for target in (b"/streamed", b"/whole"):
        with house.connect() as caller:
            caller.send(REQUEST % target)
            house.wait_until(lambda: house.hall.running, "the call")
        house.wait_until(lambda: not house.hall.running, "its end")

    assert ["left", "sent True"] == seen
