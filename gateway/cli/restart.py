"""
`restart`: another worker in the place of the one that serves, without a lost call.
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
    add_verb(
        nouns,
        "restart",
        _restart,
        summary="Replace the worker of a running gateway by a new one, without a lost call.",
        explanation="The gateway reads its settings again, from its own environment and file, and starts a worker by "
        "them. When that is ready it takes all new connections. The old one ends waiting polls (503 `draining`) and "
        "serves the connections it has, each answer its connection's last; it ends when none is left, or after "
        "GATEWAY_DRAIN_TIMEOUT. A new worker that does not become ready changes nothing: the old one goes on, and the "
        "verb says why and ends with 1. For certificates, and settings that docs/settings.md marks `reload`, SIGHUP "
        "to the gateway is enough; those that it marks `start` take stopping and starting.",
        examples=["noojee-gateway restart", "noojee-gateway restart --json"],
    )


def _restart(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    from gateway.administration.data_folder import check_data_folder
    from gateway.administration.restarting import restart

    settings = load_settings()
    check_data_folder(settings.data_dir)
    done = restart(settings.run_dir)
    left = f"{done['leaving']} leaves" if done["leaving"] is not None else "the one before had died"
    changed = f"; settings changed: {', '.join(done['applied'])}" if done["applied"] else ""
    print_change(args, done, f"the worker was replaced: process {done['worker']} serves, {left}{changed}")
    for name, remedy in done["kept"].items():
        print_note(f"{name} was changed and stays as it is until {remedy}.")
    return 0
