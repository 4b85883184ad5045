"""
The simulator as a whole: a folder with its certificates and keys, and an HTTPS socket.

Owns start and stop. TLS 1.2 at least, HTTP/1.1 with keep-alive. Nothing is closed in the middle of a reply for a second
after `stop`; polls are answered at once then.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import ssl
from typing import TYPE_CHECKING

from gateway.simulator.authentication import KeyBook
from gateway.simulator.certificates import ensure_certificates
from gateway.simulator.hash_pairs import FIRST_USE_SECONDS, LIFETIME_SECONDS, HashPairs
from gateway.simulator.protocol import Connection
from gateway.simulator.service import Service, parse_network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["LOOPBACK", "Simulator"]

LOOPBACK = ("127.0.0.0/8", "::1/128")
"""The default white-list."""

_HOST = "127.0.0.1"
_HOST_BESIDE = "::1"  # what `localhost` is on many machines; the certificate names both

_HANDSHAKE_SECONDS = 10.0
_FAREWELL_SECONDS = 5.0
_ENDING_SECONDS = 1.0


class Simulator:
    """
    A simulated Noojee. It can be started again after a stop; its state lives as long as the object.

    Args:
        data_dir: where `ca.pem`, the server's certificate, `global.key` and `LOGIN.key` are; made (0700) with what is
            missing in it. What is there is used again, so a second simulator on the folder has the same keys and CA.
        allow: the white-list of source addresses, as CIDRs.
        user_logins: the users that have a key.
        pair_first_use_seconds: how old the timestamp of a hash pair may be when the pair is first used.
        pair_lifetime_seconds: how long a hash pair is good after its first use.

    Raises:
        ValueError: a CIDR, a login or a key file that cannot be read as one.
        OSError: the folder cannot be written.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        allow: Sequence[str] = LOOPBACK,
        user_logins: Sequence[str] = ("alice",),
        pair_first_use_seconds: float = FIRST_USE_SECONDS,
        pair_lifetime_seconds: float = LIFETIME_SECONDS,
    ) -> None:
        networks = [parse_network(text) for text in allow]
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._certificates = ensure_certificates(data_dir)
        keys = KeyBook(data_dir, user_logins, HashPairs(pair_first_use_seconds, pair_lifetime_seconds))
        self.ca_file: Path = self._certificates.ca_file
        self.global_key_file: Path = keys.global_key_file
        self.user_key_files: Mapping[str, Path] = keys.user_key_files
        self._service = Service(keys, networks)
        self._connections: set[Connection] = set()
        self._numbers = itertools.count(1)
        self._servers: list[asyncio.Server] = []

    def __repr__(self) -> str:
        return f"<Simulator {self.url if self._servers else 'not started'}, {len(self._connections)} connections>"

    @property
    def url(self) -> str:
        """
        `https://ADDRESS:PORT`, with the real port. Known while the simulator runs.
        """
        if not self._servers:
            raise RuntimeError("the simulator is not started, so it has no address yet")
        host, port = self._servers[0].sockets[0].getsockname()[:2]
        return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

    async def start(self, host: str = _HOST, port: int = 0) -> None:
        """
        Listen; port 0 takes a free one. Beside 127.0.0.1 the port is also opened on ::1, where the machine has that.

        Raises:
            OSError: the port is taken or the address is not this machine's.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._certificates.server_file, self._certificates.server_key_file)
        self._servers = [await self._listen(host, port, context)]
        if host == _HOST:
            await self._listen_beside(port, context)

    async def _listen(self, host: str, port: int, context: ssl.SSLContext) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            lambda: Connection(self._service, self._connections, next(self._numbers)),
            host,
            port,
            ssl=context,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=_FAREWELL_SECONDS,
        )

    async def _listen_beside(self, port: int, context: ssl.SSLContext) -> None:
        chosen = self._servers[0].sockets[0].getsockname()[1]
        try:
            self._servers.append(await self._listen(_HOST_BESIDE, chosen, context))
        except OSError as error:
            # A machine without ::1 says so in several ways. A port that we chose ourselves may be taken there, too;
            # who named one would have `localhost` lead to a stranger.
            if error.errno == errno.EADDRINUSE and port:
                await self.stop()
                raise

    async def stop(self) -> None:
        """
        Stop listening, answer the waiting polls, let running replies go out for a second, close everything.
        """
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()
        for connection in list(self._connections):
            connection.finish()
        self._service.end_polls()
        serving = [connection.task for connection in self._connections if connection.task]
        if serving:
            await asyncio.wait(serving, timeout=_ENDING_SECONDS)
        for connection in list(self._connections):
            await connection.abort()
        for server in servers:
            with contextlib.suppress(TimeoutError):  # from Python 3.12 on this waits for handshakes under way, too
                await asyncio.wait_for(server.wait_closed(), _ENDING_SECONDS)
