"""
`credential`: the keys that Noojee issued to us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli.desk import open_desk
from gateway.cli.output import print_change, print_rows
from gateway.cli.parser import add_noun, add_verb
from gateway.cli.secret_input import read_secret

if TYPE_CHECKING:
    import argparse

    from gateway.cli.parser import Nouns, SettingsLoader

__all__ = ["add_parser"]


def add_parser(nouns: Nouns) -> None:
    """
    Declare the verbs.
    """
    verbs = add_noun(nouns, "credential", "Noojee's own API keys, sealed at rest.")
    add = add_verb(
        verbs,
        "add",
        _add,
        summary="Seal a Noojee API key, read from standard input or a prompt.",
        explanation="A global key opens everything; a user key opens the campaign calls of its owner's teams.",
        examples=[
            "noojee-gateway credential add noojee-global --upstream noojee --kind global < key.txt",
            "noojee-gateway credential add maria --upstream noojee --kind user --owner maria",
        ],
    )
    add.add_argument("name", metavar="NAME")
    add.add_argument("--upstream", required=True, metavar="U", help="the upstream that issued it")
    add.add_argument("--kind", required=True, choices=("global", "user"), help="which kind of key it is")
    add.add_argument("--owner", metavar="LOGIN", help="the Noojee user whose key it is; with --kind user")
    add_verb(
        verbs,
        "list",
        _list,
        summary="List the credentials, never their keys.",
        examples=["noojee-gateway credential list"],
    )
    rotate = add_verb(
        verbs,
        "rotate",
        _rotate,
        summary="Put a new key, read from standard input or a prompt, in the place of a credential's.",
        explanation="No call fails: when it returns, every new call goes up with the new key, and those under way end "
        "with the old one. So withdraw the old key in Noojee a while later.",
        examples=["noojee-gateway credential rotate noojee-global < new-key.txt"],
    )
    rotate.add_argument("name", metavar="NAME")
    remove = add_verb(
        verbs,
        "remove",
        _remove,
        summary="Destroy our copy of a key; ends when no running gateway uses it any more.",
        explanation="Grants that name it stay and refuse their calls. Revoke the key in Noojee too.",
        examples=["noojee-gateway credential remove maria"],
    )
    remove.add_argument("name", metavar="NAME")


def _add(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import credentials

    with open_desk(load_settings) as desk:
        key = read_secret("Noojee API key")
        added = credentials.add(desk, args.name, upstream=args.upstream, kind=args.kind, owner=args.owner, key=key)
    print_change(args, added, f"credential {args.name} added")
    return 0


def _list(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import credentials

    with open_desk(load_settings) as desk:
        rows = credentials.find_all(desk)
    print_rows(
        args,
        rows,
        ("name", "upstream", "kind", "owner", "state"),
        when_empty="There is no credential yet; add one with `noojee-gateway credential add`.",
    )
    return 0


def _rotate(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import credentials

    with open_desk(load_settings) as desk:
        rotated = credentials.rotate(desk, args.name, key=read_secret("Noojee API key"))
    sentence = "rotated" if rotated["rotated"] else "holds that key already"
    print_change(args, rotated, f"credential {args.name} {sentence}")
    return 0


def _remove(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import credentials

    with open_desk(load_settings) as desk:
        credentials.remove(desk, args.name)
    print_change(args, {"name": args.name, "removed": True}, f"credential {args.name} removed")
    return 0
