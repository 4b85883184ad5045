"""
`explain`: what the gateway would decide for a call, by the code that decides calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli.desk import open_desk
from gateway.cli.output import print_note, print_value
from gateway.cli.parser import add_verb
from gateway.cli.streams import write_output
from gateway.errors import Reason

if TYPE_CHECKING:
    import argparse

    from gateway.access.caller import Caller
    from gateway.access.explain import Explanation
    from gateway.access.snapshot import Snapshot
    from gateway.administration.desk import Desk
    from gateway.cli.parser import Nouns, SettingsLoader

__all__ = ["add_parser", "find_caller"]


def add_parser(nouns: Nouns) -> None:
    """
    Declare the verb.
    """
    verb = add_verb(
        nouns,
        "explain",
        _explain,
        summary="Say whether a caller may make a call, and why; nothing is sent.",
        explanation="The exit code is 0 when it may and 1 when it may not.",
        examples=["noojee-gateway explain crm CallManagementAPI/stop extenOrUniqueId=410"],
    )
    verb.add_argument("caller", metavar="CALLER")
    verb.add_argument("operation", metavar="OPERATION", help="Family/method, or the path")
    verb.add_argument("parameters", metavar="PARAM=VALUE", nargs="*", help="what the call would carry")


def find_caller(desk: Desk, snapshot: Snapshot, name: str) -> Caller | None:
    """
    A caller as calls see it: None when it is disabled, which no snapshot shows.

    Raises:
        OperatorError: `not_found` when there is none of that name.
    """
    from gateway.administration import callers

    caller = snapshot.callers.get(name)
    if caller is None:
        callers.get(desk, name)  # tells that there is none
    return caller


def _explain(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.access.explain import explain
    from gateway.noojee.catalogue import load_catalogue

    if not all("=" in word for word in args.parameters):
        args.reached.error("what stands after the operation must be PARAM=VALUE")
    pairs = [(name, value) for name, _, value in (word.partition("=") for word in args.parameters)]
    with open_desk(load_settings) as desk:
        snapshot = desk.read_snapshot(with_tokens=False)
        caller = find_caller(desk, snapshot, args.caller)
        number_country = desk.number_country
    explanation = explain(caller, load_catalogue(), args.operation, pairs, number_country)
    if args.json:
        print_value(explanation.as_json(snapshot.version))
    else:
        write_output(_render(args, explanation))
        if caller is None:
            print_note(f"The caller is disabled. Let it call again with `noojee-gateway caller enable {args.caller}`.")
    return 0 if explanation.decision.allowed else 1


def _render(args: argparse.Namespace, explanation: Explanation) -> str:
    decision = explanation.decision
    grant = decision.grant
    using = f"grant {grant.grant_id}, credential {grant.credential.name}" if grant is not None else "no grant"
    if decision.reason is None:
        return f"allow: {args.caller} may call {args.operation} ({using})\n"
    rule = f", rule {decision.rule}" if decision.rule is not None else ""
    detail = f" {decision.detail}" if decision.detail is not None else ""
    advice = _advise(args, decision.reason)
    return f"deny: {decision.reason.code} ({using}{rule})\n{decision.reason.title}.{detail} {advice}\n"


def _advise(args: argparse.Namespace, reason: Reason) -> str:
    """
    What the operator can do; the reason's own advice speaks to the caller.
    """
    if reason is Reason.OPERATION_NOT_GRANTED:
        return (
            f"Grant it with `noojee-gateway grant add {args.caller} --credential NAME --operations {args.operation}`."
        )
    if reason is Reason.PARAMETER_NOT_GRANTED:
        return (
            f"`noojee-gateway grant list {args.caller}` shows its rules; to widen one, add a grant and remove this one."
        )
    if reason is Reason.OPERATION_UNKNOWN and args.operation.startswith("/"):
        return f"An operation outside the catalogue is granted by its full path. {reason.advice}"
    return reason.advice
