"""
`init`: the data folder and its keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli.output import print_change, print_note
from gateway.cli.parser import add_verb

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from gateway.cli.parser import Nouns, SettingsLoader

__all__ = ["add_parser"]


def add_parser(nouns: Nouns) -> None:
    """
    Declare the verb.
    """
    add_verb(
        nouns,
        "init",
        _init,
        summary="Make the data folder with its keys, registry and journal.",
        explanation="It may be run again: what is there stays as it is, and no key is ever replaced.",
        examples=["noojee-gateway init", "GATEWAY_DATA_DIR=/var/lib/noojee-gateway noojee-gateway init"],
    )


def _init(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import installation
    from gateway.administration.data_folder import check_new_data_folder
    from gateway.clock import SystemClock

    settings = load_settings()
    check_new_data_folder(settings.data_dir)
    done = installation.init(
        data_dir=settings.data_dir,
        run_dir=settings.run_dir,
        master_key_file=settings.master_key_file,
        node=settings.node,
        clock=SystemClock(),
    )
    created = ", ".join(done["created"])
    what = f"made {created}" if created else "nothing to do"
    print_change(args, done, f"{done['data_dir']}: {what}")
    if created and not args.json:
        print_note(
            f"{_find_what_to_keep(settings.master_key_file)} away from this machine: without it no stored key can be "
            "opened."
        )
    return 0


def _find_what_to_keep(master_key_file: Path) -> str:
    """
    The file of the master key, and no path that is gone when this command has ended.
    """
    from gateway.settings.sources import find_credentials_dir

    folder = find_credentials_dir()
    if folder is not None and master_key_file.absolute().is_relative_to(folder.absolute()):
        return "The master key came as a credential of systemd. Keep a copy of the file that it comes from"
    return f"Keep a copy of {master_key_file}"
