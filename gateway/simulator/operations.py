"""
Every operation that the simulator carries out, by the exact path.

An operation reads parameters, asks one of the `systems` and dresses the result in its family's envelope. It knows
neither keys nor connections. What is not in `OPERATIONS` does not exist here. Names are case-exact, as everywhere in
this API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.simulator.call_operations import CALL_OPERATIONS
from gateway.simulator.campaign_operations import CAMPAIGN_OPERATIONS
from gateway.simulator.messages import Reply
from gateway.simulator.office_operations import OFFICE_OPERATIONS

if TYPE_CHECKING:
    from gateway.simulator.invocation import Invocation, Operations

__all__ = ["METHODS", "OPERATIONS"]


async def _tell_time(call: Invocation) -> Reply:
    return Reply(body=str(call.systems.pairs.tell_time()).encode(), content_type="text/plain")


OPERATIONS: Operations = {
    "/servicemanager/rest/Time": _tell_time,
    **CALL_OPERATIONS,
    **CAMPAIGN_OPERATIONS,
    **OFFICE_OPERATIONS,
}
"""What is served."""

METHODS = {path: ("POST", "GET") if path in OFFICE_OPERATIONS else ("POST",) for path in OPERATIONS}
"""The HTTP methods of each path: POST, as documented, and GET where nothing but GET was ever seen."""
