"""
What a plane's process is told first.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.tls import ServerTls

__all__ = ["Assignment"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """
    What a plane's process is told when it starts.

    Attributes:
        listener: The descriptor of a bound socket.
        tls_files: Paths of certificate and key; empty for plain HTTP.
        plan: What the plane itself is told, in a form of its own.
        is_successor: Whether another worker still serves, whose place is taken only by one that is ready.
    """

    listener: int
    log_level: str
    tls_files: list[str]
    plan: Mapping[str, Any]
    log_format: str = "human"
    is_successor: bool = False

    def render(self) -> str:
        """
        As one line; `parse` is its inverse.
        """
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, line: bytes | str) -> Assignment:
        """
        What `render` made.
        """
        return cls(**json.loads(line))

    def load_tls(self) -> ServerTls | None:
        """
        What the port speaks TLS with; None for plain HTTP.

        Raises:
            OperatorError: `tls_unusable`.
        """
        if not self.tls_files:
            return None
        from gateway.tls import ServerTls  # OpenSSL is loaded where it is spoken

        cert_file, key_file = self.tls_files
        return ServerTls(cert_file, key_file)
