"""
One request, downwards: control, log, white-list, fault, path, verb, key, operation.

Knows no connection: it turns a request into a reply, and `protocol.py` sends that. A test can rely on the order: a
request is logged before anything is done about it, and a fault that prevents is used before the key is looked at.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from gateway.simulator.control import Control, RequestLog
from gateway.simulator.faults import FaultList
from gateway.simulator.invocation import Invocation
from gateway.simulator.messages import (
    RefusalError,
    Reply,
    Request,
    create_not_found_reply,
    create_refusal_reply,
    parse_parameters,
)
from gateway.simulator.operations import METHODS, OPERATIONS
from gateway.simulator.systems import Systems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.simulator.authentication import KeyBook

__all__ = ["Network", "Service", "parse_network"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_network(text: str) -> Network:
    """
    An address or a network in CIDR form, without host bits.

    Raises:
        ValueError: it is neither; the text says so.
    """
    return ipaddress.ip_network(text)


class Service:
    """
    A simulated Noojee without its sockets.
    """

    def __init__(self, keys: KeyBook, allowed: Sequence[Network]) -> None:
        self.log = RequestLog()
        self._keys = keys
        self._allowed = tuple(allowed)
        self._systems = Systems(keys.pairs)
        self._faults = FaultList()
        self._control = Control(self.log, self._faults, self._systems)

    def __repr__(self) -> str:
        return f"<Service {self._systems.telephony!r} {self.log!r} {self._faults!r}>"

    async def handle(self, request: Request) -> Reply:
        """
        The reply to a complete request. A waiting poll waits in here and may be cancelled.
        """
        if self._control.owns(request):
            return self._control.answer(request)
        self.log.record(request)
        operation = request.operation
        if not self._allows(request.peer):
            return create_refusal_reply(RefusalError(403, "Address not on the white-list"), operation)
        fault = self._faults.take(operation)
        if fault and fault.prevents:
            return fault.create_reply(operation)
        try:
            reply = await self._carry_out(request, operation)
        except RefusalError as refusal:
            reply = create_refusal_reply(refusal, operation)
        return fault.alter(reply) if fault else reply

    def record_incomplete(self, request: Request) -> None:
        """
        Log a request whose connection ended before it was complete.
        """
        if not self._control.owns(request):
            self.log.record(request, is_complete=False)

    def end_polls(self) -> None:
        """
        Have every waiting poll answered now.
        """
        self._systems.telephony.events.end_polls()

    async def _carry_out(self, request: Request, operation: str) -> Reply:
        carry_out = OPERATIONS.get(request.path)
        if carry_out is None:
            return create_not_found_reply()
        methods = METHODS[request.path]
        if request.method not in methods:
            told = f"The method must be {' or '.join(methods)}"
            raise RefusalError(405, told, headers=(("Allow", ", ".join(methods)),))
        parameters = parse_parameters(request)
        sees_all = True
        if operation != "Time":  # the first step of the hash method, made without a key
            sees_all = self._keys.authenticate(parameters, operation).is_global
        return await carry_out(Invocation(parameters, request.body, sees_all, self._systems))

    def _allows(self, peer: str) -> bool:
        address = ipaddress.ip_address(peer)
        return any(address in network for network in self._allowed)
