"""
`master-key`: the key under which everything else at rest is sealed.

Law 3: no verb prints or takes one; versions are numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli.desk import open_desk
from gateway.cli.output import print_change
from gateway.cli.parser import add_noun, add_verb

if TYPE_CHECKING:
    import argparse

    from gateway.cli.parser import Nouns, SettingsLoader

__all__ = ["add_parser"]


def add_parser(nouns: Nouns) -> None:
    """
    Declare the verbs.
    """
    verbs = add_noun(nouns, "master-key", "The key under which Noojee's keys are sealed.")
    add_verb(
        verbs,
        "rotate",
        _rotate,
        summary="Seal everything under a new version of the master key, while the gateway serves.",
        explanation="Interrupted, it goes on where it stopped when it is repeated. The old version stays in the file "
        "until it is pruned. Back the file up before and after.",
        examples=["noojee-gateway master-key rotate"],
    )
    add_verb(
        verbs,
        "prune",
        _prune,
        summary="Remove the old versions from the master key's file; refused while something is sealed under them.",
        explanation="Backups from before the rotation do not open any more, and neither does another data folder that "
        "uses the same file.",
        examples=["noojee-gateway master-key prune"],
    )


def _rotate(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import keys
    from gateway.settings.sources import find_credentials_dir

    with open_desk(load_settings) as desk:
        rotated = keys.rotate(desk, credentials_dir=find_credentials_dir())
    print_change(args, rotated, f"everything is sealed under version {rotated['version']} of the master key")
    return 0


def _prune(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration import keys
    from gateway.settings.sources import find_credentials_dir

    with open_desk(load_settings) as desk:
        pruned = keys.prune(desk, credentials_dir=find_credentials_dir())
    sentence = f"version {pruned['version']} is the only one left" if pruned["removed"] else "nothing to prune"
    print_change(args, pruned, sentence)
    return 0
