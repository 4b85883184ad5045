"""
`upstream`: the Noojee that credentials belong to.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.desk import open_desk
from gateway.cli.output import print_change, print_fields, print_rows
from gateway.cli.parser import add_noun, add_verb
from gateway.cli.secret_input import read_secret, read_secrets
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from gateway.cli.parser import Nouns, Parser, SettingsLoader

__all__ = ["add_parser"]


def add_parser(nouns: Nouns) -> None:
    """
    Declare the verbs.
    """
    verbs = add_noun(nouns, "upstream", "The Noojee that calls are forwarded to.")
    add = add_verb(
        verbs,
        "add",
        _add,
        summary="Name a Noojee by its URL, which is https and nothing else.",
        examples=[
            "noojee-gateway upstream add noojee --url https://noojee.example.com",
            "noojee-gateway upstream add noojee --url https://10.0.0.5:8443/contact --ca-file ca.pem",
            "noojee-gateway upstream add old-noojee --url https://noojee.example.com --auth hash",
        ],
    )
    add.add_argument("name", metavar="NAME")
    add.add_argument("--url", required=True, metavar="https://HOST[:PORT][/PREFIX]", help="where it is")
    _add_options(add)
    add.set_defaults(auth="api-key")
    add_verb(verbs, "list", _list, summary="List the upstreams.", examples=["noojee-gateway upstream list"])
    show = add_verb(
        verbs, "show", _show, summary="Show one upstream.", examples=["noojee-gateway upstream show noojee"]
    )
    show.add_argument("name", metavar="NAME")
    change = add_verb(
        verbs,
        "set",
        _set,
        summary="Change an upstream.",
        explanation="A sealed key opens for one host and port only, so that nobody can send it elsewhere by changing a "
        "URL: with another host or port every key must be entered again, at prompts, or one a line on standard input "
        "in the order of the credentials' names. When Noojee was upgraded to Administrator 4.9.0.10, --auth api-key "
        "ends the hash method within a second; running calls go on.",
        examples=[
            "noojee-gateway upstream set noojee --ca-file new-ca.pem",
            "noojee-gateway upstream set noojee --auth api-key",
            "noojee-gateway upstream set noojee --url https://noojee2.example.com < keys.txt",
            "noojee-gateway upstream set noojee --proxy http://gateway@proxy.example.com:3128 < password.txt",
        ],
    )
    change.add_argument("name", metavar="NAME")
    change.add_argument("--url", metavar="https://HOST[:PORT][/PREFIX]", help="where it is now")
    _add_options(change)
    remove = add_verb(
        verbs,
        "remove",
        _remove,
        summary="Remove an upstream that no credential belongs to.",
        examples=["noojee-gateway upstream remove noojee"],
    )
    remove.add_argument("name", metavar="NAME")


def _add_options(parser: Parser) -> None:
    parser.add_argument(
        "--auth",
        choices=("api-key", "hash"),
        help="how it takes the key: api-key (when added without it), or hash for Administrator before 4.9.0.10",
    )
    parser.add_argument("--ca-file", type=Path, metavar="F", help="PEM certificates to trust instead of the system's")
    parser.add_argument(
        "--proxy",
        metavar="http://[USER@]HOST:PORT",
        help="a proxy to go through by CONNECT, its user's password on standard input; none for no proxy",
    )
    parser.add_argument(
        "--pin",
        action="append",
        dest="pins",
        metavar="sha256//BASE64",
        help="a public key that the certificate must have, as curl's --pinnedpubkey; repeatable; none for no pin",
    )
    parser.add_argument(
        "--allow-old-tls",
        action=argparse.BooleanOptionalAction,
        help="take TLS 1.0 and 1.1 and weak signatures; only together with a pin",
    )


def _add(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import upstreams

    ca_pem = _read_ca_file(args.ca_file)
    with open_desk(load_settings) as desk:
        added = upstreams.add(desk, args.name, url=args.url, auth=args.auth, ca_pem=ca_pem, **_read_way(args))
    print_change(args, added, f"upstream {args.name} added")
    return 0


def _list(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import upstreams

    with open_desk(load_settings) as desk:
        rows = upstreams.find_all(desk)
    print_rows(
        args,
        rows,
        ("name", "url", "auth", "ca"),
        when_empty="There is no upstream yet; add one with `noojee-gateway upstream add NAME --url https://HOST`.",
    )
    return 0


def _show(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import upstreams

    with open_desk(load_settings) as desk:
        found = upstreams.get(desk, args.name)
    print_fields(args, found)
    return 0


def _set(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import upstreams

    if all(given is None for given in (args.url, args.auth, args.ca_file, args.proxy, args.pins, args.allow_old_tls)):
        args.reached.error("say what to change: --url, --auth, --ca-file, --proxy, --pin or --allow-old-tls")
    if args.url is not None and args.proxy is not None:
        args.reached.error("--url and --proxy each take secrets from standard input; give them in two commands")
    ca_pem = _read_ca_file(args.ca_file)
    with open_desk(load_settings) as desk:
        names = upstreams.credentials_to_enter(desk, args.name, args.url) if args.url is not None else []
        keys = read_secrets(names, "Noojee API key")
        changed = upstreams.change(
            desk, args.name, url=args.url, auth=args.auth, ca_pem=ca_pem, keys=keys, **_read_way(args)
        )
    print_change(args, changed, f"upstream {args.name} changed")
    return 0


def _remove(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import upstreams

    with open_desk(load_settings) as desk:
        upstreams.remove(desk, args.name)
    print_change(args, {"name": args.name, "removed": True}, f"upstream {args.name} removed")
    return 0


def _read_way(args: argparse.Namespace) -> dict[str, Any]:
    from gateway.administration.upstream_way import needs_password

    password = read_secret("proxy's password") if needs_password(args.proxy) else None
    return {
        "proxy": args.proxy,
        "proxy_password": password,
        "pins": args.pins,
        "allow_old_tls": args.allow_old_tls,
    }


def _read_ca_file(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror
    except UnicodeDecodeError:
        reason = "it is not PEM text"
    raise OperatorError(OperatorReason.INVALID, f"The file {path} of --ca-file cannot be read: {reason}.")
