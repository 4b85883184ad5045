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
_LIMITS = (
    ("--rate", "RATE", "calls a second or a minute, as in 20/s or 90/m; 1000/s when nothing is said"),
    (
        "--burst",
        "N",
        "how many may come at once before the rate bounds them; 10000, or two seconds of the rate that is given",
    ),
    (
        "--concurrency",
        "N",
        "how many may be under way at one time, waiting polls among them; 2500 when nothing is said",
    ),
)


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
        explanation="Without --from it may call from anywhere. What is beyond its limits gets 429 and Retry-After.",
        examples=[
            "noojee-gateway caller add crm --from 10.1.0.0/16 --from 10.2.0.7 --no-query-token",
            "noojee-gateway caller add wallboard --rate 20/s --burst 40 --concurrency 50",
        ],
    )
    add.add_argument("name", metavar="NAME")
    add.add_argument("--from", dest="networks", action="append", default=[], metavar="CIDR", help=_FROM_HELP)
    add.add_argument("--no-query-token", action="store_true", help="refuse its token in the query string")
    _add_limits(add)
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
        summary="Change where a caller may call from, how it may present its token, or how much it may call.",
        explanation="The networks given replace those before. A limit of `default` takes one back.",
        examples=[
            "noojee-gateway caller set crm --from 10.3.0.0/16",
            "noojee-gateway caller set crm --from-anywhere",
            "noojee-gateway caller set crm --rate 20/s --burst 40 --concurrency 50",
        ],
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
    _add_limits(change)


def _add_limits(verb: argparse.ArgumentParser) -> None:
    for option, metavar, meaning in _LIMITS:
        verb.add_argument(option, metavar=metavar, help=meaning)


def _read_limits(args: argparse.Namespace) -> dict[str, str | None]:
    return {"rate": args.rate, "burst": args.burst, "concurrency": args.concurrency}


def _add(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import callers

    with open_desk(load_settings) as desk:
        added = callers.add(
            desk,
            args.name,
            networks=args.networks,
            query_token_allowed=not args.no_query_token,
            **_read_limits(args),
        )
    print_change(args, added, f"caller {args.name} added")
    return 0


def _list(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import callers

    with open_desk(load_settings) as desk:
        rows = callers.find_all(desk)
    print_rows(
        args,
        rows,
        ("name", "networks", "query_token_allowed", "rate", "burst", "concurrency", "state"),
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

    limits = _read_limits(args)
    if args.networks is None and args.query_token_allowed is None and not any(limits.values()):
        args.reached.error(
            "say what to change: --from, --from-anywhere, --query-token, --no-query-token, --rate, --burst or "
            "--concurrency"
        )
    with open_desk(load_settings) as desk:
        changed = callers.change(
            desk, args.name, networks=args.networks, query_token_allowed=args.query_token_allowed, **limits
        )
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
