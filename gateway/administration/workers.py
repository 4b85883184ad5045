"""
Telling the running workers which version of the registry was committed, and waiting until it is in force there.

They are asked, too, whether they have a version of the master key, before anything is sealed under it.
Each worker listens on a socket in the run folder. Nobody listening means that no gateway runs, and all is well.
"""

from __future__ import annotations

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["find_without_version", "tell_workers"]

_RETRY_SECONDS = 0.05


def tell_workers(run_dir: Path, version: int, *, timeout_seconds: float = 2.0) -> list[str]:
    """
    Tell all workers of this node, all at once.

    Returns:
        The names of the sockets whose workers did not say within the time that the version is in force.
    """
    return _ask_all(run_dir, b"%d\n" % version, timeout_seconds)


def find_without_version(run_dir: Path, version: int, *, timeout_seconds: float = 2.0) -> list[str]:
    """
    Ask all workers of this node whether they have a version of the master key; they read their ring again for it.

    Returns:
        The names of the sockets whose workers did not say so within the time.
    """
    return _ask_all(run_dir, b"ring %d\n" % version, timeout_seconds)


def _ask_all(run_dir: Path, line: bytes, timeout_seconds: float) -> list[str]:
    sockets = sorted(run_dir.glob("worker-*.sock"))
    if not sockets:
        return []
    deadline = time.monotonic() + timeout_seconds
    with ThreadPoolExecutor(max_workers=len(sockets)) as pool:
        told = list(pool.map(lambda path: _ask(path, line, deadline), sockets))
    return [path.name for path, is_told in zip(sockets, told, strict=True) if not is_told]


def _ask(path: Path, line: bytes, deadline: float) -> bool:
    """
    Whether a worker has said the line back, or is gone.
    """
    while (left := deadline - time.monotonic()) > 0:
        try:
            if _exchange(path, line, left) == line:
                return True
        except (FileNotFoundError, ConnectionRefusedError):
            return True  # a socket without a listener: left behind by a worker that was killed
        except OSError:
            pass
        # It closed without an answer. Either it is ending, and the next attempt finds nobody; or it cannot read the
        # registry now, and may be able to in a moment.
        time.sleep(min(_RETRY_SECONDS, max(0.0, deadline - time.monotonic())))
    return False


def _exchange(path: Path, line: bytes, timeout_seconds: float) -> bytes:
    deadline = time.monotonic() + timeout_seconds
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
        connection.settimeout(timeout_seconds)
        connection.connect(str(path))
        connection.sendall(line)
        answer = b""
        while len(answer) < len(line) and (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            data = connection.recv(len(line) - len(answer))
            if not data:
                break
            answer += data
    return answer
