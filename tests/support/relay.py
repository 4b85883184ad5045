"""
Stands between a client and a server on TCP, and cuts or spoils what passes.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE_SECONDS = 10.0


class Relay:
    """
    Passes on what comes, in pieces of a few bytes each.

    Args:
        port: Of the server behind it.
        piece_bytes: How much is passed on at once.
        at: Where it listens; port 0 for a free one.

    Attributes:
        port: Where it listens.
        connections: How many there were.
        spoils: While it is set, the last byte of whatever comes down is changed.
    """

    def __init__(self, port: int, piece_bytes: int, at: tuple[str, int]) -> None:
        self._behind = port
        self._piece_bytes = piece_bytes
        self._listening = socket.create_server(at)
        self.port: int = self._listening.getsockname()[1]
        self.connections = 0
        self.spoils = threading.Event()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._begin(self._accept)

    def close(self) -> None:
        """
        End everything.
        """
        for each in (self._listening, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_PATIENCE_SECONDS)
        for each in (self._listening, *self._open):
            each.close()

    def _begin(self, run: object, *args: object) -> None:
        thread = threading.Thread(target=run, args=args, name="relay", daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self.connections += 1
                server = socket.create_connection(("127.0.0.1", self._behind))
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._open.append(each)
                self._begin(self._pass_on, client, server)
                self._begin(self._pass_on, server, client, True)

    def _pass_on(self, source: socket.socket, target: socket.socket, is_downward: bool = False) -> None:  # noqa: FBT001, FBT002
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_downward and self.spoils.is_set():
                    data = data[:-1] + bytes([data[-1] ^ 1])
                for at in range(0, len(data), self._piece_bytes):
                    target.sendall(data[at : at + self._piece_bytes])
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def open_relay(port: int, piece_bytes: int = 65536, *, at: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[Relay]:
    """
    A relay to a port of this machine.
    """
    relay = Relay(port, piece_bytes, at)
    try:
        yield relay
    finally:
        relay.close()
