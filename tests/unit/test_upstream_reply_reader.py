"""
The reply reader alone: what is read, what is refused, and that it makes no difference how a reply is cut up.
"""

from __future__ import annotations

import gc
import weakref

import pytest
from malformed_replies import MALFORMED, MALFORMED_WITH_STATUS
from reply_scripts import JSON, render_reply

from gateway.upstream.reply_reader import HEAD_LIMIT_BYTES, HEADERS_LIMIT, ReplyReader


def read(*pieces: bytes, ended: bool = False) -> ReplyReader:
    """
    A reader that was fed these pieces.
    """
    reader = ReplyReader()
    for piece in pieces:
        reader.feed(memoryview(piece))
    if ended:
        reader.end()
    return reader


def describe(reader: ReplyReader) -> tuple[object, ...]:
    """
    All that is known of a reply.
    """
    return (
        reader.status,
        tuple(reader.headers),
        b"".join(reader.pieces),
        reader.is_complete,
        reader.is_malformed,
        reader.allows_reuse,
    )


@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["alone", "after 100"])
def test_it_makes_no_difference_where_a_reply_is_cut(framing: str, first: bytes) -> None:
    """
    At every byte, and at all of them.
    """
    reply = first + render_reply(framing=framing)
    ended = framing == "end"
    whole = describe(read(reply, ended=ended))

    assert (200, JSON, True, False, not ended) == (whole[0], *whole[2:])
    for at in range(1, len(reply)):
        assert whole == describe(read(reply[:at], reply[at:], ended=ended)), at
    assert whole == describe(read(*(reply[at : at + 1] for at in range(len(reply))), ended=ended))


@pytest.mark.parametrize("name", [*MALFORMED, *MALFORMED_WITH_STATUS])
def test_what_is_malformed_is_refused_wherever_it_is_cut(name: str) -> None:
    """
    The status is known where the head was whole.
    """
    reply = (MALFORMED | MALFORMED_WITH_STATUS)[name]
    places = range(1, len(reply)) if len(reply) < 300 else (1, 20, 1000)
    for pieces in ((reply,), *((reply[:at], reply[at:]) for at in places)):
        reader = read(*pieces, ended=True)

        assert (True, False) == (reader.is_malformed, reader.allows_reuse), len(pieces[0])
        if name in MALFORMED_WITH_STATUS:
            assert 200 == reader.status


@pytest.mark.parametrize(
    ("reply", "reused"),
    [
        (render_reply(), True),
        (render_reply(framing="chunks"), True),
        (render_reply(204, b""), True),
        (render_reply(headers=b"Connection: close\r\n"), False),
        (render_reply(headers=b"Connection: Keep-Alive, Close\r\n"), False),
        (render_reply(version=b"1.0"), False),
        (render_reply(version=b"1.0", headers=b"Connection: keep-alive\r\n"), True),
        (render_reply() + b"x", False),
        (render_reply() + b"HTTP/1.1 2", False),
        (render_reply() + render_reply(), False),
        (render_reply(framing="chunks") + b"0\r\n\r\n", False),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}", False),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", True),
    ],
)
def test_a_connection_is_used_again_only_after_a_whole_reply_with_nothing_behind_it(
    reply: bytes, *, reused: bool
) -> None:
    """
    What comes behind a reply belongs to nobody: the reply counts, the connection ends.
    """
    for pieces in ((reply,), (reply[:30], reply[30:]), tuple(reply[at : at + 1] for at in range(len(reply)))):
        reader = read(*pieces)

        assert (True, False, reused) == (reader.is_complete, reader.is_malformed, reader.allows_reuse)


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_an_end_in_the_middle_is_no_end(framing: str) -> None:
    """
    However much has come, all but the last byte is not all.
    """
    reply = render_reply(framing=framing)
    for at in range(len(reply)):
        assert not read(reply[:at], ended=True).is_complete


def test_a_reply_delimited_by_its_end_is_complete_only_then() -> None:
    """
    Whoever asks decides whether it is whole.
    """
    reply = render_reply(framing="end")

    assert (True, False) == ((reader := read(reply)).is_close_delimited, reader.is_complete)
    assert (True, False) == ((reader := read(reply, ended=True)).is_complete, reader.allows_reuse)


def test_trailers_are_dropped() -> None:
    """
    They stand in no header, even if they are called like one.
    """
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader = read(head + b"2\r\n{}\r\n0\r\nContent-Length: 9\r\nX: y\r\n\r\n")

    assert (True, [(b"transfer-encoding", b"chunked")]) == (reader.is_complete, reader.headers)


def test_the_bounds_of_a_head_are_exact() -> None:
    """
    Up to them it is read, beyond them it is refused.
    """
    rest = b"Content-Length: 2\r\n\r\n{}"
    for size, refused in ((HEAD_LIMIT_BYTES - len(rest) + 2 - 3 - 2, False), (HEAD_LIMIT_BYTES, True)):
        assert refused is read(b"HTTP/1.1 200 OK\r\nX: " + b"a" * size + b"\r\n" + rest).is_malformed
    for count, refused in ((HEADERS_LIMIT - 1, False), (HEADERS_LIMIT, True)):
        assert refused is read(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * count + rest).is_malformed


def test_tiny_chunks_are_read_and_endless_framing_is_not() -> None:
    """
    A byte a chunk needs five for framing; more than sixteen times the body is nobody's good intention.
    """
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader = read(head, *[b"1\r\nx\r\n"] * 100_000, b"0\r\n\r\n")
    assert (True, 100_000) == (reader.is_complete, reader.body_bytes)

    reader = read(head, *[b"1;" + b"y" * 100 + b"\r\nx\r\n"] * 100_000)
    assert reader.is_malformed
    assert reader.body_bytes < 2_000


def test_the_body_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Chunks or a close may bring more than any reply may have; here the limit is made small.
    """
    monkeypatch.setattr("gateway.upstream.reply_reader.STREAM_LIMIT_BYTES", 100)
    for framing in ("length", "chunks", "end"):
        assert read(render_reply(200, b"x" * 101, framing=framing)).is_malformed
        assert not read(render_reply(200, b"x" * 100, framing=framing)).is_malformed


def test_a_reader_leaves_nothing_for_the_collector() -> None:
    """
    It and its parser hold each other; one is made for each call, so they let go by themselves.
    """
    gc.disable()
    try:
        for reply in (render_reply(), b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n"):
            reader = read(reply)
            if not reader.is_complete:
                reader.end()
            gone = weakref.ref(reader)
            del reader

            assert gone() is None
    finally:
        gc.enable()


def test_a_reader_shows_where_it_is() -> None:
    """
    And nothing of what it read.
    """
    assert "<ReplyReader in its head: 0, 0 bytes of body>" == repr(read(b"HTTP/1.1 200"))
    assert "<ReplyReader in its body: 200, 1 bytes of body>" == repr(read(render_reply()[:-58]))
    assert "<ReplyReader complete: 200, 59 bytes of body>" == repr(read(render_reply()))
