"""
The connections to one upstream for one purpose: who gets one, who waits, and when one is closed.

Decides and knows no byte. One connection carries one call at a time, so the number of connections is the number of
calls that Noojee works on for us. Who comes when all are busy waits for his turn (`queue`), and takes whatever comes
first: one that is freed or one that is opened. As many are being opened as calls wait, up to the limits.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
from typing import TYPE_CHECKING, NamedTuple

from gateway.errors import Reason, UpstreamError
from gateway.outcome import Outcome
from gateway.upstream.queue import Queue, Waiting

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.upstream.connection import Connection, Home

__all__ = ["FRESH_SECONDS", "IDLE_SECONDS", "Pool", "PoolFigures"]

_logger = logging.getLogger(__name__)

IDLE_SECONDS = 15.0
"""Tomcat closes idle connections after 20 s, nginx after 75: stay below both, so that ours is the side that closes."""

FRESH_SECONDS = 1.0
"""
How long a connection may have been idle for a dialling call to go on it. It must not meet one that the other side is
just closing: the call would be `unknown`, and a person would have to look whether a telephone rang.
"""

_OPENING_AT_ONCE = 50
"""More handshakes than that at a time (0.7 ms of CPU each) would only make one another late."""

_WAITING_EACH = 20
"""
How many may wait for each connection that there may be. The twentieth gets its turn within the connect timeout of 5 s
if a reply takes 250 ms; whoever stands behind him is better told at once.
"""

_CLOSING_SECONDS = 1.0
"""How long the connections may take to be gone when all are closed."""

_TICK_SECONDS = 0.01
"""How much too early a timer may ring."""


class PoolFigures(NamedTuple):
    """
    How a pool is doing, in numbers of connections.

    Attributes:
        busy: Those that carry something, or wait for the end of it.
        idle: Those that do not.
        opening: Those that are being opened.
        limit: The most of all these.
        opened: How many ever were opened.
        waiting: How many calls wait for one.
    """

    busy: int
    idle: int
    opening: int
    limit: int
    opened: int
    waiting: int


class Pool:
    """
    A pool; a `Home` for its connections. Lives on its event loop.

    Args:
        name: For people.
        open_one: Opens a connection for its home, or raises an `UpstreamError`.
        limit: The most connections, those being opened included.
        idle_seconds: How long a connection is kept unused.
        fresh_seconds: How long a fresh one may have been unused.
    """

    def __init__(
        self,
        name: str,
        open_one: Callable[[Home], Awaitable[Connection]],
        limit: int,
        *,
        idle_seconds: float = IDLE_SECONDS,
        fresh_seconds: float = FRESH_SECONDS,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._open_one = open_one
        self._limit = limit
        self._idle_seconds = idle_seconds
        self._fresh_seconds = fresh_seconds
        self._all: set[Connection] = set()
        self._idle: dict[Connection, None] = {}  # in the order of their becoming idle
        self._waiting = Queue(limit * _WAITING_EACH)
        self._alarm: asyncio.TimerHandle | None = None
        self._rings_at = math.inf
        self._opening: set[asyncio.Task[None]] = set()
        self._opened = 0
        self._sweeping: asyncio.TimerHandle | None = None
        self._is_retired = False
        self._gone: asyncio.Future[None] | None = None

    def take(self, now: float, *, fresh: bool = False) -> Connection | None:
        """
        The connection that was used last, if one is idle and can be used. Costs the same however many there are.

        Args:
            now: Loop time.
            fresh: Not one that has been idle for longer than the fresh seconds.
        """
        idle = self._idle
        while idle:
            connection, _ = idle.popitem()
            if connection.is_closing:
                continue
            idle_seconds = now - connection.idle_since
            if fresh and idle_seconds > self._fresh_seconds:
                idle[connection] = None  # all others are older still
                return None
            if idle_seconds >= self._idle_seconds or (
                (fresh or idle_seconds > self._fresh_seconds) and not connection.is_quiet()
            ):
                # Looked at only where it is worth a microsecond: an end that has reached the kernel and not yet us.
                connection.close()
                continue
            return connection
        return None

    async def wait(self, until: float, *, whose: str = "", first: bool = False) -> Connection:
        """
        The next connection that is freed or opened. Cancelled, it gives its turn on.

        Args:
            until: Loop time at which the wait is over.
            whose: The caller's name: callers take turns.
            first: Before all others: for a call whose turn had come, with a connection that was closing.

        Raises:
            UpstreamError: None came in time, or too many wait, or none can be opened. The outcome is `not_sent`.
        """
        if self._waiting.is_full and not first:
            self._make_room(whose)
        waiter: asyncio.Future[Connection] = self._loop.create_future()
        waiting = Waiting(whose, until, waiter)
        self._waiting.push(waiting, first=first)
        if until < self._rings_at:
            self._set_alarm(until)
        self._open_more()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._waiting.remove(waiting)
            elif waiter.exception() is None:
                self.freed(waiter.result())  # it was given one in the same moment
            raise

    def freed(self, connection: Connection) -> None:
        """
        See `Home.freed`: it goes to whoever has waited longest.
        """
        while self._waiting:
            waiter = self._waiting.pop().waiter
            if not waiter.done():
                waiter.set_result(connection)
                return
        if self._is_retired:
            connection.close()
            return
        self._idle[connection] = None
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(self._idle_seconds, self._sweep)

    def lost(self, connection: Connection) -> None:
        """
        See `Home.lost`: there is room for another.
        """
        self._all.discard(connection)
        self._idle.pop(connection, None)
        if self._gone is not None and not self._all and not self._gone.done():
            self._gone.set_result(None)
        self._open_more()

    def retire(self) -> None:
        """
        Close each connection as soon as nobody uses or waits for it.
        """
        self._is_retired = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connection in list(self._idle):
            connection.close()
        self._idle.clear()

    @property
    def has_connections(self) -> bool:
        """
        Whether one is open or being opened.
        """
        return bool(self._all or self._opening)

    @property
    def figures(self) -> PoolFigures:
        """
        How it is doing.
        """
        idle = len(self._idle)
        return PoolFigures(
            len(self._all) - idle, idle, len(self._opening), self._limit, self._opened, len(self._waiting)
        )

    def retire_those(self, is_due: Callable[[Connection], bool]) -> None:
        """
        Close some as soon as nothing goes over them.
        """
        for connection in [each for each in self._all if is_due(each)]:
            self._idle.pop(connection, None)
            connection.retire()

    async def close(self) -> None:
        """
        Close all connections, those that carry something too.
        """
        self.retire()
        while self._waiting:
            waiter = self._waiting.pop().waiter
            if not waiter.done():
                waiter.set_exception(_create_unreachable())
        self._set_alarm(math.inf)
        opening = list(self._opening)
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        for connection in list(self._all):
            connection.end()
        if self._all:
            self._gone = self._loop.create_future()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone, _CLOSING_SECONDS)

    def _open_more(self) -> None:
        """
        Open as many as calls wait, as far as there is room.
        """
        while len(self._opening) < min(len(self._waiting), _OPENING_AT_ONCE):
            if self._is_full:
                # Idle ones while somebody waits: he wants a fresh one. When the oldest is gone we are asked again.
                if self._idle:
                    next(iter(self._idle)).close()
                return
            self._opening.add(self._loop.create_task(self._open()))

    async def _open(self) -> None:
        """
        Open one, for whoever comes first in the queue then.

        A task of its own, because the call that it was begun for may be served by another connection meanwhile.
        """
        failure = _create_unreachable()
        connection = None
        try:
            connection = await self._open_one(self)
        except UpstreamError as error:
            failure = error
        except Exception:
            _logger.exception("%r met an error of ours", self)
        finally:
            self._opening.discard(asyncio.current_task())
        if connection is not None and not connection.is_closing:
            self._opened += 1
            self._all.add(connection)
            self.freed(connection)
        else:
            self._fail_unserved(failure)
        self._open_more()

    def _fail_unserved(self, failure: UpstreamError) -> None:
        """
        One attempt has failed: tell it to whoever has waited longest, unless others are being opened for all who wait.
        """
        while len(self._waiting) > len(self._opening):
            waiter = self._waiting.pop().waiter
            if not waiter.done():
                # An exception of one's own for each who waits; a shared one would collect all their tracebacks.
                waiter.set_exception(failure.again())
                return

    def _make_room(self, whose: str) -> None:
        """
        Have the caller with most in the queue make room.

        Raises:
            UpstreamError: It is this one, or has hardly more: then it is he who comes too late.
        """
        last = self._waiting.make_room(whose)
        if last is None:
            raise self._create_busy()
        if not last.waiter.done():
            last.waiter.set_exception(self._create_busy())

    def _set_alarm(self, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._rings_at = at
        self._alarm = None if at == math.inf else self._loop.call_at(at, self._give_up)

    def _give_up(self) -> None:
        """
        Somebody's time may be over. One alarm serves all who wait, because nearly all wait equally long.
        """
        now = self._loop.time() + _TICK_SECONDS
        # Not where connections are only being opened: nobody uses them, and perhaps none will come.
        is_busy = len(self._all) >= self._limit
        for waiting in self._waiting.take_late(now):
            if not waiting.waiter.done():
                waiting.waiter.set_exception(self._create_busy() if is_busy else _create_unreachable())
        self._set_alarm(min((each.until for each in self._waiting), default=math.inf))

    def _sweep(self) -> None:
        self._sweeping = None
        now = self._loop.time()
        old = itertools.takewhile(lambda each: now - each.idle_since >= self._idle_seconds - _TICK_SECONDS, self._idle)
        for connection in list(old):
            del self._idle[connection]
            connection.close()
        if self._idle:
            self._sweeping = self._loop.call_at(next(iter(self._idle)).idle_since + self._idle_seconds, self._sweep)

    @property
    def _is_full(self) -> bool:
        return len(self._all) + len(self._opening) >= self._limit

    def _create_busy(self) -> UpstreamError:
        return UpstreamError(
            Reason.UPSTREAM_BUSY,
            Outcome.NOT_SENT,
            detail=f"All {self._limit} connections to Noojee are in use, and others wait for one; try again later",
        )

    def __repr__(self) -> str:
        now = self.figures
        return (
            f"<Pool of {self._name}{', retired' if self._is_retired else ''}: {now.busy} busy, {now.idle} idle, "
            f"{now.opening} opening, {now.waiting} waiting, at most {now.limit}>"
        )


def _create_unreachable() -> UpstreamError:
    return UpstreamError(Reason.UPSTREAM_UNREACHABLE, Outcome.NOT_SENT)
