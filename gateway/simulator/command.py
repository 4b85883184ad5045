"""
The Noojee simulator alone: HTTPS on a loopback port, until Ctrl-C or SIGTERM.

The verb `simulate` of the command line. It reads no settings and no data folder of the gateway. It listens on
127.0.0.1, and on ::1 where that is there, because its certificate has no other name; `--allow` is the white-list that
it answers by, in place of loopback.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from gateway.simulator.server import Simulator

__all__ = ["add_arguments", "run"]

_DEFAULT_PORT = 8443
_LAST_PORT = 65535
_LONGEST_PAIR_SECONDS = 86_400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """
    Declare the verb's options.
    """
    parser.add_argument("--port", type=int, default=_DEFAULT_PORT, help="port on loopback; 0 takes a free one (8443)")
    parser.add_argument("--data-dir", type=Path, metavar="D", help="keep keys and CA here (a throw-away folder)")
    parser.add_argument("--allow", action="append", metavar="CIDR", help="white-list of source addresses (loopback)")
    parser.add_argument(
        "--pair-first-use",
        type=float,
        default=10.0,
        metavar="S",
        help="seconds within which a pair of the hash method must first be used (10)",
    )
    parser.add_argument(
        "--pair-lifetime",
        type=float,
        default=3600.0,
        metavar="S",
        help="seconds for which such a pair is good after its first use (3600)",
    )
    parser.add_argument("--json", action="store_true", help="tell the ready line and errors as JSON")


def run(args: argparse.Namespace) -> int:
    """
    Run the simulator until it is told to end; returns the exit code: 0, 1 if it cannot run, 2 for unreadable options.
    """
    from gateway.simulator.service import parse_network

    if not 0 <= args.port <= _LAST_PORT:
        return _fail(args, 2, "port_malformed", f"--port {args.port} is not a port: 0 to {_LAST_PORT}.")
    for text in args.allow or ():
        try:
            parse_network(text)
        except ValueError as error:
            return _fail(args, 2, "network_malformed", f"--allow {text} is not an address or a network: {error}.")
    for option, seconds in (("--pair-first-use", args.pair_first_use), ("--pair-lifetime", args.pair_lifetime)):
        if not 0 < seconds <= _LONGEST_PAIR_SECONDS:
            return _fail(args, 2, "seconds_malformed", f"{option} takes seconds, more than 0 and at most a day.")
    if args.data_dir is not None:
        return _run_in(args.data_dir, args)
    with tempfile.TemporaryDirectory(prefix="noojee-simulator-") as folder:  # mode 0700 by itself
        return _run_in(Path(folder), args)


def _run_in(folder: Path, args: argparse.Namespace) -> int:
    import asyncio

    try:
        asyncio.run(_serve(folder, args))
    except KeyboardInterrupt:
        return 0  # Ctrl-C before the handlers were in place
    except OSError as error:
        told = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
        return _fail(args, 1, "simulator_not_started", f"The simulator cannot run: {told}.")
    except ValueError as error:
        return _fail(args, 1, "simulator_not_started", f"The simulator cannot run: {error}.")
    return 0


async def _serve(folder: Path, args: argparse.Namespace) -> None:
    import asyncio
    import signal

    from gateway.simulator.server import LOOPBACK, Simulator

    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    simulator = Simulator(
        folder,
        allow=args.allow or LOOPBACK,
        pair_first_use_seconds=args.pair_first_use,
        pair_lifetime_seconds=args.pair_lifetime,
    )
    try:
        await simulator.start(port=args.port)
    except OSError as error:
        cause = os.strerror(error.errno).lower() if error.errno else str(error)
        raise OSError(
            error.errno, f"port {args.port} of 127.0.0.1 or ::1: {cause}; choose another with --port"
        ) from error
    try:
        print(_render_ready_line(simulator, is_json=args.json), flush=True)  # noqa: T201  the verb's standard output
        await ended.wait()
    finally:
        await simulator.stop()


def _render_ready_line(simulator: Simulator, *, is_json: bool) -> str:
    ca_file, global_key_file = str(simulator.ca_file.absolute()), str(simulator.global_key_file.absolute())
    if not is_json:
        return f"ready url={simulator.url} ca_file={ca_file} global_key_file={global_key_file}"
    users = {login: str(path.absolute()) for login, path in simulator.user_key_files.items()}
    ready = {
        "event": "ready",
        "url": simulator.url,
        "ca_file": ca_file,
        "global_key_file": global_key_file,
        "user_keys": users,
    }
    return json.dumps(ready)


def _fail(args: argparse.Namespace, code: int, reason: str, detail: str) -> int:
    message = json.dumps({"error": {"reason": reason, "detail": detail}}) if args.json else detail
    print(message, file=sys.stderr)  # noqa: T201  the verb's standard error
    return code
