"""
One request's head: read as it arrives, then judged as a whole.

The door finds where the head ends and hands llhttp exactly its bytes, so nothing behind the head is ever parsed with
it, and `Upgrade`, at which llhttp stops reading, changes nothing: how long the body is, is decided here. llhttp refuses
what is not HTTP; `_judge` adds what llhttp lets pass (the list is in facts.md section 2 and in the decision record).

Law 9 holds here: the request line that llhttp understood is compared, byte for byte, with the one that came.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import httptools

from gateway.data_plane.headers import Headers
from gateway.errors import CallerError, Reason

if TYPE_CHECKING:
    from gateway.data_plane.bounds import Bounds

__all__ = ["Head"]

_TARGET: Final = re.compile(rb"/[!\"$-:<-~]*")
"""Visible ASCII without `#` and `;` (contract section 3): what two parsers could cut at different places."""

_AUTHORITY: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%-]+)(?::[0-9]{0,5})?")
"""Host and port of RFC 3986, without userinfo and without the sub-delimiters that no host name has."""

_ABSOLUTE: Final = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_VERSIONS: Final = {b"1.1": "1.1", b"1.0": "1.0"}
_HEAD_END: Final = b"\r\n\r\n"


@lru_cache(maxsize=256)
def _is_authority(text: bytes) -> bool:
    return _AUTHORITY.fullmatch(text) is not None


def _malformed(what: str) -> CallerError:
    return CallerError(Reason.REQUEST_MALFORMED, f"{what} The request was not forwarded.")


class Head:
    """
    The head of one request, from its first byte to its empty line. Its values are good once `read` was true.

    Attributes:
        method: Upper case, as sent.
        target: The origin form, path and query undecoded; an absolute form has lost its authority.
        version: `1.0` or `1.1`.
        headers: Values without the white space around them (RFC 9112 section 5.1).
        declared_length: Content-Length, 0 without one; None for a chunked body.
        keep_alive: Whether the caller leaves the connection open; never with HTTP/1.0.
        expects_continue: Whether the caller waits for `100 Continue` before it sends the body.
        is_begun: Whether more than empty lines came.
    """

    __slots__ = (
        "_bounds",
        "_empty_line_bytes",
        "_fed",
        "_line_end",
        "_parser",
        "declared_length",
        "expects_continue",
        "headers",
        "is_begun",
        "keep_alive",
        "method",
        "target",
        "version",
    )

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._parser = httptools.HttpRequestParser(self)
        self._empty_line_bytes = 0
        self._fed = 0
        self._line_end = -1
        self.is_begun = False
        self.method = ""
        self.target = b""
        self.version = ""
        self.headers = Headers()
        self.declared_length: int | None = 0
        self.keep_alive = False
        self.expects_continue = False

    def on_url(self, piece: bytes) -> None:
        """
        Take a piece of the target, as llhttp calls it.
        """
        self.target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        """
        Take one header, as llhttp calls it. Its value comes with the white space behind it.
        """
        self.headers.add(name.lower(), value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        """
        Take what llhttp knows only at this moment.
        """
        self.keep_alive = self._parser.should_keep_alive()

    def read(self, buffer: bytearray) -> bool:
        """
        Take what belongs to the head from the buffer's front.

        Returns:
            True when the head is whole and good: it is gone from the buffer, and what follows it is left there. False
            when more must come: the buffer stays as it is, and is handed in again with more behind it.

        Raises:
            CallerError: 400 as early as it shows, 414, 431, and 413 for a declared length.
        """
        if not self.is_begun and not self._skip_empty_lines(buffer):
            return False
        end = buffer.find(_HEAD_END, max(0, self._fed - len(_HEAD_END) + 1))
        size = end + len(_HEAD_END) if end >= 0 else len(buffer)
        self._feed(bytes(buffer[self._fed : min(size, self._bounds.head_bytes)]))
        self._fed = size
        self._measure(buffer)
        if end < 0:
            return False
        self._judge(bytes(buffer[: self._line_end]))
        del buffer[:size]
        del self._parser  # it holds our callbacks: a circle that only the collector would break
        return True

    def render_method(self) -> str:
        """
        The method if it came whole, else an empty text: a refused HEAD is answered without a body.
        """
        return self._parser.get_method().decode() if self._line_end >= 0 else ""

    def _skip_empty_lines(self, buffer: bytearray) -> bool:
        while buffer.startswith(b"\r\n"):
            del buffer[:2]
            self._empty_line_bytes += 2
        if self._empty_line_bytes > self._bounds.empty_line_bytes:
            raise _malformed("Too many empty lines stood before the request line.")
        self.is_begun = bool(buffer) and buffer != b"\r"
        return self.is_begun

    def _feed(self, piece: bytes) -> None:
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            pass  # Upgrade is ignored; the body is read by its length, which llhttp would have skipped
        except httptools.HttpParserError as error:
            raise CallerError(Reason.REQUEST_MALFORMED) from error

    def _measure(self, buffer: bytearray) -> None:
        line_bytes = self._bounds.request_line_bytes
        if self._line_end < 0:
            self._line_end = buffer.find(b"\r\n", 0, line_bytes + 2)
            if self._line_end < 0 and len(buffer) >= line_bytes + 2:
                raise CallerError(Reason.TARGET_TOO_LONG)
        if self._fed > self._bounds.head_bytes:
            raise CallerError(Reason.HEADERS_TOO_LARGE)

    def _judge(self, line: bytes) -> None:
        method = self._parser.get_method()
        version = line[-3:]
        # llhttp takes HTTP/0.9 and 2.0, RTSP and ICE, and several spaces between the parts.
        if version not in _VERSIONS or line != b"%b %b HTTP/%b" % (method, self.target, version):
            raise _malformed("The request line is not `METHOD target HTTP/1.1` with single spaces.")
        if method == b"CONNECT":
            raise _malformed("CONNECT is not served.")
        self.method = method.decode()
        self.version = _VERSIONS[version]
        self.keep_alive = self.keep_alive and self.version == "1.1"
        self.expects_continue = any(value.lower() == b"100-continue" for value in self.headers.find(b"expect"))
        self._judge_target()
        self._judge_framing()

    def _judge_target(self) -> None:
        if not self.target.startswith(b"/") and (absolute := _ABSOLUTE.fullmatch(self.target)) is not None:
            authority, rest = absolute.groups()
            if not _is_authority(authority):
                raise _malformed("The target's authority is not a host and port.")
            self.target = rest if rest.startswith(b"/") else b"/" + rest
        if not _TARGET.fullmatch(self.target):
            raise _malformed(
                "The target holds `#`, `;` or a byte outside visible ASCII, or does not start with a path."
            )

    def _judge_framing(self) -> None:
        hosts = self.headers.find(b"host")
        lengths = self.headers.find(b"content-length")
        codings = self.headers.find(b"transfer-encoding")
        # RFC 9112 section 3.2: "A server MUST respond with a 400 status code to any HTTP/1.1 request message that lacks
        # a Host header field and to any request message that contains more than one Host header field line or [...] an
        # invalid field value". Noojee's clients all send one, so 1.0 is no exception.
        if len(hosts) != 1 or not _is_authority(hosts[0]):
            raise _malformed("Exactly one Host header with a host and port is needed.")
        if codings:
            if lengths or self.version != "1.1" or len(codings) > 1 or codings[0].lower() != b"chunked":
                raise _malformed(
                    "The body must come with one Content-Length, or with `Transfer-Encoding: chunked` alone."
                )
            self.declared_length = None
        elif lengths:
            # llhttp refuses a second one, a sign and anything but digits; a repetition here would be two readings.
            if len(lengths) > 1 or not lengths[0].isdigit():
                raise _malformed("Content-Length must be one number.")
            self.declared_length = int(lengths[0])
            if self.declared_length > self._bounds.body_bytes:
                raise CallerError(Reason.BODY_TOO_LARGE)
