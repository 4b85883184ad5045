"""
`apply`: make the registry what a document says.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.desk import open_desk
from gateway.cli.output import print_note, print_value
from gateway.cli.parser import add_verb
from gateway.cli.streams import flush_output, write_output
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    import argparse

    from gateway.administration.declaration_step import Plan
    from gateway.cli.parser import Nouns, SettingsLoader

__all__ = ["add_parser"]

_STANDARD_INPUT = "-"

_SIGNS = {"add": "+", "change": "~", "remove": "-"}


def add_parser(nouns: Nouns) -> None:
    """
    Declare the verb.
    """
    verb = add_verb(
        nouns,
        "apply",
        _apply,
        summary="Make upstreams, credentials, callers and grants what a document says.",
        explanation="The plan is shown first: + is added, ~ changed, - removed. Nothing is removed without --prune. "
        "Each step is one change on the journal, and in force within a second; a second time nothing is done. A key "
        "never stands in the document: it names a file, or asks for standard input, one key a line in the document's "
        "order. Tokens are not in it either, and stay. From standard input (-f -) its paths are seen from the working "
        "folder, and no key can come from there too.",
        examples=[
            "noojee-gateway apply -f gateway.toml --dry-run",
            "noojee-gateway apply -f gateway.yaml",
            "noojee-gateway apply -f gateway.toml --prune --json",
            "noojee-gateway apply -f - < gateway.toml",
        ],
    )
    verb.add_argument(
        "-f", "--file", required=True, metavar="F", help="the document, .toml or .yaml; - is standard input"
    )
    verb.add_argument(
        "--format", choices=("toml", "yaml"), help="how to read it (as its name ends; toml for standard input)"
    )
    verb.add_argument("--dry-run", action="store_true", help="show the plan and change nothing")
    verb.add_argument("--prune", action="store_true", help="remove what the document does not have")


def _apply(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration.declaration import parse_declaration
    from gateway.administration.declaration_plan import carry_out, make_plan
    from gateway.cli.secret_input import read_secrets

    declaration = parse_declaration(_read(args.file, args.format))
    how: dict[str, Any] = {"folder": Path(args.file).parent, "prune": args.prune}
    with open_desk(load_settings) as desk:
        plan = make_plan(desk, declaration, **how)
        if args.file == _STANDARD_INPUT and not args.dry_run:
            _check_no_key_is_to_enter(plan)
        if not args.json:
            _print_plan(plan)
        if plan.steps and not args.dry_run:
            is_key = all(" " not in name for name in plan.keys_to_enter)
            keys = read_secrets(plan.keys_to_enter, "Noojee API key" if is_key else "secret")
            carry_out(desk, plan, declaration, keys, **how)
    if args.json:
        print_value({"dry_run": args.dry_run, **plan.render()})
    elif plan.steps:
        count = f"{len(plan.steps)} change{'s' if len(plan.steps) > 1 else ''}"
        write_output(f"{count} planned, none made\n" if args.dry_run else f"{count} made\n")
    return 0


def _read(name: str, form: str | None) -> dict[str, Any]:
    from gateway.administration.declaration_text import read_document, read_document_from

    if name == _STANDARD_INPUT:
        return read_document_from(sys.stdin.buffer, form or "toml", "The document on standard input")
    return read_document(Path(name), form)


def _check_no_key_is_to_enter(plan: Plan) -> None:
    """
    Refuses what would wait for keys where the document has come from.

    Raises:
        OperatorError: `invalid`.
    """
    if plan.keys_to_enter:
        raise OperatorError(
            OperatorReason.INVALID,
            f"Standard input held the document, and is to hold what is needed for {', '.join(plan.keys_to_enter)}, "
            "too. Name files in the document, add these by their verbs first, or put the document into a file. "
            "Nothing was changed.",
        )


def _print_plan(plan: Plan) -> None:
    for note in plan.notes:
        print_note(note)
    for each in plan.left:
        what = f"{each.what} {each.name}{f' of {each.caller}' if each.caller else ''}"
        print_note(f"{what} is not in the document and stays; --prune removes it")
    for step in plan.steps:
        write_output(_render(step.render()))
    if not plan.steps:
        write_output("nothing to do\n")
    flush_output()  # before a prompt, and before anything is changed


def _render(step: dict[str, Any]) -> str:
    name = f" {step['name']}" if "name" in step else ""
    whose = f" {'for' if step['action'] == 'add' else 'of'} {step['caller']}" if "caller" in step else ""
    details = (_render_detail(member, value, step["action"]) for member, value in step["details"].items())
    told = ", ".join(each for each in details if each)
    return f"{_SIGNS[step['action']]} {step['what']}{name}{whose}{f': {told}' if told else ''}\n"


def _render_detail(member: str, value: Any, action: str) -> str:
    if action == "change":
        before, after = map(_render_value, value)
        return f"{member} {before} -> {after}"
    return f"{member} {_render_value(value)}" if value not in (None, []) else ""


def _render_value(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None | []:
            return "none"
        case list():
            return " ".join(map(str, value))
        case _:
            return str(value)
