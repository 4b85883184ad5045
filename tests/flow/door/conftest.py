"""
A real callers' server in a thread of its own, on asyncio and on uvloop, and callers on raw sockets.

Tests stand on the wire's other end: they write bytes and read bytes. What a call's handler does is a coroutine that the
test brings along.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.data_plane.door import Bounds, Hall
from gateway.data_plane.server import CallersServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator, MutableMapping
    from pathlib import Path

    from gateway.data_plane.answer import Answer
    from gateway.data_plane.inbound import Call
    from gateway.errors import Reason

    Handle = Callable[[Call, Answer], Awaitable[None]]

PATIENCE_SECONDS = 10.0

Result = TypeVar("Result")


class Reply:
    """
    One answer as it came.
    """

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Caller:
    """
    A caller's socket: bytes out, answers in. It waits, but not for ever.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(PATIENCE_SECONDS)
        self._unread = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *pieces: bytes) -> Self:
        """
        Send pieces, each in a packet of its own.
        """
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(0.02)  # a pause is the only way to tell the other side's kernel that a packet ends
            self.socket.sendall(piece)
        return self

    def read_reply(self, *, to_head: bool = False) -> Reply:
        """
        Read one whole answer.
        """
        head = self._read_until(b"\r\n\r\n").decode("latin-1")
        status_line, *lines = head.rstrip("\r\n").split("\r\n")
        pairs = [line.split(": ", 1) for line in lines]
        headers = {name.lower(): value for name, value in pairs}

        assert len(pairs) == len(headers), "a header came twice"

        status = int(status_line.split(" ")[1])
        body = b""
        if to_head or status in (100, 204, 304):
            pass
        elif "content-length" in headers:
            body = self._read_exactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            while size := int(self._read_until(b"\r\n"), 16):
                body += self._read_exactly(size)
                self._read_exactly(2)
            self._read_exactly(2)
        else:
            body = self.read_to_end()
        return Reply(status, headers, body)

    def read_to_end(self) -> bytes:
        """
        Read until the other side has closed.
        """
        while piece := self.socket.recv(65536):
            self._unread += piece
        rest, self._unread = self._unread, bytearray()
        return bytes(rest)

    def _read_until(self, ending: bytes) -> bytes:
        while ending not in self._unread:
            self._read_more()
        return self._read_exactly(self._unread.index(ending) + len(ending))

    def _read_exactly(self, size: int) -> bytes:
        while len(self._unread) < size:
            self._read_more()
        found = bytes(self._unread[:size])
        del self._unread[:size]
        return found

    def _read_more(self) -> None:
        piece = self.socket.recv(65536)
        if not piece:
            raise EOFError(f"closed after {self._unread!r}")
        self._unread += piece


class House:
    """
    A server with one hall, and all that it was told.
    """

    def __init__(
        self, loop_factory: Callable[[], asyncio.AbstractEventLoop], handle: Handle | None, bounds: Bounds
    ) -> None:
        self.calls: list[Call] = []
        self.refusals: list[tuple[Reason, str]] = []
        self.client_context: ssl.SSLContext | None = None
        self.loop = loop_factory()
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.complaints: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        chosen = handle or tell

        async def keep(call: Call, answer: Answer) -> None:
            self.calls.append(call)
            await chosen(call, answer)

        self.hall = Hall(
            handle=keep,
            app=serve_health,
            refused=lambda reason, peer: self.refusals.append((reason, peer)),
            bounds=bounds,
        )
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()

    def open(self, server_context: ssl.SSLContext | None) -> None:
        """
        Begin to listen.
        """
        self.server = CallersServer(self.hall, ssl_context=server_context)
        self.run(self.server.start([self._listener]))

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """
        Run work on the server's loop and return what it gives.
        """
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_SECONDS)

    def drain(self) -> None:
        """
        Say that every answer is the last.
        """

        async def set_draining() -> None:
            self.hall.draining = True

        self.run(set_draining())

    def connect(self, source: str = "127.0.0.1") -> Caller:
        """
        A caller, connected from one of this machine's addresses; over TLS when the house speaks it.
        """
        connection = socket.create_connection(self.address, timeout=PATIENCE_SECONDS, source_address=(source, 0))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.client_context is not None:
            connection = self.client_context.wrap_socket(connection, server_hostname="localhost")
        return Caller(connection)

    def exchange(self, *pieces: bytes) -> Reply:
        """
        The answer to bytes sent on a connection of their own.
        """
        with self.connect() as caller:
            return caller.send(*pieces).read_reply()

    def wait_for_doors(self, number: int, phase: str = "") -> None:
        """
        Wait until so many connections are open, in that phase.
        """
        self.wait_until(lambda: sum(phase in repr(door) for door in tuple(self.hall.doors)) == number, "connections")

    def wait_until(self, is_true: Callable[[], object], what: str) -> None:
        """
        Wait for what must become true.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_true():
            assert time.monotonic() < deadline, f"never came: {what}"
            time.sleep(0.005)

    def close(self) -> None:
        """
        Stop, and see that nothing was left and nothing complained of.
        """
        try:
            assert self.complaints == []

            self.run(self.server.stop())
            self.wait_until(lambda: not self.hall.doors and not self.hall.running, "an empty hall")

            assert self.hall.admitted == 0
            assert self.complaints == []
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(PATIENCE_SECONDS)
        self.loop.close()


async def tell(call: Call, answer: Answer) -> None:
    """
    Answer with what was understood: method, target, body.
    """
    body = await call.body()
    await answer.send(200, [(b"Content-Type", b"text/plain")], b"%b %b %b" % (call.method.encode(), call.target, body))


async def serve_health(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """
    An ASGI application that tells what it was asked.
    """
    message = await receive()
    told = f"{scope['method']} {scope['path']} {scope['query_string'].decode()} {message['body'].decode()}"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": told.encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b"!"})


@pytest.fixture(params=["asyncio", "uvloop"])
def open_house(request: pytest.FixtureRequest) -> Iterator[Callable[..., House]]:
    """
    What opens a house: `open_house(handle=None, tls=None, **bounds)`; it is closed, and looked over, at the end.
    """
    loop_factory = asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop
    houses: list[House] = []

    def open_one(
        handle: Handle | None = None, tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None, **bounds: Any
    ) -> House:
        house = House(loop_factory, handle, Bounds(**{"linger_seconds": 0.3} | bounds))
        if tls is not None:
            house.client_context = tls[1]
        house.open(tls[0] if tls else None)
        houses.append(house)
        return house

    yield open_one
    for house in houses:
        house.close()


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """
    Contexts for server and caller over a throw-away certificate.
    """
    path = _write_certificate(tmp_path_factory.mktemp("door"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    caller = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    caller.load_verify_locations(path)
    return server, caller


def _write_certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
