"""
What a call is, and how its extension is written.

Extensions are compared without technology and channel suffix, so `SIP/410`, `410` and `SIP/410-0000001a` are one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

__all__ = ["Call", "is_unique_id", "split_extensions", "strip_technology"]

_CHANNEL = re.compile(r"(?:[A-Za-z0-9]+/)?([^/-]+)(?:-[0-9A-Fa-f]+)?")
_UNIQUE_ID = re.compile(r"[0-9]+\.[0-9]+")
_STATES = {
    "Ringing": "Ringing Agent",
    "Dialing Out": "Ringing Client",
    "Connected": "On Call",
    "Hungup": "Hung Up",
}
"""What checkState calls the statuses of subscribe; the two pages name them apart."""


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

    def render_state(self) -> dict[str, Any]:
        """
        The entry of a checkState reply.
        """
        return {"uniqueCallId": self.unique_id, "Message": _STATES[self.status], "Code": 0}


def strip_technology(text: str) -> str:
    """
    The bare extension of a channel name: `SIP/410-0000001a` is `410`. A text of another form is returned as it is.
    """
    match = _CHANNEL.fullmatch(text.strip())
    return match[1] if match else text.strip()


def split_extensions(text: str) -> list[str]:
    """
    The bare extensions of a comma list.
    """
    return [strip_technology(item) for item in text.split(",")]


def is_unique_id(text: str) -> bool:
    """
    True for a text that has the form of a call's unique id, whether there is such a call or not.
    """
    return _UNIQUE_ID.fullmatch(text) is not None
