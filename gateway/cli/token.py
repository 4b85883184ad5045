"""
`token`: what callers present instead of a Noojee key.

Law 3: `issue` prints a token once, on standard output; no other verb prints or takes one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli.desk import open_desk
from gateway.cli.output import print_change, print_rows
from gateway.cli.parser import add_noun, add_verb, parse_expiry

if TYPE_CHECKING:
    import argparse

    from gateway.cli.parser import Nouns, SettingsLoader

__all__ = ["add_parser"]


def add_parser(nouns: Nouns) -> None:
    """
    Declare the verbs.
    """
    verbs = add_noun(nouns, "token", "What callers present instead of a Noojee key.")
    issue = add_verb(
        verbs,
        "issue",
        _issue,
        summary="Make a token for a caller and print it, once and never again.",
        explanation="Without --expires it is valid until it is revoked.",
        examples=["noojee-gateway token issue crm --expires 90d > crm.token"],
    )
    issue.add_argument("caller", metavar="CALLER")
    issue.add_argument("--expires", type=parse_expiry, metavar="90d", help="how long it is valid: 12h, 90d")
    listing = add_verb(
        verbs,
        "list",
        _list,
        summary="List the tokens of a caller, or of all, by their public ids.",
        examples=["noojee-gateway token list crm"],
    )
    listing.add_argument("caller", metavar="CALLER", nargs="?")
    revoke = add_verb(
        verbs,
        "revoke",
        _revoke,
        summary="End a token; returns when every running gateway refuses it.",
        examples=["noojee-gateway token revoke TOKEN_ID"],
    )
    revoke.add_argument("token_id", metavar="TOKEN_ID")


def _issue(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import tokens

    with open_desk(load_settings) as desk:
        issued, token = tokens.issue(desk, args.caller, expires_in=args.expires)
    value = {
        "token_id": issued["token_id"],
        "caller": issued["caller"],
        "token": token.reveal(),
        "expires_at": issued["expires_at"],
    }
    print_change(args, value, token.reveal())
    return 0


def _list(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import tokens

    with open_desk(load_settings) as desk:
        rows = tokens.find_all(desk, args.caller)
    print_rows(
        args,
        rows,
        ("token_id", "caller", "state", "issued_at", "expires_at", "revoked_at"),
        when_empty="There is no token yet; issue one with `noojee-gateway token issue CALLER`.",
    )
    return 0


def _revoke(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import tokens

    with open_desk(load_settings) as desk:
        tokens.revoke(desk, args.token_id)
    print_change(args, {"token_id": args.token_id, "state": "revoked"}, f"token {args.token_id} revoked")
    return 0
