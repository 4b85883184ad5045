"""
Asking the supervisor for another worker, over its socket in the run folder.
"""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

from gateway.errors import OperatorError, OperatorReason
from gateway.run_folder import RESTART, SUPERVISOR_SOCKET

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["restart"]

_PATIENCE_SECONDS = 300.0
"""Longer than several restarts that wait for each other, each of which the supervisor bounds."""


def restart(run_dir: Path, *, patience_seconds: float = _PATIENCE_SECONDS) -> dict[str, Any]:
    """
    Have the worker replaced; returns when another serves in its place.

    Returns:
        `worker` and `leaving` (process numbers, the second None when the worker had died meanwhile), `applied` (names
        of settings that have changed and are in force now), `kept` (those that are not, and what would do it).

    Raises:
        OperatorError: `not_running`; else why the worker was not replaced, which then goes on serving.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(patience_seconds)
            connection.connect(str(run_dir / SUPERVISOR_SOCKET))
            connection.sendall(RESTART)
            with connection.makefile("rb") as answers:
                line = answers.readline()
    except (FileNotFoundError, ConnectionRefusedError):
        raise OperatorError(
            OperatorReason.NOT_RUNNING,
            f"No gateway runs with the run folder {run_dir}. Start one with `noojee-gateway serve`, or set "
            "GATEWAY_DATA_DIR and GATEWAY_RUN_DIR as it has them.",
        ) from None
    except OSError as error:
        raise OperatorError(
            OperatorReason.RESTART_FAILED,
            f"The gateway's supervisor did not answer: {error.strerror or 'it takes too long'}. Look at its log.",
        ) from None
    return _read_answer(line)


def _read_answer(line: bytes) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(line)
    except ValueError:
        raise OperatorError(
            OperatorReason.RESTART_FAILED, "The gateway's supervisor ended while it was asked. Look at its log."
        ) from None
    if "failed" in told:
        raise OperatorError(
            OperatorReason(told["failed"]), f"The worker was not replaced and goes on serving. {told['detail']}"
        )
    return told
