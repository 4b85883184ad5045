"""
Faults that the control interface asks for, decided here as values and performed by `protocol.py`.

A fault is `{"operation": GLOB, "times": N, "kind": KIND, "value": V}`. The glob is on `Family/method` (or `Time`): `*`
is any run of characters, `/` too, and nothing else is special; `*` alone also matches paths that name no operation. A
request gets the first fault of the list that matches and is not used up, and no other. `times` is 1 by default.

| kind | value | what happens |
| --- | --- | --- |
| `delay` | seconds | carried out; the reply comes that much later |
| `status` | HTTP status 200-599 | not carried out; that status with a JSON error (204 and 304 bare) |
| `redirect` | Location | not carried out; 302 |
| `set_cookie` | header value | carried out; the reply also sets a cookie |
| `cut` | bytes of body | carried out; the reply has its true length, but ends after so many bytes of its body |
| `reset_before` | none | not carried out; the connection is reset (RST) |
| `reset_after` | none | carried out; the connection is reset instead of a reply |

Beyond the contract, for tests of a client's reading:

| kind | value | what happens |
| --- | --- | --- |
| `body` | text | carried out; 200 with that text as a JSON-typed body |
| `large` | bytes of body | carried out; the reply is filled with spaces up to that length |
| `close_delimited` | text or none | carried out; that body (or the true one) without a length, ended by close_notify |
| `truncated` | text or none | as `close_delimited`, but the connection ends without close_notify |
| `close_idle` | none | carried out; an ordinary reply that does not announce it, then closed |
| `raw` | text | carried out; these Latin-1 characters are the whole reply, then closed |
| `stall` | text | as `raw`, but then nothing more comes until the caller leaves |
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, replace
from typing import Any

from gateway.simulator.messages import Ending, RefusalError, Reply, create_refusal_reply

__all__ = ["Fault", "FaultError", "FaultList", "Kind"]

_LONGEST_DELAY_SECONDS = 3600
_LARGEST_BODY_BYTES = 2**30
_LATIN_1_LIMIT = 0x100
_BODILESS = frozenset({204, 304})  # replies of these have no body (RFC 9110 sections 15.3.5 and 15.4.5)
_FIELDS = frozenset({"operation", "times", "kind", "value"})


class Kind(enum.StrEnum):
    """
    The faults there are; the module tells what each does.
    """

    DELAY = "delay"
    STATUS = "status"
    REDIRECT = "redirect"
    SET_COOKIE = "set_cookie"
    CUT = "cut"
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    BODY = "body"
    LARGE = "large"
    CLOSE_DELIMITED = "close_delimited"
    TRUNCATED = "truncated"
    CLOSE_IDLE = "close_idle"
    RAW = "raw"
    STALL = "stall"


_PREVENTING = frozenset({Kind.STATUS, Kind.REDIRECT, Kind.RESET_BEFORE})


class FaultError(ValueError):
    """
    The list of faults cannot be read; the text says why.
    """


@dataclass(frozen=True, slots=True)
class Fault:
    """
    One fault, its value checked against its kind.
    """

    operation: str
    kind: Kind
    value: Any

    @property
    def prevents(self) -> bool:
        """
        True if the operation is left undone.
        """
        return self.kind in _PREVENTING

    def matches(self, operation: str) -> bool:
        """
        True if the glob matches the name of an operation.
        """
        pattern = ".*".join(re.escape(part) for part in self.operation.split("*"))
        return re.fullmatch(pattern, operation, re.DOTALL) is not None

    def create_reply(self, operation: str) -> Reply:
        """
        The reply of a fault that prevents the operation.
        """
        if self.kind is Kind.STATUS and self.value in _BODILESS:
            return Reply(status=self.value, declares_length=False)
        if self.kind is Kind.STATUS:
            refusal = RefusalError(self.value, f"Simulated status {self.value}")
            return create_refusal_reply(refusal, operation)
        if self.kind is Kind.REDIRECT:
            return Reply(status=302, headers=(("Location", self.value),))
        return Reply(ending=Ending.RESET)

    def alter(self, reply: Reply) -> Reply:
        """
        The reply of an operation that was carried out, as this fault sends it.
        """
        value: Any = self.value
        changes: dict[str, Any]
        match self.kind:
            case Kind.DELAY:
                changes = {"delay_seconds": value}
            case Kind.SET_COOKIE:
                changes = {"headers": (*reply.headers, ("Set-Cookie", value))}
            case Kind.CUT:
                changes = {"cut_at": value, "ending": Ending.CLOSE}
            case Kind.RESET_AFTER:
                changes = {"ending": Ending.RESET}
            case Kind.BODY:
                changes = {"status": 200, "body": value.encode(), "content_type": "application/json"}
            case Kind.LARGE:
                changes = {"padding": max(0, value - len(reply.body))}
            case Kind.CLOSE_IDLE:
                changes = {"ending": Ending.SILENT_CLOSE}
            case Kind.RAW:
                changes = {"verbatim": value.encode("latin-1"), "ending": Ending.CLOSE}
            case Kind.STALL:
                changes = {"verbatim": value.encode("latin-1"), "ending": Ending.STALL}
            case _:
                body = reply.body if value is None else value.encode()
                ending = Ending.CLOSE if self.kind is Kind.CLOSE_DELIMITED else Ending.TRUNCATE
                changes = {"body": body, "declares_length": False, "ending": ending}
        return replace(reply, **changes)


class FaultList:
    """
    The faults in force, in order, each with the number of requests that it still serves.
    """

    def __init__(self) -> None:
        self._left: list[tuple[Fault, int]] = []

    def __repr__(self) -> str:
        return f"<FaultList {[f'{left} x {fault.kind} on {fault.operation}' for fault, left in self._left]}>"

    def replace(self, value: Any) -> None:
        """
        Put the list of a parsed JSON value in place of the present one; one bad entry changes nothing.

        Raises:
            FaultError: the value is not a list of faults.
        """
        if not isinstance(value, list):
            raise FaultError("the faults must be a JSON array")
        self._left = [_parse(entry) for entry in value]

    def clear(self) -> None:
        """
        No fault from here on.
        """
        self._left = []

    def take(self, operation: str) -> Fault | None:
        """
        The fault that serves a request to an operation, used up by one; `None` when there is none.
        """
        for index, (fault, left) in enumerate(self._left):
            if fault.matches(operation):
                self._left[index : index + 1] = [(fault, left - 1)] if left > 1 else []
                return fault
        return None

    def render(self) -> list[dict[str, Any]]:
        """
        What is left, in the form in which it is put.
        """
        return [
            {"operation": fault.operation, "times": left, "kind": str(fault.kind), "value": fault.value}
            for fault, left in self._left
        ]


def _parse(entry: Any) -> tuple[Fault, int]:
    if not isinstance(entry, dict) or not _FIELDS.issuperset(entry):
        raise FaultError("a fault is an object with operation, times, kind and value, and nothing else")
    operation, times = entry.get("operation"), entry.get("times", 1)
    if not isinstance(operation, str) or not operation:
        raise FaultError("operation must be a glob on Family/method")
    if not _is_whole(times, 1, 10**9):
        raise FaultError("times must be a whole number from 1")
    try:
        kind = Kind(str(entry.get("kind")))
    except ValueError:
        raise FaultError(f"kind must be one of {', '.join(Kind)}") from None
    value = entry.get("value")
    expected = _describe_fault_of_value(kind, value)
    if expected:
        raise FaultError(f"the value of {kind} must be {expected}")
    return Fault(operation, kind, value), times


def _describe_fault_of_value(kind: Kind, value: Any) -> str | None:
    """
    What the value of a kind must be, if it is something else; `None` if it is right.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_text = isinstance(value, str)
    match kind:
        case Kind.DELAY:
            is_right, expected = is_number and 0 <= value <= _LONGEST_DELAY_SECONDS, "seconds from 0 to 3600"
        case Kind.STATUS:
            is_right, expected = _is_whole(value, 200, 599), "an HTTP status from 200 to 599"
        case Kind.REDIRECT | Kind.SET_COOKIE:
            is_right, expected = is_text and all(" " <= letter <= "~" for letter in value), "printable ASCII text"
        case Kind.CUT | Kind.LARGE:
            is_right, expected = _is_whole(value, 0, _LARGEST_BODY_BYTES), "a number of bytes up to 1 GiB"
        case Kind.BODY:
            is_right, expected = is_text, "text"
        case Kind.RAW | Kind.STALL:
            is_right, expected = is_text and all(ord(letter) < _LATIN_1_LIMIT for letter in value), "Latin-1 text"
        case Kind.CLOSE_DELIMITED | Kind.TRUNCATED:
            is_right, expected = is_text or value is None, "text or absent"
        case _:
            is_right, expected = value is None, "absent"
    return None if is_right else expected


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
