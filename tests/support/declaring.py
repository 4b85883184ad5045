"""
Documents of `apply` as tests write them, and what callers may do at a moment.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from gateway.access.policy import decide, resolve
from gateway.administration.declaration import parse_declaration
from gateway.administration.declaration_plan import carry_out, make_plan
from gateway.noojee.catalogue import load_catalogue
from gateway.noojee.parameters import Parameter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.administration.declaration_step import Plan
    from gateway.administration.desk import Desk
    from gateway.secret import Secret

NOOJEE: dict[str, Any] = {"name": "noojee", "url": "https://noojee.example.com"}
EVERYTHING: dict[str, Any] = {"name": "everything", "upstream": "noojee", "kind": "global", "key": "stdin"}
ALICE: dict[str, Any] = {
    "name": "alice",
    "upstream": "noojee",
    "kind": "user",
    "owner": "alice@example.com",
    "key": "stdin",
}
CRM: dict[str, Any] = {"name": "crm", "networks": "anywhere"}
"""What the administration's tests begin with, as a document has it."""

_ADDRESSES = [ip_address(text) for text in ("10.1.0.1", "10.2.0.1", "192.0.2.1")]
_NUMBERS = ("0412345678", "0298765432")


def grant(operations: str | list[str], credential: str = "everything", **more: Any) -> dict[str, Any]:
    """
    A grant as a document has it.
    """
    return {"credential": credential, "operations": [operations] if isinstance(operations, str) else operations, **more}


def document(*callers: dict[str, Any], **more: Any) -> dict[str, Any]:
    """
    A document with what the tests' installation has, but for these callers and other parts.
    """
    return {"version": 1, "upstreams": [NOOJEE], "credentials": [EVERYTHING, ALICE], "callers": list(callers), **more}


def plan(desk: Desk, values: Mapping[str, Any], folder: Path, *, prune: bool = False) -> Plan:
    """
    The plan for a document.
    """
    return make_plan(desk, parse_declaration(values), folder=folder, prune=prune)


def apply(
    desk: Desk,
    values: Mapping[str, Any],
    folder: Path,
    *,
    prune: bool = False,
    keys: Mapping[str, Secret] | None = None,
) -> list[str]:
    """
    Plan it and make it so; the steps, as `tell` has them.
    """
    declaration = parse_declaration(values)
    made = make_plan(desk, declaration, folder=folder, prune=prune)
    carry_out(desk, made, declaration, keys or {}, folder=folder, prune=prune)
    return tell(made)


def tell(made: Plan) -> list[str]:
    """
    Each step as `action what name`, a grant by its caller.
    """
    return [f"{step.action} {step.what} {step.caller or step.name}" for step in made.steps]


def find_allowed(desk: Desk) -> dict[str, set[tuple[str, ...]]]:
    """
    What is allowed now of some calls that try it.

    By caller: (from where, operation, telephone number, upstream's origin).
    """
    allowed: dict[str, set[tuple[str, ...]]] = {}
    for caller in desk.read_snapshot().callers.values():
        found = allowed.setdefault(caller.name, set())
        for operation in load_catalogue().operations:
            resolved = resolve(caller, operation)
            for number in _NUMBERS:
                parameters = (Parameter("number", number),) if "number" in operation.parameters else ()
                decision = decide(resolved, operation, parameters, "61")
                if resolved.allowed and decision.allowed and decision.grant is not None:
                    origin = decision.grant.credential.upstream.origin
                    found |= {
                        (str(address), operation.name, number, origin)
                        for address in _ADDRESSES
                        if caller.allows_network(address)
                    }
    return allowed
