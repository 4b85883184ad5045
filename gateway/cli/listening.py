"""
The sockets that a node listens on: bound here, or handed over by systemd, which holds the callers' port for us.

sd_listen_fds(3): LISTEN_FDS counts descriptors from 3 on, and LISTEN_PID says for which process they are.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from typing import TYPE_CHECKING

from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["bind", "take_inherited"]

_FIRST = 3
"""SD_LISTEN_FDS_START."""

_HOW = "In a systemd socket unit: one ListenStream= with an address and a port, and Accept=no."


def bind(host: str, port: int, setting: str) -> socket.socket:
    """
    A TCP socket bound to an address and listening.

    Raises:
        OperatorError: `port_unavailable`, naming the setting to change.
    """
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET  # noqa: PLR2004  # IPv6
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        # Whoever else binds the port must learn now that it is taken, and not when we begin to serve.
        bound.listen()
    except OSError as error:
        bound.close()
        what = (
            "is in use by another program" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        )
        raise OperatorError(
            OperatorReason.PORT_UNAVAILABLE, f"Port {port} on {host} {what}. Set {setting} to another."
        ) from None
    bound.setblocking(False)
    return bound


def take_inherited(environment: MutableMapping[str, str] = os.environ, first: int = _FIRST) -> socket.socket | None:
    """
    The callers' socket that systemd hands over; None when it hands over nothing to this process.

    The variables are taken out, for they are meant for nobody else.

    Raises:
        OperatorError: `port_unavailable` for anything but one listening TCP socket.
    """
    told = {name: environment.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")}
    if told["LISTEN_PID"] != str(os.getpid()) or told["LISTEN_FDS"] in {"", "0"}:
        return None
    if told["LISTEN_FDS"] != "1":
        raise OperatorError(OperatorReason.PORT_UNAVAILABLE, f"LISTEN_FDS hands over more than one socket. {_HOW}")
    if not _is_listening(first):
        raise OperatorError(OperatorReason.PORT_UNAVAILABLE, f"LISTEN_FDS hands over no listening TCP socket. {_HOW}")
    os.set_inheritable(first, False)
    found = socket.socket(fileno=first)
    found.setblocking(False)  # of two workers that hear of a caller, one comes too late
    return found


def _is_listening(descriptor: int) -> bool:
    """
    Whether it is a TCP socket that listens.
    """
    try:
        found = socket.socket(fileno=descriptor)
    except OSError:
        return False
    try:
        is_tcp = found.family in {socket.AF_INET, socket.AF_INET6} and found.type == socket.SOCK_STREAM
        return is_tcp and bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    finally:
        found.detach()
