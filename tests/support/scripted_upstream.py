"""
An upstream that says what it is told to, byte by byte, over real TLS: whole replies, broken ones, and no replies.

Each connection has a thread. A request names its script in its query, so that one server serves many scripts, and both
senders can keep their connections. What a script writes in one piece is one TLS record.
"""

from __future__ import annotations

import contextlib
import enum
import re
import socket
import ssl
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.simulator.certificates import ensure_certificates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PATIENCE_SECONDS = 10.0
_SCRIPT = re.compile(rb"script=(\d+)")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Ending(enum.Enum):
    """
    What becomes of the connection after a reply.
    """

    KEEP = "kept"
    NOTIFY = "ended with close_notify"
    FIN = "ended without close_notify"
    RESET = "reset"


@dataclass(frozen=True)
class Script:
    """
    One reply.

    Attributes:
        steps: Bytes to write, or an event to wait for.
        reads_body: Whether the request's body is read first.
    """

    steps: tuple[bytes | threading.Event, ...]
    ending: Ending = Ending.KEEP
    reads_body: bool = True


@dataclass
class Visit:
    """
    One connection as the server saw it.

    Attributes:
        requests: The bytes of each, in their order.
        is_resumed: Whether its handshake was a short one.
        has_said_all: Set when our side was ended, as a script asked for.
        has_ended: Set when the other side has ended it too.
        has_signed_off: Whether that was by close_notify.
    """

    requests: list[bytes] = field(default_factory=list)
    is_resumed: bool = False
    has_said_all: threading.Event = field(default_factory=threading.Event)
    has_ended: threading.Event = field(default_factory=threading.Event)
    has_signed_off: bool = False


class ScriptedUpstream:
    """
    Listens on a free port of this machine.

    Attributes:
        visits: Every connection whose handshake went well.
        handshakes_failed: How many did not.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        certificates = ensure_certificates(folder)
        self.ca_pem = certificates.ca_file.read_text()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificates.server_file, certificates.server_key_file)
        self.visits: list[Visit] = []
        self.handshakes_failed = 0
        self._scripts: list[Script] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listening.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._begin(self._accept)

    def add(self, *steps: bytes | threading.Event, ending: Ending = Ending.KEEP, reads_body: bool = True) -> bytes:
        """
        Learn a reply; the query that asks for it.
        """
        return self.add_script(Script(steps, ending, reads_body))

    def add_script(self, script: Script) -> bytes:
        """
        The same, of a script.
        """
        self._scripts.append(script)
        return b"script=%d" % (len(self._scripts) - 1)

    @property
    def requests(self) -> list[bytes]:
        """
        All requests of all connections.
        """
        return [request for visit in self.visits for request in visit.requests]

    def close(self) -> None:
        """
        End everything.
        """
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listening.close()
        with self._lock:
            still_open = list(self._open)
        for each in still_open:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_PATIENCE_SECONDS)

    def _begin(self, run: object, *args: object) -> None:
        thread = threading.Thread(target=run, args=args, name="scripted upstream", daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listening.accept()
            except OSError:
                return
            plain.settimeout(_PATIENCE_SECONDS)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._begin(self._meet, plain)

    def _meet(self, plain: socket.socket) -> None:
        try:
            connection = self.context.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False)
        except OSError:
            self.handshakes_failed += 1
            plain.close()
            return
        with self._lock:
            self._open.add(connection)
        visit = Visit(is_resumed=bool(connection.session_reused))
        self.visits.append(visit)
        try:
            with contextlib.suppress(OSError):
                self._serve(connection, visit)
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()
            visit.has_ended.set()

    def _serve(self, connection: ssl.SSLSocket, visit: Visit) -> None:
        received = bytearray()
        while True:
            head = self._read_head(connection, received, visit)
            if head is None:
                return
            script = self._find_script(head)
            length = _LENGTH.search(head)
            size = int(length[1]) if length is not None else 0
            body = b""
            if script.reads_body:
                while len(received) < size:
                    received += connection.recv(65536)
                body = bytes(received[:size])
                del received[:size]
            visit.requests.append(head + body)
            for step in script.steps:
                if isinstance(step, bytes):
                    connection.sendall(step)
                else:
                    step.wait(_PATIENCE_SECONDS)
            if script.ending is not Ending.KEEP:
                _end(connection, script.ending, visit)
                return

    def _read_head(self, connection: ssl.SSLSocket, received: bytearray, visit: Visit) -> bytes | None:
        while b"\r\n\r\n" not in received:
            piece = connection.recv(65536)
            if not piece:
                visit.has_signed_off = True
                return None
            received += piece
        end = received.index(b"\r\n\r\n") + 4
        head = bytes(received[:end])
        del received[:end]
        return head

    def _find_script(self, head: bytes) -> Script:
        number = _SCRIPT.search(head)
        return self._scripts[int(number[1]) if number is not None else 0]


def _end(connection: ssl.SSLSocket, ending: Ending, visit: Visit) -> None:
    if ending is Ending.RESET:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        return
    if ending is Ending.NOTIFY:
        connection.setblocking(False)
        with contextlib.suppress(OSError):
            connection.unwrap()  # what is not waited for is the other side's
        connection.setblocking(True)
    connection.settimeout(_PATIENCE_SECONDS)
    socket.socket.shutdown(connection, socket.SHUT_WR)
    visit.has_said_all.set()
    with contextlib.suppress(OSError):
        while socket.socket.recv(connection, 65536):  # until the other side has ended too: a close now would be a reset
            pass


@contextlib.contextmanager
def run_scripted_upstream(folder: Path) -> Iterator[ScriptedUpstream]:
    """
    One that runs, with its authority and certificate in a folder.
    """
    upstream = ScriptedUpstream(folder)
    try:
        yield upstream
    finally:
        upstream.close()
