"""
The operations of CallManagementAPI and RecordingAPI: calls, what is told of them, and their recordings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.simulator.invocation import acknowledge
from gateway.simulator.messages import create_json_reply

if TYPE_CHECKING:
    from gateway.simulator.invocation import Invocation, Operations
    from gateway.simulator.messages import Reply

__all__ = ["CALL_OPERATIONS"]

_LONGEST_POLL_SECONDS = 86_400  # no maximum is documented; this one only keeps the timer sane
_DEFAULT_POLL_SECONDS = 10  # vendor's pages on subscribe and checkState


async def _dial(call: Invocation) -> Reply:
    placed = call.systems.telephony.dial(
        call.get("number"),
        call.get("extenOrUniqueId"),
        caller_id=call.find("callerId"),
        is_announced=call.find("monitored") != "no",
        records=call.find("record") == "true",
        tag=call.find("tag"),
    )
    return acknowledge("Dialing", SessionID=placed.call_id)


async def _hang_up(call: Invocation) -> Reply:
    call.systems.telephony.hang_up(call.get("extenOrUniqueId"))
    return acknowledge("Channel Hungup")


async def _answer(call: Invocation) -> Reply:
    call.systems.telephony.answer(call.get("uniqueId"), call.get("exten"))
    return acknowledge("Call answered")


async def _start(call: Invocation) -> Reply:
    call.systems.telephony.start_recording(
        call.get("extenOrUniqueId"), tag=call.find("tag"), username=call.find("agentLoginName")
    )
    return acknowledge("Recording started")


async def _stop(call: Invocation) -> Reply:
    call.systems.telephony.stop_recording(call.get("extenOrUniqueId"))
    return acknowledge("Recording stopped")


async def _subscribe(call: Invocation) -> Reply:
    exten = call.get("exten")
    last = call.get_integer("lastSequenceNumber")
    data, sequence = await call.systems.telephony.events.subscribe(exten, last, _get_time_out(call))
    return create_json_reply({"Data": data, "seq": sequence, "Code": 0})


async def _check_state(call: Invocation) -> Reply:
    states = await call.systems.telephony.check_states(call.get("extenOrUniqueId"), _get_time_out(call))
    return create_json_reply({"State": states, "Code": 0})


async def _list_by_tag(call: Invocation) -> Reply:
    return create_json_reply(call.systems.telephony.recordings.list_by_tag(call.get("tag")))


async def _list_by_unique_id(call: Invocation) -> Reply:
    return create_json_reply(call.systems.telephony.recordings.list_by_unique_id(call.get("uniqueId")))


async def _list_by_hour(call: Invocation) -> Reply:
    date, hour = call.get("date"), call.get_integer("hour")
    return create_json_reply(call.systems.telephony.recordings.list_by_hour(date, hour))


def _get_time_out(call: Invocation) -> int:
    return min(call.get_integer("timeOut", _DEFAULT_POLL_SECONDS), _LONGEST_POLL_SECONDS)


CALL_OPERATIONS: Operations = {
    "/servicemanager/rest/CallManagementAPI/dial": _dial,
    "/servicemanager/rest/CallManagementAPI/hangup": _hang_up,
    "/servicemanager/rest/CallManagementAPI/answer": _answer,
    "/servicemanager/rest/CallManagementAPI/start": _start,
    "/servicemanager/rest/CallManagementAPI/stop": _stop,
    "/servicemanager/rest/CallManagementAPI/subscribe": _subscribe,
    "/servicemanager/rest/CallManagementAPI/checkState": _check_state,
    "/servicemanager/rest/CallManagementAPI/retrieveMetaData": _list_by_tag,
    "/servicemanager/rest/CallManagementAPI/retrieveMetaDataByUniqueId": _list_by_unique_id,
    "/njadmin/rest/RecordingAPI/retrieveMetaData": _list_by_tag,
    "/njadmin/rest/RecordingAPI/retrieveMetaDataByUniqueId": _list_by_unique_id,
    "/njadmin/rest/RecordingAPI/retrieveMetaDataByHour": _list_by_hour,
}
"""By exact path. The metadata stood under CallManagementAPI first, and an old server has it there."""
