"""
The control interface under `/simulator/`, for loopback alone: what was received, what is under way, which faults.

`GET` on `requests`, `calls`, `polls` and `faults` shows a JSON list, `PUT` on `faults` replaces the faults. `DELETE`
resets: `requests` forgets the log and counts from 1 again, `calls` puts the telephone system, the leads and the rosters
back to their beginning, `polls` has every waiting poll answered, `faults` lifts all faults. Beyond the contract, `GET`
on `connections` shows which requests shared a connection, on `pairs` who used a hash pair since when, on `leads` and
`rosters` what is there; `PUT` on `rosters` replaces them, `DELETE` on `pairs` has all of them expired. No key is asked
for, and nothing here is logged.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections import deque
from typing import TYPE_CHECKING, Any

from gateway.simulator.faults import FaultError, FaultList
from gateway.simulator.messages import RefusalError, Reply, Request, create_json_reply, render_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.simulator.systems import Systems

__all__ = ["Control", "RequestLog"]

_KEPT_REQUESTS = 20_000
_PREFIX = "/simulator/"


class RequestLog:
    """
    The API requests received, in order, the last 20,000. Each is logged when it is complete, before anything is done.
    """

    def __init__(self) -> None:
        self._entries: deque[dict[str, Any]] = deque(maxlen=_KEPT_REQUESTS)
        self._connections: deque[dict[str, int]] = deque(maxlen=_KEPT_REQUESTS)
        self._sequence = 0

    def __repr__(self) -> str:
        return f"<RequestLog {self._sequence} received>"

    def record(self, request: Request, *, is_complete: bool = True) -> None:
        """
        Log a request. One whose connection ended before its body did has no `body_sha256`.
        """
        self._sequence += 1
        self._entries.append(
            {
                "seq": self._sequence,
                "method": request.method,
                "target": request.target,
                "headers": [list(header) for header in request.headers],
                "body_sha256": hashlib.sha256(request.body).hexdigest() if is_complete else None,
                "peer": request.peer,
                "at": render_now(),
            }
        )

        self._connections.append({"seq": self._sequence, "connection": request.connection})

    def render_connections(self) -> list[dict[str, int]]:
        """
        The number of each request's connection, oldest first: which requests shared one.
        """
        return list(self._connections)

    def render(self) -> list[dict[str, Any]]:
        """
        What was received, oldest first.
        """
        return list(self._entries)

    def reset(self) -> None:
        """
        Forget everything; the next request is number 1.
        """
        self._entries.clear()
        self._connections.clear()
        self._sequence = 0


class Control:
    """
    Answers requests under `/simulator/`.
    """

    def __init__(self, log: RequestLog, faults: FaultList, systems: Systems) -> None:
        events = systems.telephony.events
        self._shown: dict[str, Callable[[], list[Any]]] = {
            "requests": log.render,
            "connections": log.render_connections,
            "calls": lambda: systems.telephony.placed,
            "polls": events.render_polls,
            "faults": faults.render,
            "pairs": systems.pairs.render,
            "leads": systems.campaigns.leads.render,
            "rosters": systems.rosters.render,
        }
        self._replacements: dict[str, Callable[[Any], None]] = {
            "faults": faults.replace,
            "rosters": systems.rosters.replace,
        }
        self._resets: dict[str, Callable[[], None]] = {
            "requests": log.reset,
            "connections": log.reset,
            "calls": systems.reset,
            "polls": events.end_polls,
            "faults": faults.clear,
            "pairs": systems.pairs.expire,
            "leads": systems.campaigns.reset,
            "rosters": systems.rosters.reset,
        }

    @staticmethod
    def owns(request: Request) -> bool:
        """
        True if the request is for the control interface.
        """
        return request.path.startswith(_PREFIX)

    def answer(self, request: Request) -> Reply:
        """
        Show, replace or reset; every error is `{"error": sentence}`.
        """
        try:
            return create_json_reply(self._carry_out(request))
        except RefusalError as refusal:
            return create_json_reply({"error": refusal.message}, refusal.status, refusal.headers)

    def _carry_out(self, request: Request) -> list[Any]:
        if not ipaddress.ip_address(request.peer).is_loopback:
            raise RefusalError(403, "the control interface answers loopback addresses alone")
        name = request.path.removeprefix(_PREFIX)
        if name not in self._shown:
            raise RefusalError(404, f"the control interface has {', '.join(self._shown)}")
        methods = ("GET", "DELETE", "PUT") if name in self._replacements else ("GET", "DELETE")
        if request.method not in methods:
            raise RefusalError(405, f"{name} takes {', '.join(methods)}", headers=(("Allow", ", ".join(methods)),))
        if request.method == "PUT":
            self._replace(name, request.body)
        if request.method == "DELETE":
            self._resets[name]()
            return []
        return self._shown[name]()

    def _replace(self, name: str, body: bytes) -> None:
        try:
            self._replacements[name](json.loads(body))
        except FaultError as error:
            raise RefusalError(400, str(error)) from error
        except (ValueError, RecursionError) as error:
            raise RefusalError(400, "the body is not JSON") from error
