"""
The telephone system: calls, recordings, and the events that subscribers wait for.

Rules: a recording is stopped only where one was started, and started once; a hangup needs a call. Extensions are
compared without technology and channel suffix, so `SIP/410`, `410` and `SIP/410-0000001a` are one. Every event has the
next number of one counter for the whole server, which no reset sets back: a subscriber would miss what follows.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from gateway.simulator.messages import RefusalError, render_now

__all__ = ["Call", "Telephony", "strip_technology"]

_KEPT_EVENTS = 10_000
_SHORTEST_POLL_SECONDS = 0.1  # "about 100 ms is the shortest poll" (vendor's subscribe page)
_CHANNEL = re.compile(r"(?:[A-Za-z0-9]+/)?([^/-]+)(?:-[0-9A-Fa-f]+)?")
_UNIQUE_ID = re.compile(r"[0-9]+\.[0-9]+")


@dataclass(slots=True, eq=False)
class Call:
    """
    One call at an extension. `unique_id` has Asterisk's form, digits and digits around a dot.
    """

    call_id: int
    extension: str
    unique_id: str
    number: str = ""
    caller_id: str = ""
    status: str = "Connected"
    is_dialled: bool = False
    is_announced: bool = True

    def render(self) -> dict[str, Any]:
        """
        The entry of a subscribe reply: the members of CallData are those of the vendor's Java class.
        """
        data = {
            "canAnswer": False,
            "callerId": self.caller_id,
            "uniqueCallId": self.unique_id,
            "secondaryUniqueCallId": "",
            "callStartTime": "",
            "isQueueCall": False,
            "isClickToDialCall": self.is_dialled,
            "inbound": False,
            "status": self.status,
            "otherPartyCallerId": self.number,
            "connectedCallerIdNum": self.number,
            "outboundDestination": self.number,
        }
        return {"CallData": data, "CallID": self.call_id, "Code": 0}


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


def strip_technology(text: str) -> str:
    """
    The bare extension of a channel name: `SIP/410-0000001a` is `410`. A text of another form is returned as it is.
    """
    match = _CHANNEL.fullmatch(text.strip())
    return match[1] if match else text.strip()


class Telephony:
    """
    Calls, recordings and events of one simulator. Not thread-safe: it lives on its event loop.
    """

    def __init__(self) -> None:
        self.placed: list[dict[str, str]] = []
        self._live: list[Call] = []
        self._recorded: dict[str, Call] = {}
        self._events: deque[_Event] = deque(maxlen=_KEPT_EVENTS)
        self._polls: list[_Poll] = []
        self._sequence = 0
        self._call_ids = itertools.count(1)

    def __repr__(self) -> str:
        return (
            f"<Telephony {len(self._live)} calls, {len(self._recorded)} recordings, "
            f"{len(self._polls)} polls, seq {self._sequence}>"
        )

    def dial(
        self,
        number: str,
        exten_or_unique_id: str,
        *,
        caller_id: str = "",
        is_announced: bool = True,
        records: bool = False,
    ) -> Call:
        """
        Place a call from an extension; it is answered at once. A second call at the extension is allowed.
        """
        self.placed.append({"number": number, "extenOrUniqueId": exten_or_unique_id, "at": render_now()})
        call = self._create_call(self._resolve_extension(exten_or_unique_id))
        call.number, call.caller_id, call.is_dialled, call.is_announced = number, caller_id, True, is_announced
        self._live.append(call)
        for call.status in ("Dialing Out", "Connected"):
            self._announce(call)
        if records:
            self._recorded[call.extension] = call
        return call

    def hang_up(self, exten_or_unique_id: str) -> Call:
        """
        End a call, named by its unique id or by the extension (then its latest). Its recording ends with it.
        """
        call = self._find_call(exten_or_unique_id)
        if call is None:
            raise RefusalError(400, "No such channel")
        self._live.remove(call)
        if self._recorded.get(call.extension) is call:
            del self._recorded[call.extension]
        call.status = "Hungup"
        self._announce(call)
        return call

    def start_recording(self, exten_or_unique_id: str) -> None:
        """
        Start the recording of an extension, or of the extension that a unique id belongs to.
        """
        call = self._find_call(exten_or_unique_id)
        extension = call.extension if call else self._resolve_extension(exten_or_unique_id)
        if extension in self._recorded:
            raise RefusalError(400, "Recording already started")
        self._recorded[extension] = call or self._create_call(extension)
        self._announce(self._recorded[extension])

    def stop_recording(self, exten_or_unique_id: str) -> None:
        """
        Stop the recording that was started on an extension.
        """
        call = self._find_call(exten_or_unique_id)
        extension = call.extension if call else self._resolve_extension(exten_or_unique_id)
        if extension not in self._recorded:
            raise RefusalError(400, "No recording to stop")
        self._announce(self._recorded.pop(extension))

    async def subscribe(self, exten: str, last: int, time_out: int) -> tuple[dict[str, list[dict[str, Any]]], int]:
        """
        The events after number `last` at a comma list of extensions, at once or within `time_out` seconds, and `seq`.

        Returns an empty mapping when the time is over or the poll was ended. Cancelling it takes the poll off the list.
        """
        extensions = frozenset(strip_technology(item) for item in exten.split(","))
        found = self._find_events(extensions, last)
        if not found:
            poll = _Poll(exten, time_out, extensions)
            self._polls.append(poll)
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(time_out, _SHORTEST_POLL_SECONDS)):
                        await poll.woken.wait()
            finally:
                self._polls.remove(poll)
            found = self._find_events(extensions, last)
        return found, self._sequence

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
        Forget calls, recordings and events; the sequence number stays.
        """
        self.placed.clear()
        self._live.clear()
        self._recorded.clear()
        self._events.clear()

    def _create_call(self, extension: str) -> Call:
        call_id = next(self._call_ids)
        return Call(call_id=call_id, extension=extension, unique_id=f"{int(time.time())}.{call_id}")

    def _find_call(self, exten_or_unique_id: str) -> Call | None:
        extension = strip_technology(exten_or_unique_id)
        for call in reversed(self._live):
            if exten_or_unique_id == call.unique_id or extension == call.extension:
                return call
        return None

    def _resolve_extension(self, exten_or_unique_id: str) -> str:
        call = next((call for call in self._recorded.values() if call.unique_id == exten_or_unique_id), None)
        if call:
            return call.extension
        if _UNIQUE_ID.fullmatch(exten_or_unique_id):
            raise RefusalError(400, "No such channel")
        return strip_technology(exten_or_unique_id)

    def _announce(self, call: Call) -> None:
        if not call.is_announced:
            return
        self._sequence += 1
        self._events.append(_Event(self._sequence, call.extension, call.render()))
        for poll in self._polls:
            if call.extension in poll.extensions:
                poll.woken.set()

    def _find_events(self, extensions: frozenset[str], last: int) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for event in self._events:
            if event.sequence > last and event.extension in extensions:
                found.setdefault(event.extension, []).append(event.entry)
        return found
