"""
Replies for a scripted upstream, generated: statuses, framings, cuts between records, and ends in the middle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripted_upstream import Ending, Script

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON = b'{"Code": 0, "Message": "Recording started", "SessionID": 1}'
STATUSES = (200, 201, 202, 299, 400, 401, 403, 404, 409, 429, 500, 502, 503, 599, 301, 302, 307)
BROKEN_ENDS = (Ending.NOTIFY, Ending.FIN, Ending.RESET)


def render_reply(
    status: int = 200,
    body: bytes = JSON,
    *,
    framing: str = "length",
    headers: bytes = b"",
    version: bytes = b"1.1",
    chunk_bytes: int = 16,
) -> bytes:
    """
    A reply whose body is framed by its `length`, by `chunks`, or by its `end` alone.
    """
    head = b"HTTP/%b %d Reason\r\nContent-Type: application/json\r\n%b" % (version, status, headers)
    if framing == "end":
        return head + b"\r\n" + body
    if framing == "length":
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(body[at : at + chunk_bytes]), body[at : at + chunk_bytes])
        for at in range(0, len(body), chunk_bytes)
    )
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def generate_whole() -> Iterator[tuple[str, Script]]:
    """
    Replies that come whole, each in one record.
    """
    for status in STATUSES:
        for framing in ("length", "chunks", "end"):
            ending = Ending.FIN if framing == "end" else Ending.KEEP
            yield f"{status} by {framing}", Script((render_reply(status, framing=framing),), ending)
    for status in (204, 304):
        yield f"{status} without a body", Script((b"HTTP/1.1 %d Reason\r\nX: y\r\n\r\n" % status,))
    for name, body in (("empty", b""), ("text", b"plain"), ("an array", b"[1]"), ("half an object", b'{"Code": 0')):
        for framing in ("length", "chunks", "end"):
            for ending in (Ending.FIN, Ending.NOTIFY):
                yield (
                    f"{name} by {framing}, {ending.value}",
                    Script((render_reply(200, body, framing=framing),), ending),
                )
    large = b"[" + b"7," * 50_000 + b"7]"
    for framing in ("length", "chunks", "end"):
        reply = render_reply(200, large, framing=framing, chunk_bytes=5000)
        yield f"100 kB by {framing}", Script((reply,), Ending.FIN if framing == "end" else Ending.KEEP)
    for size in (65_535, 65_536, 65_537):
        yield f"{size} bytes", Script((render_reply(200, b"x" * size),))
    for name, count in (("1.1 MiB", 570_000), ("8.1 MiB", 4_250_000)):
        long = render_reply(200, b"[" + b"7," * count + b"7]", framing="end")
        yield f"{name} by its end", Script((long,), Ending.FIN)


def generate_variants() -> Iterator[tuple[str, Script]]:
    """
    What else a head may say.
    """
    for name, headers in (
        ("close", b"Connection: close\r\n"),
        ("keep-alive", b"Connection: keep-alive\r\nKeep-Alive: timeout=20\r\n"),
        ("cookies", b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"),
        ("an upgrade offered", b"Connection: upgrade\r\nUpgrade: h2c\r\n"),
        ("spaces around a value", b"X:   a b \t \r\n"),
        ("an empty value", b"X:\r\n"),
        ("bytes beyond ASCII", b"X: caf\xe9\r\n"),
        ("50 headers", b"".join(b"X-%d: y\r\n" % number for number in range(50))),
        ("a coded body", b"Content-Encoding: gzip\r\n"),
    ):
        yield name, Script((render_reply(headers=headers),))
    for version in (b"1.0", b"1.1"):
        for connection in (b"", b"Connection: keep-alive\r\n", b"Connection: close\r\n"):
            reply = render_reply(headers=connection, version=version)
            yield f"HTTP/{version.decode()} {connection.decode().strip()}", Script((reply,))
    for name, interim in (
        ("100 first", b"HTTP/1.1 100 Continue\r\n\r\n"),
        ("103 first", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
        ("three interim replies", b"HTTP/1.1 102 Processing\r\n\r\n" * 3),
    ):
        yield name, Script((interim + render_reply(),))
        yield f"{name}, in a record of its own", Script((interim, render_reply()))
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: %b\r\n\r\n"
    yield "CHUNKED", Script((head % b"CHUNKED" + b"2\r\n{}\r\n0\r\n\r\n",))
    yield "extensions", Script((head % b"chunked" + b'2;a=b;c="d"\r\n{}\r\n0;e\r\n\r\n',))
    yield "trailers", Script((head % b"chunked" + b"2\r\n{}\r\n0\r\nX: y\r\nZ: z\r\n\r\n",))
    yield "no reason", Script((b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\n{}",))
    yield "no reason and no space", Script((b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}",))
    yield "surplus", Script((render_reply() + b"surplus",))
    yield "a second reply", Script((render_reply() + render_reply(500),))


def generate_cuts() -> Iterator[tuple[str, Script]]:
    """
    The same replies, cut in two records at every byte, and into records of one byte each.
    """
    for framing in ("length", "chunks", "end"):
        reply = render_reply(200, b'{"Code": 0}', framing=framing, chunk_bytes=6)
        ending = Ending.FIN if framing == "end" else Ending.KEEP
        for at in range(1, len(reply)):
            yield f"{framing} cut at {at}", Script((reply[:at], reply[at:]), ending)
        yield f"{framing} byte by byte", Script(tuple(reply[at : at + 1] for at in range(len(reply))), ending)


def generate_breaks() -> Iterator[tuple[str, Script]]:
    """
    Replies that end before they are whole.
    """
    for framing in ("length", "chunks", "end"):
        reply = render_reply(200, b'{"Code": 0}', framing=framing, chunk_bytes=6)
        head_bytes = reply.index(b"\r\n\r\n") + 4
        places = {
            0,
            1,
            9,
            20,
            head_bytes - 3,
            head_bytes - 1,
            head_bytes,
            head_bytes + 1,
            head_bytes + 5,
            len(reply) - 1,
        }
        for at in sorted(places):
            for ending in BROKEN_ENDS:
                yield f"{framing} ends at {at}, {ending.value}", Script((reply[:at],) if at else (), ending)
    for framing in ("length", "chunks"):
        reply = render_reply(200, b"x" * 200_000, framing=framing, chunk_bytes=5000)
        for ending in (Ending.NOTIFY, Ending.FIN):  # a reset may overtake what was sent before it
            yield f"{framing} ends while streamed, {ending.value}", Script((reply[:120_000],), ending)
