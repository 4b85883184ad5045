"""
The telephone system: the calls, and what of them is told and recorded.

Rules: a recording is stopped only where one was started, and started once; a hangup needs a call, and so does an
answer. What becomes of a call is told through `events`, and a recording ends in `recordings`.
"""

from __future__ import annotations

import itertools
import time
from typing import Any

from gateway.simulator.calls import Call, is_unique_id, split_extensions, strip_technology
from gateway.simulator.events import EventLog
from gateway.simulator.messages import RefusalError, render_now
from gateway.simulator.recordings import Recordings

__all__ = ["Telephony"]


class Telephony:
    """
    The calls of one simulator. Not thread-safe: it lives on its event loop.
    """

    def __init__(self) -> None:
        self.placed: list[dict[str, str]] = []
        self.events = EventLog()
        self.recordings = Recordings()
        self._live: list[Call] = []
        self._ended: dict[str, Call] = {}
        self._call_ids = itertools.count(1)

    def __repr__(self) -> str:
        return f"<Telephony {len(self._live)} calls, {self.recordings!r}, {self.events!r}>"

    def dial(
        self,
        number: str,
        exten_or_unique_id: str,
        *,
        caller_id: str = "",
        is_announced: bool = True,
        records: bool = False,
        tag: str = "",
    ) -> Call:
        """
        Place a call from an extension; it is answered at once. A second call at the extension is allowed.

        A recording that runs at the extension ends where that of the new call begins.
        """
        self.placed.append({"number": number, "extenOrUniqueId": exten_or_unique_id, "at": render_now()})
        call = self._create_call(self._resolve_extension(exten_or_unique_id))
        call.number, call.caller_id, call.is_dialled, call.is_announced = number, caller_id, True, is_announced
        self._live.append(call)
        for call.status in ("Dialing Out", "Connected"):
            self.events.announce(call)
        if records:
            if self.recordings.find_call(call.extension):
                self.recordings.stop(call.extension)
            self.recordings.start(call, tag=tag)
        return call

    def hang_up(self, exten_or_unique_id: str) -> Call:
        """
        End a call, named by its unique id or by the extension (then its latest). Its recording ends with it.
        """
        call = self._get_call(exten_or_unique_id)
        self._live.remove(call)
        self._ended[call.extension] = call
        if self.recordings.find_call(call.extension) is call:
            self.recordings.stop(call.extension)
        call.status = "Hungup"
        self.events.announce(call)
        return call

    def answer(self, unique_id: str, exten: str) -> None:
        """
        Answer a call at its extension. Every call here was answered when it was placed, so this tells its state again.
        """
        call = self._get_call(unique_id)
        if strip_technology(exten) != call.extension:
            raise RefusalError(400, "No such channel")
        self.events.announce(call)

    def start_recording(self, exten_or_unique_id: str, *, tag: str = "", username: str = "") -> None:
        """
        Start the recording of an extension, or of the extension that a unique id belongs to.
        """
        call = self._find_call(exten_or_unique_id) or self._create_call(self._resolve_extension(exten_or_unique_id))
        self.recordings.start(call, tag=tag, username=username)
        self.events.announce(call)

    def stop_recording(self, exten_or_unique_id: str) -> None:
        """
        Stop the recording that was started on an extension.
        """
        call = self._find_call(exten_or_unique_id)
        extension = call.extension if call else self._resolve_extension(exten_or_unique_id)
        self.events.announce(self.recordings.stop(extension))

    async def check_states(self, exten: str, time_out: int) -> dict[str, dict[str, Any]]:
        """
        The states of a comma list of extensions after their next event, or after `time_out` seconds without one.

        An extension has the state of its latest call, also after its end; one that had no call has a code alone.
        """
        if time_out:
            await self.events.wait(exten, time_out, time_out)
        states: dict[str, dict[str, Any]] = {}
        for extension in split_extensions(exten):
            call = self._find_call(extension) or self._ended.get(extension)
            states[extension] = call.render_state() if call else {"Code": 0}
        return states

    def reset(self) -> None:
        """
        Forget calls, recordings and events.
        """
        self.placed.clear()
        self.events.reset()
        self.recordings.reset()
        self._live.clear()
        self._ended.clear()

    def _create_call(self, extension: str) -> Call:
        call_id = next(self._call_ids)
        return Call(call_id=call_id, extension=extension, unique_id=f"{int(time.time())}.{call_id}")

    def _get_call(self, exten_or_unique_id: str) -> Call:
        call = self._find_call(exten_or_unique_id)
        if call is None:
            raise RefusalError(400, "No such channel")
        return call

    def _find_call(self, exten_or_unique_id: str) -> Call | None:
        extension = strip_technology(exten_or_unique_id)
        for call in reversed(self._live):
            if exten_or_unique_id == call.unique_id or extension == call.extension:
                return call
        return None

    def _resolve_extension(self, exten_or_unique_id: str) -> str:
        extension = self.recordings.find_extension(exten_or_unique_id)
        if extension is not None:
            return extension
        if is_unique_id(exten_or_unique_id):
            raise RefusalError(400, "No such channel")
        return strip_technology(exten_or_unique_id)
