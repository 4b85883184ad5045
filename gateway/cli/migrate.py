"""
`migrate`: the registry's schema, up to this release's or down to an older one's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli.output import print_change, print_note
from gateway.cli.parser import add_verb

if TYPE_CHECKING:
    import argparse

    from gateway.cli.parser import Nouns, SettingsLoader

__all__ = ["add_parser"]


def add_parser(nouns: Nouns) -> None:
    """
    Declare the verb.
    """
    verb = add_verb(
        nouns,
        "migrate",
        _migrate,
        summary="Bring the registry's schema to this release's revision, or to an older one.",
        explanation="`serve` and every verb migrate upwards by themselves. Before an older release is run again, stop "
        "the gateway, step down to that release's revision with this release, and run no other command of this one "
        "afterwards. What the older revision cannot hold is named, and nothing is changed. Make a backup first.",
        examples=["noojee-gateway migrate", "noojee-gateway migrate --to 0001"],
    )
    verb.add_argument(
        "--to", dest="revision", metavar="REVISION", help="a revision of the schema; the newest without it"
    )


def _migrate(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration.data_folder import check_data_folder
    from gateway.administration.migration import migrate
    from gateway.clock import SystemClock

    settings = load_settings()
    check_data_folder(settings.data_dir)
    done = migrate(data_dir=settings.data_dir, node=settings.node, clock=SystemClock(), revision=args.revision)
    sentence = (
        f"the registry was migrated from revision {done['from']} to {done['to']}"
        if done["migrated"]
        else f"nothing to do: the registry is at revision {done['to']}"
    )
    print_change(args, done, sentence)
    if done["migrated"] and done["to"] != done["newest"]:
        print_note("Run the older release now: any other command of this one brings the schema up again.")
    return 0
