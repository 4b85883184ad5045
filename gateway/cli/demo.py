"""
`demo`: a simulated Noojee, a gateway before it, and three calls to try, on data that is thrown away at the end.

Reads no setting. It prints a token that nobody asked for, which opens nothing but the simulator.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from gateway.administration import callers, credentials, grants, installation, tokens, upstreams
from gateway.administration.desk import Desk
from gateway.cli.listening import bind
from gateway.cli.node import Addresses, plan_node, start_supervisor
from gateway.cli.output import print_note, print_value
from gateway.clock import SystemClock
from gateway.errors import OperatorError, OperatorReason
from gateway.logs import configure_logging
from gateway.secret import Secret
from gateway.settings.model import Settings
from gateway.simulator import Simulator

if TYPE_CHECKING:
    import argparse
    import socket
    import subprocess
    from collections.abc import AsyncIterator

__all__ = ["run"]

_HOST = "127.0.0.1"
_CALLERS_PORT = 8080
_ADMIN_PORT = 8081
_PORTS_TRIED = 100
_OPERATIONS = ("CallManagementAPI/start", "CallManagementAPI/stop", "CampaignAPI/get*")
_CALLS = ("start?extenOrUniqueId=410", "stop?extenOrUniqueId=410", "dial?number=0412345678&extenOrUniqueId=SIP/410")
"""Start a recording, stop it, and a call that no grant covers."""


def run(args: argparse.Namespace) -> int:
    """
    Run the demo until told to end.
    """
    configure_logging("warning")
    with tempfile.TemporaryDirectory(prefix="noojee-demo-") as folder:  # 0700 from the start
        uvloop.run(_demonstrate(Path(folder), as_json=args.json))
    return 0


async def _demonstrate(folder: Path, *, as_json: bool) -> None:
    simulator = Simulator(folder / "noojee")
    settings = Settings(data_dir=folder / "data", node="demo", max_connections=100, journal_reserve=1024**2)
    async with _wait_for_end() as ended:
        await simulator.start()
        try:
            token = await asyncio.to_thread(_set_up, settings, simulator)
            with _bind_next_free(_CALLERS_PORT) as callers_socket, _bind_next_free(_ADMIN_PORT) as admin_socket:
                addresses = Addresses.find(settings, callers_socket, admin_socket)
                plan = plan_node(
                    settings, callers_socket, admin_socket, ready="ready\n", as_json=as_json, ends_with_input=True
                )
                node = start_supervisor(plan)
            await _accompany(node, ended, _describe(addresses, settings, token), as_json=as_json)
        finally:
            await simulator.stop()


async def _accompany(node: subprocess.Popen[bytes], ended: asyncio.Event, lines: _Lines, *, as_json: bool) -> None:
    """
    Print the lines once the node is ready, and return when it has ended: told to by us, or by itself.

    Raises:
        OperatorError: It ended by itself, and has told why.
    """
    died = asyncio.create_task(asyncio.to_thread(node.wait))
    with node:
        try:
            if await _is_ready(node):
                _print_lines(lines, as_json=as_json)
                told = asyncio.create_task(ended.wait())
                await asyncio.wait((died, told), return_when=asyncio.FIRST_COMPLETED)
                told.cancel()
        finally:
            if node.stdin is not None:
                node.stdin.close()
            code = await died
    if code != 0:
        raise OperatorError(OperatorReason.INTERNAL, f"the gateway ended with exit code {code}")


async def _is_ready(node: subprocess.Popen[bytes]) -> bool:
    return node.stdout is not None and await asyncio.to_thread(node.stdout.readline) != b""


@contextlib.asynccontextmanager
async def _wait_for_end() -> AsyncIterator[asyncio.Event]:
    """
    An event that SIGTERM and Ctrl-C set. More of them change nothing.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    try:
        yield ended
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _set_up(settings: Settings, simulator: Simulator) -> Secret:
    """
    What an operator would do by verbs: an upstream, both kinds of credential, a caller with two grants, a token.
    """
    place = {name: getattr(settings, name) for name in ("data_dir", "run_dir", "master_key_file", "node")}
    installation.init(**place, clock=SystemClock())
    with Desk.open(**place, clock=SystemClock()) as desk:
        upstreams.add(desk, "noojee", url=simulator.url, ca_pem=simulator.ca_file.read_text())
        owner, user_key_file = next(iter(simulator.user_key_files.items()))
        for name, kind, login, file in (
            ("everything", "global", None, simulator.global_key_file),
            ("campaigns", "user", owner, user_key_file),
        ):
            key = Secret(file.read_text().strip())
            credentials.add(desk, name, upstream="noojee", kind=kind, owner=login, key=key)
        callers.add(desk, "crm", networks=(), query_token_allowed=True)
        grants.add(desk, "crm", credential="everything", operations=_OPERATIONS[:2])
        grants.add(desk, "crm", credential="campaigns", operations=_OPERATIONS[2:])
        _, token = tokens.issue(desk, "crm", expires_in=None)
    return token


def _bind_next_free(port: int) -> socket.socket:
    for candidate in range(port, port + _PORTS_TRIED):
        try:
            bound = bind(_HOST, candidate, "GATEWAY_PORT")
        except OperatorError:
            continue
        if candidate != port:
            print_note(f"Port {port} is in use; the demo takes {candidate}.")
        return bound
    return bind(_HOST, 0, "GATEWAY_PORT")


@dataclass(frozen=True, slots=True)
class _Lines:
    """
    What the demo prints (contract section 3). Holds a token: it has no printable form but its own output.
    """

    callers: str
    admin: str
    token: Secret
    curl: list[str]
    audit: str


def _describe(addresses: Addresses, settings: Settings, token: Secret) -> _Lines:
    base = f"{addresses.callers}/servicemanager/rest/CallManagementAPI"
    authorization = shlex.quote(f"Authorization: Bearer {token.reveal()}")
    return _Lines(
        callers=addresses.callers,
        admin=addresses.admin,
        token=token,
        curl=[f"curl -sS -i -X POST -H {authorization} {shlex.quote(f'{base}/{call}')}" for call in _CALLS],
        audit=f"GATEWAY_DATA_DIR={shlex.quote(str(settings.data_dir))} {_command()} audit tail",
    )


def _command() -> str:
    """
    How this command line is started again from anywhere.
    """
    program = Path(sys.argv[0])
    if program.name == "noojee-gateway":
        return shlex.quote(str(program.absolute()))
    return f"{shlex.quote(sys.executable)} -m gateway"


def _print_lines(lines: _Lines, *, as_json: bool) -> None:
    if as_json:
        print_value(
            {
                "event": "ready",
                "callers": lines.callers,
                "admin": lines.admin,
                "pid": os.getpid(),
                "token": lines.token.reveal(),
                "curl": lines.curl,
                "audit": lines.audit,
            }
        )
    else:
        sys.stdout.write(f"ready callers={lines.callers} admin={lines.admin}\n")
        sys.stdout.write("\n".join((lines.token.reveal(), *lines.curl, lines.audit)) + "\n")
        print_note("The first line is a token. Paste the others one by one; Ctrl-C ends the demo and removes its data.")
    sys.stdout.flush()
