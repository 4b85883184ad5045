"""
The supervisor's own socket in the run folder, at which a verb asks it for something and waits for what came of that.

A line for a line: the visitor's is one of those that `run_folder` names, ours is JSON. Whoever sends nothing, or sends
something else, is sent away; nobody can make the supervisor wait.
"""

from __future__ import annotations

import contextlib
import json
import selectors
from functools import partial
from typing import TYPE_CHECKING

from gateway.run_folder import bind_private, is_own_peer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["Post", "Visitor"]

_LINE_LIMIT_BYTES = 32
_VISITORS_LIMIT = 16


class Visitor:
    """
    Somebody who has asked, and will be answered once.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def answer(self, told: Mapping[str, object]) -> None:
        """
        Tell what came of it, and part. Nothing happens when the visitor has left.
        """
        with contextlib.suppress(OSError):  # an answer is small: the socket's buffer takes it whole
            self._connection.send(json.dumps(told).encode() + b"\n")
        self._connection.close()


class Post:
    """
    Listens on a path.

    Args:
        path: In the run folder.
        selector: Whose keys carry, as data, what is to be called.
        take: Called with each line and who sent it; returns whether it will be answered.
    """

    def __init__(self, path: Path, selector: selectors.BaseSelector, take: Callable[[bytes, Visitor], bool]) -> None:
        self._path = path
        self._selector = selector
        self._take = take
        self._listener: socket.socket | None = None
        self._silent: set[socket.socket] = set()

    def open(self) -> None:
        """
        Listen.

        Raises:
            OperatorError: As for `bind_private`.
        """
        self._listener = bind_private(self._path)
        self._listener.listen()
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._receive)

    def close(self) -> None:
        """
        Listen no more and take the file away; who has asked may still be answered.
        """
        for connection in tuple(self._silent):
            self._send_away(connection)
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _receive(self) -> None:
        if self._listener is None:
            return
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # the visitor has left, or there is no descriptor for it
        connection.setblocking(False)
        if not is_own_peer(connection) or len(self._silent) >= _VISITORS_LIMIT:
            connection.close()
            return
        self._silent.add(connection)
        self._selector.register(connection, selectors.EVENT_READ, partial(self._hear, connection))

    def _hear(self, connection: socket.socket) -> None:
        try:
            line = connection.recv(_LINE_LIMIT_BYTES)  # our own verb's line, which is sent in one piece
        except OSError:
            line = b""
        self._selector.unregister(connection)
        self._silent.discard(connection)
        if not line.endswith(b"\n") or not self._take(line, Visitor(connection)):
            connection.close()

    def _send_away(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        self._silent.discard(connection)
        connection.close()
