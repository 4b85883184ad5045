"""
`grant`: what a caller may do, and with which credential.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from gateway.cli.desk import open_desk
from gateway.cli.output import print_change, print_rows
from gateway.cli.parser import add_noun, add_verb

if TYPE_CHECKING:
    from gateway.cli.parser import Nouns, SettingsLoader

__all__ = ["add_parser"]


def add_parser(nouns: Nouns) -> None:
    """
    Declare the verbs.
    """
    verbs = add_noun(nouns, "grant", "What a caller may do, and with which credential.")
    add = add_verb(
        verbs,
        "add",
        _add,
        summary="Let a caller use a credential for some operations.",
        explanation="Operations are named as Family/method, as `noojee-gateway operations` lists them; * stands for "
        "any run of characters. An operation that is not listed is granted by its full path. A rule says which values "
        "a parameter may have: numbers, ranges, prefixes and exact texts, with commas between them; extension stands "
        "for exten and extenOrUniqueId. Without a rule every value is allowed.",
        examples=[
            "noojee-gateway grant add crm --credential noojee-global --operations CallManagementAPI/stop",
            "noojee-gateway grant add crm --credential maria --operations 'CampaignAPI/*'",
            "noojee-gateway grant add crm --credential noojee-global --operations '*/dial' --param 'number=04*'",
        ],
    )
    add.add_argument("caller", metavar="CALLER")
    add.add_argument("--credential", required=True, metavar="C", help="the credential that goes up")
    add.add_argument(
        "--operations", required=True, action="append", metavar="GLOB", help="what it may do, repeatable; quote the *"
    )
    add.add_argument(
        "--param",
        dest="rules",
        type=_parse_rule,
        action="append",
        default=[],
        metavar="NAME=RULE",
        help="which values a parameter may have, repeatable; it must then be sent, and nothing undocumented may be",
    )
    add.add_argument(
        "--allow-unique-ids",
        action="store_true",
        help="with a rule on extension: let calls be named by unique id, which the rule cannot check",
    )
    listing = add_verb(
        verbs,
        "list",
        _list,
        summary="List a caller's grants, the oldest first.",
        examples=["noojee-gateway grant list crm"],
    )
    listing.add_argument("caller", metavar="CALLER")
    remove = add_verb(
        verbs,
        "remove",
        _remove,
        summary="Take a grant back.",
        examples=["noojee-gateway grant remove GRANT_ID"],
    )
    remove.add_argument("grant_id", metavar="GRANT_ID")


def _parse_rule(text: str) -> tuple[str, str]:
    name, equals, rule = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError("must be NAME=RULE, as in extension=400-450,500")
    return name, rule


def _add(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import grants

    with open_desk(load_settings) as desk:
        added = grants.add(
            desk,
            args.caller,
            credential=args.credential,
            operations=args.operations,
            rules=args.rules,
            allow_unique_ids=args.allow_unique_ids,
        )
    print_change(args, added, f"grant {added['grant_id']} added")
    return 0


def _list(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import grants

    with open_desk(load_settings) as desk:
        rows = grants.find_all(desk, args.caller)
    print_rows(
        args,
        rows,
        ("grant_id", "credential", "operations", "rules", "allow_unique_ids"),
        when_empty=f"{args.caller} has no grant yet; add one with `noojee-gateway grant add {args.caller}`.",
    )
    return 0


def _remove(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import grants

    with open_desk(load_settings) as desk:
        grants.remove(desk, args.grant_id)
    print_change(args, {"grant_id": args.grant_id, "removed": True}, f"grant {args.grant_id} removed")
    return 0
