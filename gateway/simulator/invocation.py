"""
One call of an operation, and the envelopes that operations answer in.

Spelling and members of an envelope are the family's: capitals for CallManagementAPI, lower case and `entities` for the
others. RecordingAPI answers a bare list and needs none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from gateway.simulator.messages import RefusalError, Reply, create_json_reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway.simulator.systems import Systems

__all__ = ["Invocation", "Operations", "acknowledge", "list_entities"]

_INTEGER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Invocation:
    """
    One call of an operation: its parameters, its body, the systems it acts on, and whether the key sees everything.
    """

    parameters: Mapping[str, str]
    body: bytes
    sees_all: bool
    systems: Systems

    def get(self, name: str) -> str:
        """
        A parameter that must be there and not empty.
        """
        value = self.parameters.get(name)
        if not value:
            raise RefusalError(400, f"Missing parameter {name}")
        return value

    def find(self, name: str) -> str:
        """
        A parameter that may be absent; it is empty then.
        """
        return self.parameters.get(name, "")

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


Operations: TypeAlias = "Mapping[str, Callable[[Invocation], Awaitable[Reply]]]"
"""What carries an operation out, by the exact path."""


def acknowledge(message: str, **members: Any) -> Reply:
    """
    The reply of a CallManagementAPI operation that was carried out.
    """
    return create_json_reply({**members, "Message": message, "Code": 0})


def list_entities(entities: list[dict[str, Any]]) -> Reply:
    """
    The reply of an operation that lists, in the families with lower case.
    """
    return create_json_reply({"code": 0, "message": "OK", "entities": entities})
