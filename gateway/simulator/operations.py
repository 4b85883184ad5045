"""
The operations that the simulator carries out, each with the parameters and the reply that the vendor documents.

An operation reads parameters, asks `telephony` or `campaigns` and dresses the result in its family's envelope. It knows
neither keys nor connections. What is not in `OPERATIONS` does not exist here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.simulator.messages import RefusalError, Reply, create_json_reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway.simulator.campaigns import Campaigns
    from gateway.simulator.telephony import Telephony

__all__ = ["OPERATIONS", "Invocation"]

_INTEGER = re.compile(r"[0-9]{1,18}")
_LONGEST_POLL_SECONDS = 86_400  # no maximum is documented; this one only keeps the timer sane
_DEFAULT_POLL_SECONDS = 10  # vendor's subscribe page


@dataclass(frozen=True, slots=True)
class Invocation:
    """
    One call of an operation: its parameters, its body, the systems it acts on, and whether the key sees everything.

    `tell_time` gives milliseconds since 1970 and begins an authentication attempt.
    """

    parameters: Mapping[str, str]
    body: bytes
    sees_all: bool
    telephony: Telephony
    campaigns: Campaigns
    tell_time: Callable[[], int]

    def get(self, name: str) -> str:
        """
        A parameter that must be there and not empty.
        """
        value = self.parameters.get(name)
        if not value:
            raise RefusalError(400, f"Missing parameter {name}")
        return value

    def get_integer(self, name: str, default: int | None = None) -> int:
        """
        A parameter that must be a whole number; absent, it is the default if there is one.
        """
        if default is not None and not self.parameters.get(name):
            return default
        value = self.get(name)
        if not _INTEGER.fullmatch(value):
            raise RefusalError(400, f"Parameter {name} is not a number")
        return int(value)


async def _tell_time(call: Invocation) -> Reply:
    return Reply(body=str(call.tell_time()).encode(), content_type="text/plain")


async def _dial(call: Invocation) -> Reply:
    placed = call.telephony.dial(
        call.get("number"),
        call.get("extenOrUniqueId"),
        caller_id=call.parameters.get("callerId", ""),
        is_announced=call.parameters.get("monitored") != "no",
        records=call.parameters.get("record") == "true",
    )
    return _acknowledge("Dialing", SessionID=placed.call_id)


async def _hang_up(call: Invocation) -> Reply:
    call.telephony.hang_up(call.get("extenOrUniqueId"))
    return _acknowledge("Channel Hungup")


async def _start(call: Invocation) -> Reply:
    call.telephony.start_recording(call.get("extenOrUniqueId"))
    return _acknowledge("Recording started")


async def _stop(call: Invocation) -> Reply:
    call.telephony.stop_recording(call.get("extenOrUniqueId"))
    return _acknowledge("Recording stopped")


async def _subscribe(call: Invocation) -> Reply:
    exten = call.get("exten")
    last = call.get_integer("lastSequenceNumber")
    time_out = min(call.get_integer("timeOut", _DEFAULT_POLL_SECONDS), _LONGEST_POLL_SECONDS)
    data, sequence = await call.telephony.subscribe(exten, last, time_out)
    return create_json_reply({"Data": data, "seq": sequence, "Code": 0})


async def _list_templates(call: Invocation) -> Reply:
    return _list(call.campaigns.list_templates(sees_all=call.sees_all))


async def _list_campaigns(call: Invocation) -> Reply:
    return _list(call.campaigns.list_campaigns(call.get_integer("fTemplateId"), sees_all=call.sees_all))


async def _insert_leads(call: Invocation) -> Reply:
    template_id = call.get_integer("fTemplateId")
    call.get_integer("fCampaignId")
    call.get_integer("fAllocationId")
    allows_duplicates = call.parameters.get("allowDuplicates") == "true"
    call.campaigns.insert_leads(template_id, call.body, sees_all=call.sees_all, allows_duplicates=allows_duplicates)
    return create_json_reply({"code": 0, "message": "OK"})


def _acknowledge(message: str, **members: Any) -> Reply:
    return create_json_reply({**members, "Message": message, "Code": 0})


def _list(entities: list[dict[str, Any]]) -> Reply:
    return create_json_reply({"code": 0, "message": "OK", "entities": entities})


OPERATIONS: Mapping[str, Callable[[Invocation], Awaitable[Reply]]] = {
    "/servicemanager/rest/Time": _tell_time,
    "/servicemanager/rest/CallManagementAPI/dial": _dial,
    "/servicemanager/rest/CallManagementAPI/hangup": _hang_up,
    "/servicemanager/rest/CallManagementAPI/start": _start,
    "/servicemanager/rest/CallManagementAPI/stop": _stop,
    "/servicemanager/rest/CallManagementAPI/subscribe": _subscribe,
    "/servicemanager/rest/CampaignAPI/getCampaignTemplateList": _list_templates,
    "/servicemanager/rest/CampaignAPI/getCampaignList": _list_campaigns,
    "/servicemanager/rest/CampaignAPI/insertLeadFast": _insert_leads,
}
"""What is served, by the exact path. Names are case-exact, as everywhere in this API."""
