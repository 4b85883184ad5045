"""
Where a request's body ends: by its length, or by its chunks (RFC 9112 sections 6 and 7.1).

Both forms take from the front of the connection's buffer what is theirs and nothing more, so that the next request
stays behind. Values only: no sockets, no clock. Chunks are read here and not by llhttp because llhttp bounds neither
their extensions nor their number, and appends trailers to headers that were judged long before (law 9).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

from gateway.errors import CallerError, Reason

if TYPE_CHECKING:
    from gateway.data_plane.bounds import Bounds

__all__ = ["Body", "ChunkedBody", "EmptyBody", "SizedBody"]

_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\t\x20-\x7e]*)?")
"""chunk-size and extensions; eight digits are beyond every bound, and a white space before `;` is refused as bad."""


_CARRIAGE_RETURN: Final = ord("\r")


class Body(Protocol):
    """
    A body that arrives.
    """

    content: bytes
    """The whole body once `read` was true."""

    most_bytes: int
    """How many it may come to."""

    def read(self, buffer: bytearray) -> bool:
        """
        Take what belongs to the body from the buffer's front; true when the body is whole, and then always.

        Raises:
            CallerError: 400 or 413; the buffer is then of no further use.
        """
        ...

    def outgrows(self, size_bytes: int, buffer: bytearray) -> bool:
        """
        Whether a body that is not whole is larger than that: by its length, or by what has come of it.
        """
        ...


class EmptyBody:
    """
    No body: neither length nor chunks, as the Java client sends POST, or a length of 0.
    """

    content = b""
    most_bytes = 0

    def read(self, buffer: bytearray) -> bool:
        """
        Whole from the start.
        """
        del buffer
        return True

    def outgrows(self, size_bytes: int, buffer: bytearray) -> bool:
        """
        Never.
        """
        del size_bytes, buffer
        return False


class SizedBody:
    """
    A body of a declared length, which the head has bounded already.
    """

    __slots__ = ("content", "most_bytes")

    def __init__(self, length: int) -> None:
        self.most_bytes = length
        self.content = b""

    def read(self, buffer: bytearray) -> bool:
        """
        Whole once that many bytes came; until then they stay in the buffer.
        """
        if not self.content:
            if len(buffer) < self.most_bytes:
                return False
            self.content = bytes(buffer[: self.most_bytes])
            del buffer[: self.most_bytes]
        return True

    def outgrows(self, size_bytes: int, buffer: bytearray) -> bool:
        """
        Its length tells from the start.
        """
        del buffer
        return self.most_bytes > size_bytes


class ChunkedBody:
    """
    A chunked body; each chunk is taken once it is whole.
    """

    __slots__ = ("_bounds", "_data", "_framing_bytes", "_is_whole", "content", "most_bytes")

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._data = bytearray()  # and not a list of chunks: an object for every two bytes is twenty times their size
        self._framing_bytes = 0
        self._is_whole = False
        self.most_bytes = bounds.body_bytes
        self.content = b""

    def read(self, buffer: bytearray) -> bool:
        """
        Whole after the last chunk and its empty line. A trailer is refused before the body counts as whole.
        """
        while not self._is_whole:
            line_end = self._find_line_end(buffer)
            if line_end < 0:
                return False
            size = self._parse_size(bytes(buffer[:line_end]))
            data_end = line_end + 2 + size
            ending = buffer[data_end : data_end + 2]
            if ending != b"\r\n":
                if b"\r\n".startswith(ending):
                    return False
                raise CallerError(
                    Reason.REQUEST_MALFORMED, "A chunk is longer than its size, or trailers follow the last one."
                )
            self._take(buffer[line_end + 2 : data_end], framing_bytes=line_end + 4)
            del buffer[: data_end + 2]
        return True

    def outgrows(self, size_bytes: int, buffer: bytearray) -> bool:
        """
        What has come tells: most such bodies are small.
        """
        return len(self._data) + len(buffer) > size_bytes

    def _find_line_end(self, buffer: bytearray) -> int:
        line_end = buffer.find(b"\n", 0, self._bounds.chunk_line_bytes + 2) - 1
        if line_end < -1:
            if len(buffer) >= self._bounds.chunk_line_bytes + 2:
                raise CallerError(Reason.REQUEST_MALFORMED, "A chunk's size line is too long.")
            return -1
        if line_end < 0 or buffer[line_end] != _CARRIAGE_RETURN:
            # Told at once: waiting for a CRLF that never comes would end in a 408, or take what follows for the line.
            raise CallerError(Reason.REQUEST_MALFORMED, "A chunk's size line must end in CR LF.")
        return line_end

    def _parse_size(self, line: bytes) -> int:
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise CallerError(Reason.REQUEST_MALFORMED, "A chunk's size is not a hexadecimal number.")
        size = int(match[1], 16)
        if len(self._data) + size > self._bounds.body_bytes:
            raise CallerError(Reason.BODY_TOO_LARGE)
        return size

    def _take(self, data: bytearray, *, framing_bytes: int) -> None:
        self._framing_bytes += framing_bytes
        if self._framing_bytes > self._bounds.chunk_framing_bytes:
            raise CallerError(
                Reason.BODY_TOO_LARGE, "The chunks are too small for a body of this size: send larger ones."
            )
        if data:
            self._data += data
        else:
            self.content = bytes(self._data)
            self._data.clear()
            self._is_whole = True
