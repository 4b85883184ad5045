"""
The recordings, and their metadata as the vendor's pages tell them.

A recording has one leg here and is listed when it has ended. The forms of its members differ from page to page, and so
they do here: `Start` and `Direction` of the hourly form are words, where the others have a timestamp and a number.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from gateway.simulator.messages import RefusalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.simulator.calls import Call

__all__ = ["Recordings"]

_KEPT_RECORDINGS = 10_000
_BETWEEN_HOURLY_CALLS = timedelta(minutes=1)  # vendor's page 9.4
_SQL_FORM = "%Y-%m-%d %H:%M:%S.0"
_WORDS_FORM = "%a %b %d %H:%M:%S %Z %Y"


@dataclass(slots=True)
class _Recording:
    record_id: int
    call: Call
    tag: str
    username: str
    started_at: datetime
    ended_at: datetime

    def render(self) -> dict[str, str]:
        """
        The form of retrieveMetaData and retrieveMetaDataByUniqueId; every value is text.
        """
        return {
            "Source": self.call.extension,
            "Destination": self.call.number,
            "UniqueId": self.call.unique_id,
            "Username": self.username,
            "Start": self.started_at.strftime(_SQL_FORM),
            "Duration": str(int((self.ended_at - self.started_at).total_seconds())),
            "Tag": self.tag,
            "Direction": "1",
            "CallRecordId": str(self.record_id),
            "DID": "",
            "Leg": "1",
        }

    def render_hourly(self) -> dict[str, str]:
        """
        The form of retrieveMetaDataByHour.
        """
        return self.render() | {
            "Start": self.started_at.strftime(_WORDS_FORM),
            "Direction": "Outbound",
            "callend": self.ended_at.strftime(_WORDS_FORM),
        }


class Recordings:
    """
    The recordings under way, one at an extension, and the last 10,000 that have ended.

    Args:
        now: The server's clock; its time zone is that of the metadata, UTC when none is given.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._running: dict[str, _Recording] = {}
        self._ended: deque[_Recording] = deque(maxlen=_KEPT_RECORDINGS)
        self._record_ids = itertools.count(1)
        self._hourly_again_at: datetime | None = None

    def __repr__(self) -> str:
        return f"<Recordings {len(self._running)} running, {len(self._ended)} ended>"

    def start(self, call: Call, *, tag: str = "", username: str = "") -> None:
        """
        Begin to record at the extension of a call.

        Raises:
            RefusalError: 400 where one runs already.
        """
        if call.extension in self._running:
            raise RefusalError(400, "Recording already started")
        now = self._now()
        self._running[call.extension] = _Recording(next(self._record_ids), call, tag, username, now, now)

    def stop(self, extension: str) -> Call:
        """
        End the recording of an extension; returns the call that it was of.

        Raises:
            RefusalError: 400 where none runs.
        """
        recording = self._running.pop(extension, None)
        if recording is None:
            raise RefusalError(400, "No recording to stop")
        recording.ended_at = self._now()
        self._ended.append(recording)
        return recording.call

    def find_call(self, extension: str) -> Call | None:
        """
        The call that is recorded at an extension.
        """
        recording = self._running.get(extension)
        return recording.call if recording else None

    def find_extension(self, unique_id: str) -> str | None:
        """
        The extension where the call of a unique id is recorded.
        """
        return next((where for where, each in self._running.items() if each.call.unique_id == unique_id), None)

    def list_by_tag(self, tag: str) -> list[dict[str, str]]:
        """
        The metadata of the recordings with a tag, oldest first.
        """
        return [recording.render() for recording in self._ended if recording.tag == tag]

    def list_by_unique_id(self, unique_id: str) -> list[dict[str, str]]:
        """
        The metadata of the recordings of a call, oldest first.
        """
        return [recording.render() for recording in self._ended if recording.call.unique_id == unique_id]

    def list_by_hour(self, date: str, hour: int) -> list[dict[str, str]]:
        """
        The metadata of the recordings that ended in an hour of a day, `yyyy/MM/dd`, in the hourly form.

        Raises:
            RefusalError: 400 for what is no day or no hour; 429 within a minute of the last such call.
        """
        now = self._now()
        begin = _parse_hour(date, hour)
        if self._hourly_again_at is not None and now < self._hourly_again_at:
            raise RefusalError(429, "Only one call a minute is allowed")
        self._hourly_again_at = now + _BETWEEN_HOURLY_CALLS
        found = (recording for recording in self._ended if recording.ended_at.strftime("%Y/%m/%d %H") == begin)
        return [recording.render_hourly() for recording in found]

    def reset(self) -> None:
        """
        Forget every recording, and that the hourly form was asked for.
        """
        self._running.clear()
        self._ended.clear()
        self._hourly_again_at = None


def _parse_hour(date: str, hour: int) -> str:
    try:
        return datetime.strptime(f"{date} {hour:02}", "%Y/%m/%d %H").replace(tzinfo=UTC).strftime("%Y/%m/%d %H")
    except ValueError as error:
        raise RefusalError(400, "Parameter date is yyyy/MM/dd, and hour is 0 to 23") from error
