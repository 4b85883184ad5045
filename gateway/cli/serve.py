"""
`serve`: a node, from the settings, until SIGTERM or Ctrl-C.

Everything that can be refused is refused here. Then this process becomes the supervisor, which prints the ready line on
standard output, and nothing else there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.administration.data_folder import (
    check_data_folder,
    check_listening,
    check_reserve,
    check_run_dir,
    lock_serving,
)
from gateway.cli.listening import bind, take_inherited
from gateway.cli.node import Addresses, become_supervisor, plan_node, prepare
from gateway.logs import configure_logging
from gateway.settings.sources import load_settings

if TYPE_CHECKING:
    import argparse
    from typing import NoReturn

__all__ = ["run"]


def run(args: argparse.Namespace) -> NoReturn:
    """
    Serve until told to end.

    Raises:
        OperatorError: A start-up refusal, with what to do.
        StorageError: The journal cannot be opened.
    """
    settings = load_settings()
    configure_logging(settings.log_level, form=settings.log_format)
    inherited = take_inherited()
    check_data_folder(settings.data_dir)
    check_run_dir(settings.run_dir)
    check_listening(settings, inherited.getsockname()[0] if inherited is not None else None)
    check_reserve(settings.data_dir, settings.journal_reserve)
    with lock_serving(settings.data_dir, settings.run_dir) as lock:
        prepare(settings)
        with (
            inherited or bind(settings.host, settings.port, "GATEWAY_PORT") as callers,
            bind(settings.admin_host, settings.admin_port, "GATEWAY_ADMIN_PORT") as admin,
        ):
            ready = Addresses.find(settings, callers, admin).render_ready_line(as_json=args.json)
            plan = plan_node(
                settings, callers, admin, ready=ready, as_json=args.json, lock=lock.descriptor, reads_again=True
            )
            become_supervisor(plan)
