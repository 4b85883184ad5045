"""
`operations`: what Noojee can do, and what of it a caller may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.cli.desk import open_desk
from gateway.cli.explain import find_caller
from gateway.cli.output import print_rows
from gateway.cli.parser import add_verb

if TYPE_CHECKING:
    import argparse

    from gateway.access.caller import Caller
    from gateway.cli.parser import Nouns, SettingsLoader
    from gateway.noojee.catalogue import Operation

__all__ = ["add_parser"]


def add_parser(nouns: Nouns) -> None:
    """
    Declare the verb.
    """
    verb = add_verb(
        nouns,
        "operations",
        _list,
        summary="List Noojee's operations, and with --caller what it may do.",
        explanation="Without --caller no data folder is needed.",
        examples=["noojee-gateway operations", "noojee-gateway operations --caller crm"],
    )
    verb.add_argument("--caller", metavar="C", help="say for each operation whether this caller may")


def _list(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.access.explain import find_operations
    from gateway.noojee.catalogue import load_catalogue

    if args.caller is None:
        rows = [_describe(operation) for operation in load_catalogue().operations]
        columns = ["operation", "scope", "effect", "status", "served"]
    else:
        with open_desk(load_settings) as desk:
            caller = find_caller(desk, desk.read_snapshot(with_tokens=False), args.caller)
        rows = [_describe(each) | _judge(caller, each) for each in find_operations(load_catalogue(), caller)]
        columns = ["operation", "scope", "effect", "decision", "reason", "credential", "grant_id", "rules"]
    print_rows(args, rows, columns, when_empty="The catalogue is empty.")
    return 0


def _describe(operation: Operation) -> dict[str, Any]:
    return {
        "operation": operation.name,
        "path": operation.path.decode("ascii"),
        "scope": operation.scope.value,
        "effect": operation.effect.value,
        "status": operation.status,
        "served": operation.is_served,
        "parameters": sorted(operation.parameters),
    }


def _judge(caller: Caller | None, operation: Operation) -> dict[str, Any]:
    """
    What is decided of a call whose parameters pass the rules of the oldest grant; they are shown beside it.
    """
    from gateway.access.explain import survey

    decision = survey(caller, operation)
    grant = decision.grant
    return {
        "decision": "allow" if decision.allowed else "deny",
        "reason": decision.reason.code if decision.reason else None,
        "credential": grant.credential.name if grant else None,
        "grant_id": grant.grant_id if grant else None,
        "rules": [str(rule) for rule in grant.rules] if grant else [],
    }
