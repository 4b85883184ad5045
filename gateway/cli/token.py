"""
`token`: what callers present instead of a Noojee key.

Law 3: `issue` and `rotate` print a token once, on standard output; no other verb prints or takes one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from gateway.cli.desk import open_desk
from gateway.cli.output import print_change, print_rows
from gateway.cli.parser import add_noun, add_verb, parse_expiry, parse_overlap

if TYPE_CHECKING:
    import argparse

    from gateway.administration.desk import Desk
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
    rotate = add_verb(
        verbs,
        "rotate",
        _rotate,
        summary="Make a token in the place of another and print it, once and never again.",
        explanation="Both are valid during the overlap. The new one is valid as long as the old one was made to be, "
        "counted from now.",
        examples=[
            "noojee-gateway token rotate TOKEN_ID --overlap 24h > crm.token",
            "noojee-gateway token rotate TOKEN_ID --overlap 0s > crm.token",
        ],
    )
    rotate.add_argument("token_id", metavar="TOKEN_ID")
    rotate.add_argument(
        "--overlap", type=parse_overlap, metavar="24h", help="how long the old one still works; 24h, 0s to end it now"
    )
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


def _rotate(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import tokens

    overlap = args.overlap if args.overlap is not None else timedelta(hours=24)
    with open_desk(load_settings) as desk:
        rotated, token = tokens.rotate(desk, args.token_id, overlap=overlap)
        value = {
            "token_id": rotated["token_id"],
            "caller": rotated["caller"],
            "token": token.reveal(),
            "expires_at": rotated["expires_at"],
            "replaces": rotated["replaces"],
            "old_expires_at": rotated["old_expires_at"],
        }
        print_change(args, value, token.reveal())
        if not overlap:
            # It comes after the print: a worker that does not answer must not cost the caller its only token.
            _await_end(desk, args.token_id)
    return 0


def _await_end(desk: Desk, token_id: str) -> None:
    """
    Return when every running worker refuses a token that is revoked.
    """
    from gateway.administration import tokens
    from gateway.errors import OperatorError, OperatorReason

    try:
        tokens.revoke(desk, token_id)
    except OperatorError as error:
        if error.reason is not OperatorReason.NOT_ACKNOWLEDGED:
            raise
        raise OperatorError(
            error.reason,
            "The new token is the one that was printed. The old one is revoked, but a running worker did not "
            f"acknowledge that within 2 seconds and may still accept it. Wait for it with `noojee-gateway token revoke "
            f"{token_id}`; if that fails, restart the gateway.",
        ) from None


def _revoke(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import tokens

    with open_desk(load_settings) as desk:
        tokens.revoke(desk, args.token_id)
    print_change(args, {"token_id": args.token_id, "state": "revoked"}, f"token {args.token_id} revoked")
    return 0
