"""
A reply's bytes, read in one way only: status, headers, body, and whether it is whole.

llhttp reads; what it lets pass and two readers could take in two ways is refused here. Knows no connection and no time.
Law 2 rests on `is_complete`: a reply is complete by its length, by its last chunk, or, delimited by its close alone,
when it ended and whoever asks finds it whole (`is_close_delimited`).

docs/decisions/0010-the-pool.md has the table of what is refused.
"""

from __future__ import annotations

import re

import httptools

__all__ = ["HEADERS_LIMIT", "HEAD_LIMIT_BYTES", "STREAM_LIMIT_BYTES", "ReplyReader"]

STREAM_LIMIT_BYTES = 256 * 1024 * 1024
"""The longest reply (contract section 5)."""

HEAD_LIMIT_BYTES = 64 * 1024
"""All headers together, eight times what Tomcat sends at most; and what may stand around chunks, trailers included."""

HEADERS_LIMIT = 128
"""How many headers one reply may have."""

_INTERIM_LIMIT = 16
"""How many replies of 1xx may come before the one that counts."""

_FRAMING_SHARE = 16
"""How much longer than its body the chunks' framing may be: chunks of one byte need five bytes each."""

_OPENING = b"HTTP/1."
_BODILESS = frozenset({204, 304})
_USUAL_REASONS = frozenset({b"", b"OK"})
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class ReplyReader:
    """
    Reads one reply, and the replies of 1xx before it.

    Attributes:
        status: Once the head is whole, 0 before.
        headers: Names in lower case, values as they came, in their order.
        pieces: Of the body; whoever takes some lowers `waiting_bytes`.
        waiting_bytes: The length of all pieces together.
        body_bytes: How much of the body has come.
        is_head_complete: Whether status and headers are there.
        is_complete: Whether all of the body has come.
        is_malformed: Whether these bytes are no reply, or could be read as two different ones.
        is_close_delimited: Whether nothing but the connection's end tells the end of the body.
        allows_reuse: Whether another request may follow on the connection.
    """

    # Defaults on the class, because most of them stay what they are: one is made for each call.
    _has_opened = False
    _interim_replies = 0
    _is_interim = False
    _opening = b""
    _raw_bytes = 0
    allows_reuse = False
    body_bytes = 0
    is_close_delimited = False
    is_complete = False
    is_head_complete = False
    is_malformed = False
    status = 0
    waiting_bytes = 0

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        # llhttp stops at a length beside chunks before it tells the status; let it go on, and refuse both in `_judge`.
        self._parser.set_dangerous_leniencies(lenient_chunked_length=True)

    def feed(self, data: memoryview) -> None:
        """
        Read on. Nothing is read behind a complete reply, or behind the first mistake.
        """
        parser = self._parser
        if parser is None:
            self.allows_reuse = False
            return
        self._raw_bytes += len(data)
        if not self._has_opened:
            self._read_opening(data)
        try:
            if not self.is_malformed:
                parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.allows_reuse = False
            self.is_malformed = not self.is_complete
        if not self.is_complete and self._is_bloated():
            self.is_malformed = True
        if self.is_complete or self.is_malformed:
            self._parser = None  # parser and reader hold each other

    def end(self) -> None:
        """
        The connection has ended: no more will come.
        """
        self._parser = None
        self.allows_reuse = False
        if self.is_close_delimited:
            self.is_complete = True
        elif not self.is_complete:
            self.is_malformed = True

    def stop(self) -> None:
        """
        Nothing more is fed. Lets go of the parser: the two hold each other.
        """
        self._parser = None

    def take_body(self) -> bytes:
        """
        All that has come and was not taken yet.
        """
        pieces = self.pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.waiting_bytes = 0
        return body

    def _read_opening(self, data: memoryview) -> None:
        # llhttp takes RTSP/1.0, HTTP/2.0 and leading empty lines too, and tells nobody.
        opening = self._opening = self._opening + bytes(data[: len(_OPENING) - len(self._opening)])
        if opening == _OPENING:
            self._has_opened = True
        elif not _OPENING.startswith(opening):
            self.is_malformed = True

    def _is_bloated(self) -> bool:
        """
        Whether what is no body has no end. A single header cannot grow beyond this either: the parser holds it.
        """
        return self._raw_bytes - self.body_bytes > HEAD_LIMIT_BYTES + _FRAMING_SHARE * (1024 + self.body_bytes)

    # What follows is called by the parser.

    def on_message_begin(self) -> None:
        """
        A reply begins; a second one is nobody's.
        """
        if self.is_complete:
            self.allows_reuse = False

    def on_status(self, reason: bytes) -> None:
        """
        The reason phrase, or a part of it: read by nobody, but it is no place for control characters.
        """
        if reason not in _USUAL_REASONS and _CONTROL.search(reason):
            self.is_malformed = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """
        A header, or a trailer, which is dropped.
        """
        if not self.is_head_complete:
            self.headers.append((name.lower(), value.rstrip()))  # RFC 9112 section 5: a space behind is no part of it

    def on_headers_complete(self) -> None:
        """
        The head is whole.
        """
        if self.is_complete or self._parser is None:
            return
        status = self._parser.get_status_code()
        if status < 200:  # noqa: PLR2004  # RFC 9110 section 15.2
            self._judge_interim(status)
        else:
            self._judge(status)

    def on_body(self, data: bytes) -> None:
        """
        A piece of the body.
        """
        if self.is_complete:
            return
        self.pieces.append(data)
        self.waiting_bytes += len(data)
        self.body_bytes += len(data)
        if self.body_bytes > STREAM_LIMIT_BYTES:
            self.is_malformed = True

    def on_message_complete(self) -> None:
        """
        The reply is whole, or one of 1xx is.
        """
        if self._is_interim:
            self._is_interim = False
        elif self.is_head_complete and not self.is_complete and self._parser is not None:
            self.is_complete = not self.is_malformed
            self.allows_reuse = self._parser.should_keep_alive()

    def _judge_interim(self, status: int) -> None:
        self._is_interim = True
        self._interim_replies += 1
        if (
            status <= 101  # noqa: PLR2004  # nobody asked to switch protocols, and what is below 100 is no status
            and status != 100  # noqa: PLR2004
        ) or self._interim_replies > _INTERIM_LIMIT:
            self.is_malformed = True
        if any(name in {b"content-length", b"transfer-encoding"} for name, _ in self.headers):
            self.is_malformed = True  # RFC 9110 section 15.2: such a reply has no body
        self.headers.clear()

    def _judge(self, status: int) -> None:
        """
        How the body is delimited (RFC 9112 section 6.3), and whether that can be taken in one way only.
        """
        self.is_head_complete = True
        if status > 599 or self._has_large_head():  # noqa: PLR2004  # RFC 9110 section 15
            self.is_malformed = True
            return
        self.status = status
        fields = dict(self.headers)
        length = fields.get(b"content-length")  # llhttp refuses a second one, and what is no number
        coding = fields.get(b"transfer-encoding")
        if coding is not None:
            self._judge_coding(coding, has_length=length is not None)
        elif length is None:
            self.is_close_delimited = status not in _BODILESS
        elif int(length) > STREAM_LIMIT_BYTES:
            self.is_malformed = True
        if self._interim_replies and not self._is_http_1_1():
            self.is_malformed = True  # HTTP/1.0 knows no 1xx, and `_read_opening` sees only the first reply

    def _has_large_head(self) -> bool:
        headers = self.headers
        if len(headers) > HEADERS_LIMIT:
            return True
        if self._raw_bytes <= HEAD_LIMIT_BYTES:
            return False
        return sum(len(name) + len(value) + 4 for name, value in headers) > HEAD_LIMIT_BYTES

    def _judge_coding(self, coding: bytes, *, has_length: bool) -> None:
        # RFC 9112 section 6.3: a length beside chunks is an attack or a fault. Section 6.1: HTTP/1.0 knows no chunks,
        # and we asked for no coding but the one that every reader of HTTP/1.1 knows.
        is_repeated = sum(name == b"transfer-encoding" for name, _ in self.headers) > 1
        if has_length or is_repeated or coding.lower() != b"chunked" or not self._is_http_1_1():
            self.is_malformed = True

    def _is_http_1_1(self) -> bool:
        return self._parser is not None and self._parser.get_http_version() == "1.1"

    def __repr__(self) -> str:
        state = "complete" if self.is_complete else "in its body" if self.is_head_complete else "in its head"
        return f"<ReplyReader {state}: {self.status}, {self.body_bytes} bytes of body>"
