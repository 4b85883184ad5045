"""
What all connections of one worker share: where calls go, the bounds, who is inside, and whether we are closing.

Safe from the worker's event loop alone.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

from gateway.audit.network import find_network
from gateway.data_plane import bridge
from gateway.data_plane.body_room import BodyRoom
from gateway.data_plane.bounds import Bounds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.data_plane.answer import Answer
    from gateway.data_plane.door import Door
    from gateway.data_plane.inbound import Call
    from gateway.errors import Reason

__all__ = ["Admission", "Hall"]

_logger = logging.getLogger(__name__)

_HEALTH_PATHS: Final = frozenset((b"/healthz", b"/readyz"))


class Admission(enum.Enum):
    """
    How a connection is received.
    """

    SERVED = enum.auto()
    """As long as it lasts it counts towards `Bounds.connections`."""

    REFUSED = enum.auto()
    """The cap is reached, or its source's share of it: its first byte gets 503."""

    CLOSED = enum.auto()
    """Too many wait for that: closed, no byte of a request having been read."""


def _trust_nobody(_peer: str) -> bool:
    return False


class Hall:
    """
    The hall behind the doors.

    Args:
        handle: Answers a call; every target but the health paths, in any method, comes to it, each in a task of its
            own. It should let no exception out: the door makes a 500 of it.
        app: The ASGI application for `/healthz` and `/readyz`.
        refused: Told once of each request that the door itself refused, with the peer's address.
        bounds: The bounds of a connection.
        trusts: Whether an address is a trusted proxy's. All callers behind it come as one source, so it has no share.

    Attributes:
        doors: The open connections, those that are refused or closing included.
        running: The tasks of the calls under way.
        admitted: How many of the connections count towards `Bounds.connections`.
        admissions: How many connections ever were received in which way.
        room: Where large bodies are, or wait to be let in.
    """

    def __init__(
        self,
        *,
        handle: Callable[[Call, Answer], Awaitable[None]],
        app: bridge.Application,
        refused: Callable[[Reason, str], None],
        bounds: Bounds | None = None,
        trusts: Callable[[str], bool] = _trust_nobody,
    ) -> None:
        self._handle = handle
        self.app = app
        self._refused = refused
        self._trusts = trusts
        self._bounds = bounds or Bounds()
        self.room = BodyRoom(self._bounds.body_room_bytes)
        self.doors: set[Door] = set()
        self.running: set[asyncio.Task[None]] = set()
        self.admitted = 0
        self.admissions = dict.fromkeys(Admission, 0)
        self._admitted_by_source: Counter[str] = Counter()
        self._is_leaving = False
        self._is_draining = False
        self._somebody_left = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Hall {len(self.doors)} connections, {len(self.running)} calls, draining={self._is_draining}>"

    @property
    def bounds(self) -> Bounds:
        """
        The bounds of connections that are made from now on, and of all of them together.
        """
        return self._bounds

    @bounds.setter
    def bounds(self, value: Bounds) -> None:
        self._bounds = value
        self.room.resize(value.body_room_bytes)

    @property
    def draining(self) -> bool:
        """
        Whether the worker ends: every answer is its connection's last.

        Setting it closes the idle connections, and leaves bodies that are still coming but a moment.
        """
        return self._is_draining

    @draining.setter
    def draining(self, value: bool) -> None:
        self._is_draining = value
        if value:
            for door in tuple(self.doors):
                door.hurry()
                door.let_go()

    @property
    def leaving(self) -> bool:
        """
        Whether every answer is its connection's last, because the worker has handed its place on.

        Bodies have but a moment from then on. Idle connections stay open: what their callers send next may be on its
        way, and is served.
        """
        return self._is_leaving

    @leaving.setter
    def leaving(self, value: bool) -> None:
        self._is_leaving = value
        if value:
            for door in tuple(self.doors):
                door.hurry()

    @property
    def ends_connections(self) -> bool:
        """
        Whether every answer is its connection's last.
        """
        return self._is_draining or self._is_leaving

    def refused(self, reason: Reason, peer: str) -> None:
        """
        Tell of a request that the door itself refused. What the listener does wrong must not cost the caller an answer.
        """
        try:
            self._refused(reason, peer)
        except Exception:
            _logger.exception("a refusal could not be counted")

    def enter(self, door: Door, peer: str) -> Admission:
        """
        Take a connection in, and say how it is received.

        One source has a share of the cap only: whoever lets connections hang keeps others out least of all.
        """
        self.doors.add(door)
        source = _find_source(peer)
        has_share = self._admitted_by_source[source] < self.bounds.source_share or self._trusts(peer)
        if self.admitted < self.bounds.connections and has_share:
            self.admitted += 1
            self._admitted_by_source[source] += 1
            admission = Admission.SERVED
        else:
            waiting = len(self.doors) - self.admitted
            admission = Admission.REFUSED if waiting <= self.bounds.refused_connections else Admission.CLOSED
        self.admissions[admission] += 1
        return admission

    def leave(self, door: Door, peer: str, admission: Admission) -> None:
        """
        Let a connection go that is lost.
        """
        self.doors.discard(door)
        if admission is Admission.SERVED:
            self.admitted -= 1
            source = _find_source(peer)
            self._admitted_by_source[source] -= 1
            if not self._admitted_by_source[source]:
                del self._admitted_by_source[source]  # a table of all sources that ever came would grow for ever
        self._somebody_left.set()

    async def wait_until_empty(self) -> None:
        """
        Return when no connection is left.
        """
        while self.doors:
            self._somebody_left.clear()
            await self._somebody_left.wait()

    def serve(self, call: Call, answer: Answer) -> Awaitable[None]:
        """
        Who answers this call: the application for the exact health paths, else `handle`.
        """
        if call.path in _HEALTH_PATHS:
            return bridge.serve(self.app, call, answer)
        return self._handle(call, answer)


def _find_source(peer: str) -> str:
    """
    Who counts as one: an IPv4 address; an IPv6 /64, of which one host may have every address.
    """
    return find_network(peer) if ":" in peer else peer
