"""
`caller`: the internal programs that hold tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli.desk import open_desk
from gateway.cli.output import print_change, print_fields, print_rows
from gateway.cli.parser import add_noun, add_verb

if TYPE_CHECKING:
    import argparse

    from gateway.cli.parser import Nouns, SettingsLoader

__all__ = ["add_parser"]

_FROM_HELP = "a network it may call from, repeatable; a plain address is that one host"


def add_parser(nouns: Nouns) -> None:
    """
    Declare the verbs.
    """
    verbs = add_noun(nouns, "caller", "The internal programs that hold local tokens.")
    add = add_verb(
        verbs,
        "add",
        _add,
        summary="Name a program that will call.",
        explanation="Without --from it may call from anywhere.",
        examples=["noojee-gateway caller add crm --from 10.1.0.0/16 --from 10.2.0.7 --no-query-token"],
    )
    add.add_argument("name", metavar="NAME")
    add.add_argument("--from", dest="networks", action="append", default=[], metavar="CIDR", help=_FROM_HELP)
    add.add_argument("--no-query-token", action="store_true", help="refuse its token in the query string")
    add_verb(verbs, "list", _list, summary="List the callers.", examples=["noojee-gateway caller list"])
    show = add_verb(
        verbs,
        "show",
        _show,
        summary="Show one caller with its grants and tokens.",
        examples=["noojee-gateway caller show crm"],
    )
    show.add_argument("name", metavar="NAME")
    _add_set(verbs)
    for name, run, summary in (
        ("disable", _disable, "Refuse all of a caller's tokens; returns when every running gateway does."),
        ("enable", _enable, "Let a disabled caller call again."),
        ("remove", _remove, "Remove a caller, its tokens and grants; returns when every running gateway refuses it."),
    ):
        verb = add_verb(verbs, name, run, summary=summary, examples=[f"noojee-gateway caller {name} crm"])
        verb.add_argument("name", metavar="NAME")


def _add_set(verbs: Nouns) -> None:
    change = add_verb(
        verbs,
        "set",
        _set,
        summary="Change where a caller may call from, or how it may present its token.",
        explanation="The networks given replace those before.",
        examples=["noojee-gateway caller set crm --from 10.3.0.0/16", "noojee-gateway caller set crm --from-anywhere"],
    )
    change.add_argument("name", metavar="NAME")
    networks = change.add_mutually_exclusive_group()
    networks.add_argument("--from", dest="networks", action="append", metavar="CIDR", help=_FROM_HELP)
    networks.add_argument(
        "--from-anywhere", dest="networks", action="store_const", const=[], help="let it call from any network"
    )
    query = change.add_mutually_exclusive_group()
    query.add_argument(
        "--no-query-token",
        dest="query_token_allowed",
        action="store_false",
        default=None,
        help="refuse its token in the query string",
    )
    query.add_argument(
        "--query-token",
        dest="query_token_allowed",
        action="store_true",
        default=None,
        help="accept its token in the query string, where Noojee's own clients put a key",
    )


def _add(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import callers

    with open_desk(load_settings) as desk:
        added = callers.add(desk, args.name, networks=args.networks, query_token_allowed=not args.no_query_token)
    print_change(args, added, f"caller {args.name} added")
    return 0


def _list(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import callers

    with open_desk(load_settings) as desk:
        rows = callers.find_all(desk)
    print_rows(
        args,
        rows,
        ("name", "networks", "query_token_allowed", "state"),
        when_empty="There is no caller yet; add one with `noojee-gateway caller add NAME`.",
    )
    return 0


def _show(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import callers

    with open_desk(load_settings) as desk:
        found = callers.get(desk, args.name)
    print_fields(args, found)
    return 0


def _set(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import callers

    if args.networks is None and args.query_token_allowed is None:
        args.reached.error("say what to change: --from, --from-anywhere, --query-token or --no-query-token")
    with open_desk(load_settings) as desk:
        changed = callers.change(desk, args.name, networks=args.networks, query_token_allowed=args.query_token_allowed)
    print_change(args, changed, f"caller {args.name} changed")
    return 0


def _disable(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import callers

    with open_desk(load_settings) as desk:
        callers.disable(desk, args.name)
    print_change(args, {"name": args.name, "state": "disabled"}, f"caller {args.name} disabled")
    return 0


def _enable(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import callers

    with open_desk(load_settings) as desk:
        callers.enable(desk, args.name)
    print_change(args, {"name": args.name, "state": "active"}, f"caller {args.name} enabled")
    return 0


def _remove(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import callers

    with open_desk(load_settings) as desk:
        callers.remove(desk, args.name)
    print_change(args, {"name": args.name, "removed": True}, f"caller {args.name} removed")
    return 0
