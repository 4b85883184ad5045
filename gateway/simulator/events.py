"""
The events that subscribers wait for, and the polls that wait.

Every event has the next number of one counter for the whole server, which no reset sets back: a subscriber would miss
what follows. Not thread-safe: it lives on its event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.simulator.calls import split_extensions
from gateway.simulator.messages import render_now

if TYPE_CHECKING:
    from gateway.simulator.calls import Call

__all__ = ["EventLog"]

_KEPT_EVENTS = 10_000
_SHORTEST_POLL_SECONDS = 0.1  # "about 100 ms is the shortest poll" (vendor's subscribe page)


@dataclass(frozen=True, slots=True)
class _Event:
    sequence: int
    extension: str
    entry: dict[str, Any]


@dataclass(slots=True, eq=False)
class _Poll:
    exten: str
    time_out: int
    extensions: frozenset[str]
    since: str = field(default_factory=render_now)
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class EventLog:
    """
    The last 10,000 events of one simulator, and who waits for more.
    """

    def __init__(self) -> None:
        self._events: deque[_Event] = deque(maxlen=_KEPT_EVENTS)
        self._polls: list[_Poll] = []
        self._sequence = 0

    def __repr__(self) -> str:
        return f"<EventLog {len(self._polls)} polls, seq {self._sequence}>"

    def announce(self, call: Call) -> None:
        """
        Tell the state of a call to whoever watches its extension; a call that is not monitored tells nobody.
        """
        if not call.is_announced:
            return
        self._sequence += 1
        self._events.append(_Event(self._sequence, call.extension, call.render()))
        for poll in self._polls:
            if call.extension in poll.extensions:
                poll.woken.set()

    async def subscribe(self, exten: str, last: int, time_out: int) -> tuple[dict[str, list[dict[str, Any]]], int]:
        """
        The events after number `last` at a comma list of extensions, at once or within `time_out` seconds, and `seq`.

        Returns an empty mapping when the time is over or the poll was ended.
        """
        extensions = frozenset(split_extensions(exten))
        found = self._find(extensions, last)
        if not found:
            await self.wait(exten, time_out, max(time_out, _SHORTEST_POLL_SECONDS))
            found = self._find(extensions, last)
        return found, self._sequence

    async def wait(self, exten: str, time_out: int, seconds: float) -> None:
        """
        Wait so long for an event at a comma list of extensions. Cancelling it takes the poll off the list.
        """
        poll = _Poll(exten, time_out, frozenset(split_extensions(exten)))
        self._polls.append(poll)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await poll.woken.wait()
        finally:
            self._polls.remove(poll)

    def render_polls(self) -> list[dict[str, Any]]:
        """
        The polls that wait now, oldest first.
        """
        return [{"exten": poll.exten, "timeOut": poll.time_out, "since": poll.since} for poll in self._polls]

    def end_polls(self) -> None:
        """
        Have every waiting poll answered now.
        """
        for poll in self._polls:
            poll.woken.set()

    def reset(self) -> None:
        """
        Forget the events; the sequence number stays.
        """
        self._events.clear()

    def _find(self, extensions: frozenset[str], last: int) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for event in self._events:
            if event.sequence > last and event.extension in extensions:
                found.setdefault(event.extension, []).append(event.entry)
        return found
