"""
The control plane's parts: uvicorn on the operators' port.

A fault here touches no call: nothing of the data plane waits for it (law 8).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import uvicorn

from gateway.control_plane.app import create_app

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Awaitable, Callable, Iterator

    from gateway.metrics.samples import Samples
    from gateway.readiness import Readiness

__all__ = ["ControlPlane"]

_SHUTDOWN_SECONDS = 2


class ControlPlane:
    """
    Serves the operators' port from `open` to `close`.

    Args:
        readiness: How the node is, now.
        metrics: The same in numbers.
        host_names: Names under which the port may be asked for.
        ssl_context: For TLS; None serves plain HTTP.
    """

    def __init__(
        self,
        readiness: Callable[[], Awaitable[Readiness]],
        metrics: Callable[[], Awaitable[Samples]],
        host_names: frozenset[str],
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        config = uvicorn.Config(
            create_app(readiness, metrics, host_names),
            ws="none",
            lifespan="off",
            loop="none",
            log_config=None,
            access_log=False,  # it would print queries
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
        config.load()
        config.ssl = ssl_context
        self._server = _QuietServer(config)
        self._task: asyncio.Task[None] | None = None

    async def open(self, sockets: list[socket.socket]) -> None:
        """
        Begin to serve on bound sockets.
        """
        self._task = asyncio.create_task(self._server.serve(sockets))
        await self._server.listening.wait()

    async def close(self) -> None:
        """
        Stop serving; answers under way get two seconds.
        """
        self._server.should_exit = True
        if self._task is not None:
            await self._task


class _QuietServer(uvicorn.Server):
    """
    uvicorn without signal handlers: ending is the process's to lead.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """
        Tell when connections are accepted.
        """
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """
        Leave signals alone.
        """
        yield
