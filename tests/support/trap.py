"""
A place where a call should not come, or should not get far: it tells who came and what they said.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOOK_SECONDS = 0.05
_PATIENCE_SECONDS = 5.0


class Trap:
    """
    Accepts connections on a free port of this machine, shakes hands where it has a TLS context, reads once, and closes.

    Attributes:
        port: Where it listens.
        connections: How many came.
        received: All that was read, decrypted.
    """

    def __init__(self, context: ssl.SSLContext | None = None, *, reads: bool = True) -> None:
        self._context = context
        self._reads = reads
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(_LOOK_SECONDS)
        self._is_closed = False
        self.port: int = self._listening.getsockname()[1]
        self.connections = 0
        self.received = b""
        self._thread = threading.Thread(target=self._run, name="trap")
        self._thread.start()

    def close(self) -> None:
        """
        Listen no more.
        """
        self._is_closed = True
        self._thread.join()
        self._listening.close()

    def _run(self) -> None:
        while not self._is_closed:
            with contextlib.suppress(TimeoutError):
                connection, _ = self._listening.accept()
                self.connections += 1
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(_PATIENCE_SECONDS)
                    self._meet(connection)

    def _meet(self, connection: socket.socket) -> None:
        if self._context is None:
            self._read(connection)
            return
        with self._context.wrap_socket(connection, server_side=True) as shaken:
            self._read(shaken)

    def _read(self, connection: socket.socket) -> None:
        if self._reads:
            self.received += connection.recv(65536)


@contextlib.contextmanager
def open_trap(context: ssl.SSLContext | None = None, *, reads: bool = True) -> Iterator[Trap]:
    """
    A trap, with a TLS context that speaks TLS, and without `reads` closing as soon as the handshake is over.
    """
    trap = Trap(context, reads=reads)
    try:
        yield trap
    finally:
        trap.close()


def create_server_context(simulator_dir: Path) -> ssl.SSLContext:
    """
    A server's TLS context with the simulator's own certificate, so that a trap can be taken for Noojee.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(simulator_dir / "server.pem", simulator_dir / "server-key.pem")
    return context
