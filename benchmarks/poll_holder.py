"""
A Noojee that holds every poll for ever: `python -m benchmarks.poll_holder PORT CERTIFICATE KEY`.

TLS 1.3 on uvloop, because nginx alone cannot hold a request. A GET is answered as nginx's stub_status would, with the
number of polls up to now.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from typing import cast

import uvloop

_BACKLOG = 4096


class Holder(asyncio.Protocol):
    """
    A connection; each head that is complete is a poll.
    """

    polls = 0

    def __init__(self) -> None:
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        Keep what is needed to answer.
        """
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """
        Count, and answer a question alone.
        """
        self._head += data
        if not self._head.endswith(b"\r\n\r\n"):
            return
        if not self._head.startswith(b"GET "):
            Holder.polls += 1
        else:
            body = b"server accepts handled requests\n 0 0 %d\n" % Holder.polls
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body
            )
            self._transport.close()
        self._head = b""


async def serve(port: int, certificate: str, key: str) -> None:
    """
    Until killed.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    server = await asyncio.get_running_loop().create_server(Holder, "127.0.0.1", port, ssl=context, backlog=_BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
