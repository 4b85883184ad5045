"""
uvicorn's server on our listening sockets, with the callers' door as its protocol.

What uvicorn gives: its configuration, the accounting of connections, its life cycle (`serve` works, `start` and `stop`
are its two halves). What is ours: the TLS handshake's time, signals (the worker's), and the end, because uvicorn's
cancels what is still running. Nothing here knows a rule.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import select
import weakref
from typing import TYPE_CHECKING, Any

import uvicorn

from gateway.data_plane.door import Door

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Iterator

    from gateway.data_plane.hall import Hall

__all__ = ["CallersServer"]

_SHUTDOWN_SECONDS = 5
"""
How long `stop` waits for answers that are out to be taken, lingering included; and before that, how long it goes on
accepting: as long as somebody waits, but new ones may come for ever.
"""

_HANDSHAKES_CHECK_SECONDS = 0.05


class CallersServer(uvicorn.Server):
    """
    Runs the doors of one hall.

    Args:
        hall: Where calls go.
        ssl_context: For TLS; None serves plain HTTP.
        backlog: Connections that the kernel may hold before they are accepted.
    """

    def __init__(self, hall: Hall, *, ssl_context: ssl.SSLContext | None = None, backlog: int = 2048) -> None:
        super().__init__(_create_config(hall, backlog=backlog))
        self._hall = hall
        self._ssl_context = ssl_context
        self._sockets: list[socket.socket] = []
        self._made: weakref.WeakSet[Door] = weakref.WeakSet()
        self.servers: list[asyncio.base_events.Server] = []

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """
        Leave signals alone: the worker ends the calls before it ends the server.
        """
        yield

    async def start(self, sockets: list[socket.socket]) -> None:
        """
        Listen on sockets that are bound already; they are ours from now on.
        """
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """
        Do as uvicorn does, with a bound on the handshake, which it leaves at asyncio's 60 s.
        """
        loop = asyncio.get_running_loop()
        create_door = functools.partial(self._create_door, loop)
        bounds = self._hall.bounds
        tls: dict[str, Any] = {}
        if self._ssl_context is not None:
            tls = {
                "ssl": self._ssl_context,
                "ssl_handshake_timeout": bounds.handshake_seconds,
                # asyncio cuts what is unsent when this ends; the door closes sooner what has nothing to send.
                "ssl_shutdown_timeout": bounds.stalled_seconds,
            }
        self._sockets = list(sockets or ())
        for sock in self._sockets:
            self.servers.append(await loop.create_server(create_door, sock=sock, backlog=self.config.backlog, **tls))
        self.started = True

    def _create_door(self, loop: asyncio.AbstractEventLoop) -> Door:
        door = Door(self._hall, self.config, self.server_state, {}, loop)
        if self._ssl_context is not None:
            self._made.add(door)
        return door

    def stop_accepting(self) -> None:
        """
        Listen no more; who is connected stays. Whoever else holds the socket goes on listening.
        """
        for server in self.servers:
            server.close()
        for sock in self._sockets:
            sock.close()
        self.servers, self._sockets = [], []

    async def wait_until_empty(self) -> None:
        """
        Return when no connection is left, those that are still shaking hands included.
        """
        loop = asyncio.get_running_loop()
        patient_until = loop.time() + self._hall.bounds.handshake_seconds  # by then asyncio has given them up
        await self._hall.wait_until_empty()
        while loop.time() < patient_until and self._count_handshakes():
            await asyncio.sleep(_HANDSHAKES_CHECK_SECONDS)
            await self._hall.wait_until_empty()

    def _count_handshakes(self) -> int:
        """
        How many are under way. Of one that failed nobody is told: its door is garbage, which must be collected first.
        """
        if not all(door.is_connected for door in self._made):
            gc.collect()
        return sum(not door.is_connected for door in self._made)

    async def stop(self) -> None:
        """
        Stop listening and end the connections; returns when all are gone.

        To be called when every call has ended: idle connections close, a half-received head gets 503 `draining`,
        answers that are out may still be taken. Only what is not taken by then is cut.
        """
        self._hall.draining = True
        await self.shutdown()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """
        Shut down in uvicorn's order, but cancel nothing: uvicorn's own way leaves cancelled calls without our answer.
        """
        del sockets  # we have our own
        await self._take_in()
        self.stop_accepting()
        for door in tuple(self._hall.doors):
            door.shutdown()
        try:
            async with asyncio.timeout(_SHUTDOWN_SECONDS):
                await self.wait_until_empty()
        except TimeoutError:
            for door in tuple(self._hall.doors):
                door.abort()
            await self._hall.wait_until_empty()

    async def _take_in(self) -> None:
        """
        Accept who has connected by now: a socket that is closed over its queue resets those in it.
        """
        waiting = select.poll()
        for sock in self._sockets:
            waiting.register(sock, select.POLLIN)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SHUTDOWN_SECONDS):
                while waiting.poll(0):  # noqa: ASYNC110 - the kernel alone knows whether somebody waits
                    await asyncio.sleep(0)  # in this turn of the loop they are accepted


def _create_config(hall: Hall, *, backlog: int) -> uvicorn.Config:
    """
    The configuration with everything off that would read the environment, log a URL or trust a header.
    """
    return uvicorn.Config(
        hall.app,
        http=Door,
        interface="asgi3",
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        forwarded_allow_ips="",
        server_header=False,
        date_header=False,
        workers=1,
        backlog=backlog,
        timeout_keep_alive=int(hall.bounds.keep_alive_seconds),
    )
