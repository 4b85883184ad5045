"""
A corporate proxy on loopback: CONNECT with or without Basic authentication, or one of the ways in which it refuses.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE_SECONDS = 10.0


@dataclass
class ConnectProxy:
    """
    Where it is, and what was asked of it.

    Attributes:
        answer: In place of a tunnel, when it is set: these bytes, then the end.
        authorization: What must stand in `Proxy-Authorization`; 407 otherwise.
        heads: The requests, as they came.
        on_first: What is done when the first has come, and before it is answered.
    """

    listening: socket.socket
    answer: bytes | None = None
    authorization: str | None = None
    heads: list[bytes] = field(default_factory=list)
    on_first: Callable[[], object] | None = None

    @property
    def port(self) -> int:
        """
        On 127.0.0.1.
        """
        return int(self.listening.getsockname()[1])

    def serve(self) -> None:
        """
        One thread a tunnel, until it is closed.
        """
        while True:
            try:
                asking, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._meet, args=(asking,), daemon=True).start()

    def _meet(self, asking: socket.socket) -> None:
        with asking, contextlib.suppress(OSError):
            asking.settimeout(_PATIENCE_SECONDS)
            head = b""
            while b"\r\n\r\n" not in head:
                if not (data := asking.recv(4096)):
                    return
                head += data
            self.heads.append(head)
            if self.on_first is not None:
                do, self.on_first = self.on_first, None
                do()
            if self.answer is not None:
                asking.sendall(self.answer)
            elif (
                self.authorization is not None
                and f"\r\nProxy-Authorization: {self.authorization}\r\n".encode() not in head
            ):
                asking.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
            else:
                self._tunnel(asking, head.split(b" ")[1].decode())

    @staticmethod
    def _tunnel(asking: socket.socket, target: str) -> None:
        host, _, port = target.rpartition(":")
        try:
            there = socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_SECONDS)
        except OSError:
            asking.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            return
        with there:
            asking.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            asking.settimeout(None)
            other = {asking: there, there: asking}
            while True:
                for readable in select.select(list(other), [], [])[0]:
                    if not (data := readable.recv(65536)):
                        return
                    other[readable].sendall(data)


@contextlib.contextmanager
def run_connect_proxy(*, answer: bytes | None = None, authorization: str | None = None) -> Iterator[ConnectProxy]:
    """
    One that runs for the length of a `with` block.
    """
    proxy = ConnectProxy(socket.create_server(("127.0.0.1", 0), backlog=64), answer, authorization)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        with contextlib.suppress(OSError):
            proxy.listening.shutdown(socket.SHUT_RDWR)
        proxy.listening.close()
        thread.join(_PATIENCE_SECONDS)
