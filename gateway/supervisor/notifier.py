"""
What systemd is told of the node: sd_notify(3), over the socket that NOTIFY_SOCKET names. Without it nobody is told.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["Notifier"]


class Notifier:
    """
    Tells a service manager. Nothing that goes wrong with that is the node's concern.

    Args:
        address: A path, or `@` and a name of Linux's abstract namespace; None for nobody.
    """

    def __init__(self, address: str | None) -> None:
        self._address = address

    @classmethod
    def find(cls, environment: MutableMapping[str, str] = os.environ) -> Notifier:
        """
        The one that is named there; it is taken out, for it is meant for this process and for no plane.
        """
        return cls(environment.pop("NOTIFY_SOCKET", None))

    def tell_ready(self) -> None:
        """
        The node serves, for the first time or again after a reload.
        """
        self._tell("READY=1", "STATUS=Serving")

    def tell_reloading(self) -> None:
        """
        Settings are being read; `tell_ready` ends it.
        """
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=Reloading")

    def tell_stopping(self) -> None:
        """
        The node drains, and then ends.
        """
        self._tell("STOPPING=1", "STATUS=Draining")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto("\n".join(lines).encode(), address)

    def __repr__(self) -> str:
        return f"<Notifier {self._address or 'of nobody'}>"
