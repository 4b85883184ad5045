"""
A node in one process: both planes wired together, from bound sockets to the last closed file.

`serve` and `demo` both run it. The wiring is here because neither plane may know the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import ipaddress
import logging
import resource
import signal
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.administration.change import settle_changes
from gateway.administration.desk import RESERVE_BYTES
from gateway.audit.journal import Journal, StreamBusyError
from gateway.clock import SystemClock
from gateway.control_plane.process import ControlPlane
from gateway.custody import AuditKey, Ring
from gateway.data_plane.bounds import Bounds
from gateway.data_plane.worker import Worker, WorkerPlan
from gateway.errors import OperatorError, OperatorReason
from gateway.registry.store import Store
from gateway.upstream.request import Timeouts

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from gateway.settings.model import Settings

__all__ = ["Addresses", "Node", "bind", "prepare", "raise_file_limit", "wait_for_end"]

_logger = logging.getLogger(__name__)

_FILES_BESIDE_CALLERS = 64
"""Descriptors that are no connection: the journal, the registry, sockets, the event loop's own."""

_FILES_A_CALL = 2
"""A caller's connection and the upstream's."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """
    Where a node listens, as URLs with the real ports.
    """

    callers: str
    admin: str


class Node:
    """
    Both planes, from `open` to `close`.
    """

    def __init__(self, worker: Worker, control_plane: ControlPlane, addresses: Addresses) -> None:
        self._worker = worker
        self._control_plane = control_plane
        self.addresses = addresses

    @classmethod
    async def open(
        cls, settings: Settings, callers: socket.socket, admin: socket.socket, ssl_context: ssl.SSLContext | None
    ) -> Node:
        """
        Close the calls that a crash left open, and serve on both sockets.

        Raises:
            OperatorError: With what to do.
            StorageError: The journal cannot be written.
        """
        scheme = "http" if ssl_context is None else "https"
        addresses = Addresses(_render_url(scheme, callers), _render_url(scheme, admin))
        worker = await Worker.open(_plan(settings), SystemClock())
        control_plane = ControlPlane(worker.readiness, frozenset({settings.node.lower()}), ssl_context)
        node = cls(worker, control_plane, addresses)
        try:
            await worker.serve([callers], ssl_context)
            await control_plane.open([admin])
        except BaseException:
            await node.close()
            raise
        # What is there now stays: modules, the catalogue, tokens. Unless it is set aside, each full collection goes
        # through all of it, which stops every call for some 50 ms.
        gc.collect()
        gc.freeze()
        return node

    async def close(self) -> None:
        """
        Drain and end both planes; the journal closes last.
        """
        await self._worker.drain()
        await self._control_plane.close()
        await self._worker.close()


@contextlib.asynccontextmanager
async def wait_for_end() -> AsyncIterator[asyncio.Event]:
    """
    An event that SIGTERM and Ctrl-C set. More of them change nothing: the drain is bounded by itself.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    try:
        yield ended
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def prepare(settings: Settings) -> None:
    """
    Refuse keys and a registry that cannot be used, before anything listens; and close changes that a verb left open.

    A verb that is at work now closes its own.

    Raises:
        OperatorError: With what to do.
        StorageError: The journal cannot be opened.
    """
    AuditKey.load(settings.data_dir / "audit.key", Ring.load(settings.master_key_file))
    with Store.open(settings.data_dir / "gateway.db") as store, contextlib.suppress(StreamBusyError):
        journal = Journal.open(
            settings.data_dir / "journal",
            "admin",
            node=settings.node,
            clock=SystemClock(),
            reserve_bytes=RESERVE_BYTES,
        )
        try:
            settle_changes(journal, store)
        finally:
            journal.close()


def bind(host: str, port: int, setting: str) -> socket.socket:
    """
    A TCP socket bound to an address, not yet listening.

    Raises:
        OperatorError: `port_unavailable`, naming the setting to change.
    """
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET  # noqa: PLR2004  # IPv6
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        # Whoever else binds the port must learn now that it is taken, and not when we begin to serve.
        bound.listen()
    except OSError as error:
        bound.close()
        what = (
            "is in use by another program" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        )
        raise OperatorError(
            OperatorReason.PORT_UNAVAILABLE, f"Port {port} on {host} {what}. Set {setting} to another."
        ) from None
    bound.setblocking(False)
    return bound


def raise_file_limit(max_connections: int) -> int:
    """
    Raise the soft limit of open files to the hard one, and say how many connections it allows.

    Returns:
        `max_connections`, or fewer where the limit is too low for that many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # macOS names a hard limit that it does not allow
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    if soft == resource.RLIM_INFINITY:
        return max_connections
    allowed = max((soft - _FILES_BESIDE_CALLERS) // _FILES_A_CALL, 1)
    if allowed < max_connections:
        _logger.warning(
            "the limit of %d open files allows %d connections and not the %d of GATEWAY_MAX_CONNECTIONS; "
            "raise it (ulimit -n, LimitNOFILE=)",
            soft,
            allowed,
            max_connections,
        )
    return min(max_connections, allowed)


def _plan(settings: Settings) -> WorkerPlan:
    return WorkerPlan(
        data_dir=settings.data_dir,
        run_dir=settings.run_dir,
        master_key_file=settings.master_key_file,
        node=settings.node,
        number_country=settings.number_country,
        bounds=Bounds(
            handshake_seconds=settings.head_timeout.total_seconds(),
            head_seconds=settings.head_timeout.total_seconds(),
            body_seconds=settings.body_timeout.total_seconds(),
            keep_alive_seconds=settings.keep_alive_timeout.total_seconds(),
            stalled_seconds=settings.caller_stalled_timeout.total_seconds(),
            connections=raise_file_limit(settings.max_connections),
        ),
        timeouts=Timeouts(
            connect_seconds=settings.connect_timeout.total_seconds(),
            send_seconds=settings.send_timeout.total_seconds(),
            read_reply_seconds=settings.reply_timeout.total_seconds(),
            write_reply_seconds=settings.write_reply_timeout.total_seconds(),
            lead_reply_seconds=settings.lead_reply_timeout.total_seconds(),
            poll_margin_seconds=settings.poll_margin.total_seconds(),
            between_bytes_seconds=settings.recording_timeout.total_seconds(),
            call_seconds=settings.call_timeout.total_seconds(),
        ),
        hash_pair_seconds=settings.hash_pair_lifetime.total_seconds(),
        snapshot_max_age_seconds=settings.snapshot_max_age.total_seconds(),
        drain_seconds=settings.drain_timeout.total_seconds(),
        journal_reserve_bytes=settings.journal_reserve,
    )


def _render_url(scheme: str, bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
