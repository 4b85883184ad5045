"""
What the way up costs by itself: CPU a call, CPU a handshake, memory a held connection.

    python -m benchmarks.way_up

The sender is measured alone, in a process of its own, against an upstream on loopback over TLS 1.3 in another. Beside
it stand the reference sender (httpx2, `tests/reference`) and the loops' own TLS under a bare protocol, each on uvloop
and on asyncio. CPU is that of the measured process alone, the least of many short runs: neighbours make it dearer,
never cheaper.
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import secrets
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httptools
import uvloop

from benchmarks.machine import find_free_port
from gateway.access.credential import Credential, Kind
from gateway.access.upstream import Upstream
from gateway.custody import Ring, seal_key
from gateway.noojee.catalogue import load_catalogue
from gateway.secret import Secret
from gateway.simulator.certificates import ensure_certificates
from gateway.upstream.client import PooledUpstreams
from gateway.upstream.request import Timeouts, UpstreamRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from multiprocessing.synchronize import Event

CALLS_AT_ONCE = 32
RUNS = 15
CALLS_A_RUN = 1600
HELD = 1000

_BODY = b'{"Code": 0, "Message": "Recording started", "SessionID": 1}'
_REPLY = (
    b"HTTP/1.1 200 \r\nServer: noojee\r\nDate: Sun, 03 May 2026 09:15:00 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\nConnection: keep-alive\r\n\r\n%b" % (len(_BODY), _BODY)
)
_HEAD = b"POST /servicemanager/rest/CallManagementAPI/%b?apiKey=x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
_TIMEOUTS = Timeouts(connect_seconds=60.0)


class _Answering(asyncio.Protocol):
    """
    The upstream: answers every request but a poll.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        if b"/subscribe?" not in data:
            self._transport.write(_REPLY)


def _serve(folder: str, port: int, ready: Event) -> None:
    async def run() -> None:
        certificates = ensure_certificates(Path(folder))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.server_file, certificates.server_key_file)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Answering, "127.0.0.1", port, ssl=context, backlog=4096)
        ready.set()
        await server.serve_forever()

    uvloop.run(run())


class _Bare(asyncio.BufferedProtocol):
    """
    The least that speaks HTTP over a loop's own TLS.
    """

    _buffer = bytearray(256 * 1024)

    def __init__(self) -> None:
        self._answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._parser = httptools.HttpResponseParser(self)

    def get_buffer(self, _size_hint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        self._parser.feed_data(memoryview(self._buffer)[:size])

    def on_message_complete(self) -> None:
        if self._answered is not None:
            self._answered.set_result(None)

    def write(self, head: bytes) -> asyncio.Future[None]:
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(head)
        return self._answered


class _BareSender:
    """
    `_CALLS_AT_ONCE` connections and no pool: what is left when everything else is taken away.
    """

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._port = port
        self._context = context
        self._free: list[_Bare] = []

    async def call(self, method: bytes) -> None:
        line = self._free.pop() if self._free else await self._open()
        await line.write(_HEAD % method)
        self._free.append(line)

    async def _open(self) -> _Bare:
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(
            _Bare, "127.0.0.1", self._port, ssl=self._context, server_hostname="127.0.0.1"
        )
        return line


class _Sender:
    """
    One of the gateway's senders.
    """

    def __init__(self, port: int, ca_pem: str, kind: type[Any]) -> None:
        ring = Ring({1: secrets.token_bytes(32)}, Path("nowhere"))
        upstream = Upstream("noojee", "127.0.0.1", port, ca_pem=ca_pem)
        bare = Credential("c1", "everything", upstream, Kind.GLOBAL, None, None)
        sealed = seal_key(ring, Secret("7f0e1b52-1111-4222-8333-abcdefabcdef"), bare)
        self._credential = Credential("c1", "everything", upstream, Kind.GLOBAL, None, sealed)
        self._sender = kind(ring=ring, timeouts=_TIMEOUTS)
        self._patience = {}
        self._operations = {}
        for method in (b"start", b"subscribe"):
            operation = load_catalogue().find_by_name("CallManagementAPI/" + method.decode())
            if operation is None:
                raise LookupError(method)
            self._operations[method] = operation
            self._patience[method] = _TIMEOUTS.for_call(operation, 300)

    async def call(self, method: bytes) -> None:
        operation, patience = self._operations[method], self._patience[method]
        reply = await self._sender.send(
            UpstreamRequest(self._credential, operation, b"exten=410", ((b"accept", b"*/*"),), b"", patience)
        )
        await reply.close()


def _create(what: str, port: int, ca_pem: str) -> Callable[[bytes], Awaitable[None]]:
    if what == "pool":
        return _Sender(port, ca_pem, PooledUpstreams).call
    if what == "reference":
        from tests.reference.httpx_client import HttpxUpstreams

        return _Sender(port, ca_pem, HttpxUpstreams).call
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ca_pem)
    return _BareSender(port, context).call


async def _measure_calls(call: Callable[[bytes], Awaitable[None]]) -> float:
    async def repeat(times: int) -> None:
        for _ in range(times):
            await call(b"start")

    await asyncio.gather(*(repeat(20) for _ in range(CALLS_AT_ONCE)))
    gc.collect()
    gc.freeze()
    runs = []
    for _ in range(RUNS):
        before = time.process_time()
        await asyncio.gather(*(repeat(CALLS_A_RUN // CALLS_AT_ONCE) for _ in range(CALLS_AT_ONCE)))
        runs.append((time.process_time() - before) / CALLS_A_RUN * 1e6)
    return min(runs)


async def _measure_held(call: Callable[[bytes], Awaitable[None]]) -> tuple[float, float]:
    polls = [asyncio.ensure_future(call(b"subscribe")) for _ in range(20)]
    await asyncio.sleep(1.0)  # the first handshakes fill caches that are nobody's alone
    gc.collect()
    memory, cpu = _resident_kilobytes(), time.process_time()
    polls += [asyncio.ensure_future(call(b"subscribe")) for _ in range(HELD)]
    while (spent := time.process_time()) and await _is_busy(spent):
        pass
    cpu = time.process_time() - cpu
    gc.collect()
    memory = _resident_kilobytes() - memory
    for each in polls:
        each.cancel()
    await asyncio.gather(*polls, return_exceptions=True)
    return memory / HELD, cpu / HELD * 1e6


async def _is_busy(spent: float) -> bool:
    await asyncio.sleep(1.0)  # the span of which it tells the share
    return time.process_time() - spent > 0.05  # noqa: PLR2004  # twentieth of a core: handshakes are still going on


def _resident_kilobytes() -> int:
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise LookupError("Pss")


def _measure(what: str, loop: str, port: int, ca_file: str) -> None:
    """
    In a process of its own: print one measurement as JSON.
    """
    ca_pem = Path(ca_file).read_text(encoding="ascii")

    async def run() -> dict[str, float]:
        call = _create(what, port, ca_pem)
        kilobytes, handshake_us = await _measure_held(call)
        return {"call_us": await _measure_calls(call), "held_kB": kilobytes, "handshake_us": handshake_us}

    begin: Callable[[Coroutine[Any, Any, dict[str, float]]], dict[str, float]]
    begin = uvloop.run if loop == "uvloop" else asyncio.run
    print(json.dumps(begin(run())))


def main() -> None:
    """
    All candidates, one after the other.
    """
    port = find_free_port()
    with tempfile.TemporaryDirectory(prefix="noojee-way-up-") as folder:
        ready = multiprocessing.get_context("spawn").Event()
        upstream = multiprocessing.get_context("spawn").Process(target=_serve, args=(folder, port, ready), daemon=True)
        upstream.start()
        ready.wait(30)
        print(f"{'sender':<12}{'loop':<10}{'CPU us a call':>15}{'kB held':>10}{'CPU us to open':>17}")
        for what in ("pool", "loop's TLS", "reference"):
            for loop in ("uvloop", "asyncio"):
                words = [sys.executable, "-m", "benchmarks.way_up", what, loop, str(port), f"{folder}/ca.pem"]
                found = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
                print(
                    f"{what:<12}{loop:<10}{found['call_us']:>15.1f}{found['held_kB']:>10.1f}{found['handshake_us']:>17.0f}"
                )
        upstream.kill()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
    else:
        main()
