"""
The sockets in a node's run folder, over which its processes and the command line talk: how they are made, who is heard.

Each of them is answered with a line for a line. Only the effective user's processes are heard: the file is 0600, and
the peer's uid is asked of the kernel where it can tell.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import TYPE_CHECKING

from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ASK_METRICS", "ASK_READINESS", "RESTART", "SUPERVISOR_SOCKET", "bind_private", "is_own_peer"]

SUPERVISOR_SOCKET = "supervisor.sock"
"""Where the supervisor is asked."""

RESTART = b"restart\n"
"""The line that asks it for another worker."""

ASK_READINESS = b"readiness\n"
"""The line that asks a worker how its node is; the answer is a `Readiness`."""

ASK_METRICS = b"metrics\n"
"""The line that asks it for its numbers; the answer is `Samples`."""

_PATH_LIMIT_BYTES = 103  # sun_path is 104 bytes on macOS and 108 on Linux, its NUL included


def bind_private(path: Path) -> socket.socket:
    """
    A socket bound to a path, not yet listening; the folder is made (0700) when it is missing.

    A file that is there was left behind by who was killed, and is replaced: whoever calls this owns the name.

    Raises:
        OperatorError: `data_dir_unusable` for a path too long for a socket or a folder that cannot be used.
    """
    if len(os.fsencode(path)) > _PATH_LIMIT_BYTES:
        raise OperatorError(
            OperatorReason.DATA_DIR_UNUSABLE,
            f"The path {path} is too long for a socket (at most {_PATH_LIMIT_BYTES} bytes). "
            "Set GATEWAY_RUN_DIR to a shorter folder, such as /run/noojee-gateway.",
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.unlink(missing_ok=True)
        listener.bind(os.fspath(path))
        path.chmod(0o600)
    except OSError as error:
        listener.close()
        raise OperatorError(
            OperatorReason.DATA_DIR_UNUSABLE,
            f"The socket {path} cannot be made: {error.strerror}. Check GATEWAY_RUN_DIR.",
        ) from error
    return listener


def is_own_peer(peer: socket.socket) -> bool:
    """
    Whether the process at the other end is the effective user's, or root's.
    """
    if not sys.platform.startswith("linux"):
        return True  # the file's mode has to do
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", credentials)
    return uid in {os.geteuid(), 0}
