"""
The verbs that run until they are told to end: `serve`, `demo`, `simulate`. Here are their words only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli.parser import add_verb

if TYPE_CHECKING:
    import argparse

    from gateway.cli.parser import Nouns, SettingsLoader

__all__ = ["add_parser"]


def add_parser(nouns: Nouns) -> None:
    """
    Declare the verbs.
    """
    add_verb(
        nouns,
        "serve",
        _serve,
        summary="Serve callers and operators until Ctrl-C or SIGTERM.",
        explanation="It prints one line when it is ready, and the real ports on it. Callers' port: GATEWAY_HOST and "
        "GATEWAY_PORT; health: GATEWAY_ADMIN_HOST and GATEWAY_ADMIN_PORT.",
        examples=["noojee-gateway serve", "GATEWAY_PORT=0 noojee-gateway serve --json"],
    )
    add_verb(
        nouns,
        "demo",
        _demo,
        summary="Run a simulated Noojee with a gateway before it, and print calls to try.",
        explanation="Everything is thrown away at the end; no setting is read.",
        examples=["noojee-gateway demo"],
    )
    _add_simulate(nouns)


def _add_simulate(nouns: Nouns) -> None:
    from gateway.simulator.command import add_arguments

    summary = "Run the simulated Noojee alone, over HTTPS."
    parser = nouns.add_parser(
        "simulate",
        help=summary,
        description=f"{summary} No setting of the gateway is read.",
        epilog="example:\n  noojee-gateway simulate --port 8443 --data-dir ./noojee",
    )
    parser.set_defaults(run=_simulate, reached=parser)
    add_arguments(parser)  # it declares --json too


def _serve(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    del load_settings  # `serve` outlives its settings' reading and does it itself
    from gateway.cli import serve

    return serve.run(args)


def _demo(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    del load_settings  # `demo` is exempt from settings
    from gateway.cli import demo

    return demo.run(args)


def _simulate(args: argparse.Namespace, load_settings: SettingsLoader) -> int:
    del load_settings  # `simulate` is exempt from settings
    from gateway.logs import configure_logging
    from gateway.simulator import command

    configure_logging("warning")  # else an exception would be printed whole, and a key may stand in its text
    return command.run(args)
