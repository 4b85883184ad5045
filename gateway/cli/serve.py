"""
`serve`: both planes, from the settings, until SIGTERM or Ctrl-C.

Prints the ready line on standard output and nothing else there.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import uvloop

from gateway.administration.data_folder import (
    check_data_folder,
    check_listening,
    check_reserve,
    check_run_dir,
    create_tls_context,
    lock_serving,
)
from gateway.cli.node import Node, bind, prepare, wait_for_end
from gateway.cli.output import print_value
from gateway.logs import configure_logging
from gateway.settings.sources import load_settings

if TYPE_CHECKING:
    import argparse
    import socket
    import ssl

    from gateway.settings.model import Settings

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """
    Serve until told to end.

    Raises:
        OperatorError: A start-up refusal, with what to do.
        StorageError: The journal cannot be opened.
    """
    settings = load_settings()
    configure_logging(settings.log_level)
    check_data_folder(settings.data_dir)
    check_run_dir(settings.run_dir)
    check_listening(settings)
    check_reserve(settings.data_dir, settings.journal_reserve)
    ssl_context = create_tls_context(settings)
    with lock_serving(settings.data_dir):
        prepare(settings)
        with (
            bind(settings.host, settings.port, "GATEWAY_PORT") as callers,
            bind(settings.admin_host, settings.admin_port, "GATEWAY_ADMIN_PORT") as admin,
        ):
            uvloop.run(_serve(settings, callers, admin, ssl_context, as_json=args.json))
    return 0


async def _serve(
    settings: Settings,
    callers: socket.socket,
    admin: socket.socket,
    ssl_context: ssl.SSLContext | None,
    *,
    as_json: bool,
) -> None:
    async with wait_for_end() as ended:
        node = await Node.open(settings, callers, admin, ssl_context)
        try:
            _print_ready(node, as_json=as_json)
            await ended.wait()
        finally:
            await node.close()


def _print_ready(node: Node, *, as_json: bool) -> None:
    addresses = node.addresses
    if as_json:
        print_value({"event": "ready", "callers": addresses.callers, "admin": addresses.admin, "pid": os.getpid()})
    else:
        sys.stdout.write(f"ready callers={addresses.callers} admin={addresses.admin}\n")
    sys.stdout.flush()
