"""
Replies that are none, or that two readers could take for two different ones: the table of what the way up refuses.

Each is refused as `upstream_broke`, outcome `unknown`. `STATUS_KNOWN` is about the journal alone: where the head was
whole and only what it says cannot be taken in one way, its status stands there.
"""

from __future__ import annotations

__all__ = ["MALFORMED", "MALFORMED_WITH_STATUS"]

OK = b"HTTP/1.1 200 OK\r\n"
TWO = b"Content-Length: 2\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
ONE_CHUNK = b"2\r\n{}\r\n0\r\n\r\n"

MALFORMED: dict[str, bytes] = {
    "nonsense": b"nonsense\r\n\r\n",
    "a request": b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\n" + TWO + b"\r\n{}",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\n" + TWO + b"\r\n{}",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\n" + TWO + b"\r\n{}",
    "RTSP": b"RTSP/1.0 200 OK\r\n" + TWO + b"\r\n{}",
    "lower case": b"http/1.1 200 OK\r\n" + TWO + b"\r\n{}",
    "an empty line first": b"\r\n" + OK + TWO + b"\r\n{}",
    "a space first": b" " + OK + TWO + b"\r\n{}",
    "two spaces before the status": b"HTTP/1.1  200 OK\r\n" + TWO + b"\r\n{}",
    "a status of two digits": b"HTTP/1.1 99 OK\r\n" + TWO + b"\r\n{}",
    "a status below 100": b"HTTP/1.1 099 OK\r\n" + TWO + b"\r\n{}",
    "a status above 599": b"HTTP/1.1 600 OK\r\n" + TWO + b"\r\n{}",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n" + TWO + b"\r\n{}",
    "a control character in the reason": b"HTTP/1.1 200 O\x01K\r\n" + TWO + b"\r\n{}",
    "a bare LF after the status line": b"HTTP/1.1 200 OK\n" + TWO + b"\r\n{}",
    "a bare LF after a header": OK + TWO + b"X: y\n\r\n{}",
    "bare LFs throughout": b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
    "a bare CR": OK + b"X: a\rb\r\n" + TWO + b"\r\n{}",
    "a folded header": OK + b"X: a\r\n b\r\n" + TWO + b"\r\n{}",
    "a NUL in a header": OK + b"X: a\x00b\r\n" + TWO + b"\r\n{}",
    "a control character in a header": OK + b"X: a\x01b\r\n" + TWO + b"\r\n{}",
    "a DEL in a header": OK + b"X: a\x7fb\r\n" + TWO + b"\r\n{}",
    "a space before the colon": OK + b"Content-Length : 2\r\n\r\n{}",
    "a header without a name": OK + b": a\r\n" + TWO + b"\r\n{}",
    "a header without a colon": OK + b"Xa\r\n" + TWO + b"\r\n{}",
    "a byte beyond ASCII in a name": OK + b"X\xe9: a\r\n" + TWO + b"\r\n{}",
    "two different lengths": OK + TWO + b"Content-Length: 3\r\n\r\n{}x",
    "two equal lengths": OK + TWO + TWO + b"\r\n{}",
    "a list of lengths": OK + b"Content-Length: 2, 2\r\n\r\n{}",
    "a signed length": OK + b"Content-Length: +2\r\n\r\n{}",
    "a hexadecimal length": OK + b"Content-Length: 0x2\r\n\r\n{}",
    "an empty length": OK + b"Content-Length: \r\n\r\n{}",
    "a length beyond all numbers": OK + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    "switching protocols": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "switching protocols to nothing": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "a body of an interim reply": b"HTTP/1.1 100 Continue\r\n" + TWO + b"\r\n{}" + OK + TWO + b"\r\n{}",
    "endless interim replies": b"HTTP/1.1 100 Continue\r\n\r\n" * 17 + OK + TWO + b"\r\n{}",
    "an interim reply before HTTP/1.0": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n" + TWO + b"\r\n{}",
    "a header of 70,000 bytes": OK + b"X: " + b"a" * 70_000 + b"\r\n" + TWO + b"\r\n{}",
    "a header without an end": OK + b"X: " + b"a" * 200_000,
    "70,000 bytes of headers": OK + b"X: %s\r\n" % (b"a" * 700) * 100 + TWO + b"\r\n{}",
    "200 headers": OK + b"X: y\r\n" * 200 + TWO + b"\r\n{}",
}
"""Refused before the head is taken for whole."""

MALFORMED_WITH_STATUS: dict[str, bytes] = {
    "chunks beside a length": OK + CHUNKED + TWO + b"\r\n" + ONE_CHUNK,
    "a length beside chunks": OK + TWO + CHUNKED + b"\r\n" + ONE_CHUNK,
    "another coding before chunks": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + ONE_CHUNK,
    "another coding alone": OK + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "identity": OK + b"Transfer-Encoding: identity\r\n\r\n{}",
    "identity beside chunks": OK + b"Transfer-Encoding: identity\r\n" + CHUNKED + b"\r\n" + ONE_CHUNK,
    "chunked twice": OK + CHUNKED + CHUNKED + b"\r\n" + ONE_CHUNK,
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"\r\n" + ONE_CHUNK,
    "a chunk size that is no number": OK + CHUNKED + b"\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a negative chunk size": OK + CHUNKED + b"\r\n-2\r\n{}\r\n0\r\n\r\n",
    "a chunk size with a prefix": OK + CHUNKED + b"\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "a space before a chunk size": OK + CHUNKED + b"\r\n 2\r\n{}\r\n0\r\n\r\n",
    "a chunk size beyond all numbers": OK + CHUNKED + b"\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "no chunk size": OK + CHUNKED + b"\r\n\r\n{}\r\n0\r\n\r\n",
    "a bare LF after a chunk size": OK + CHUNKED + b"\r\n2\n{}\r\n0\r\n\r\n",
    "a chunk longer than it says": OK + CHUNKED + b"\r\n2\r\n{}xx\r\n0\r\n\r\n",
    "a chunk without its end": OK + CHUNKED + b"\r\n2\r\n{}0\r\n\r\n",
    "a chunk extension without an end": OK + CHUNKED + b"\r\n2;" + b"x" * 200_000,
    "a trailer without an end": OK + CHUNKED + b"\r\n2\r\n{}\r\n0\r\nX: " + b"a" * 200_000,
    "a control character in a trailer": OK + CHUNKED + b"\r\n2\r\n{}\r\n0\r\nX: a\x01b\r\n\r\n",
    "a length of 257 MiB": OK + b"Content-Length: 269484032\r\n\r\n{}",
}
"""Refused for what the whole head says, or behind it."""
