"""
Law 8, the data plane stands alone: with the control plane's process dead, calls are served as before.
"""

from __future__ import annotations

import http.client
import os
import signal
from typing import TYPE_CHECKING

from installation import API, find_children, wait_until

if TYPE_CHECKING:
    from installation import Gateway, Installation
    from noojee import Noojee

HANGUP = f"{API}/hangup?extenOrUniqueId=410"


def call(gateway: Gateway, token: str) -> str:
    """
    What became of a call.
    """
    try:
        response = gateway.call(HANGUP, token)
    except (OSError, http.client.HTTPException):
        return "nobody answered"
    return response.reason or "served"


def test_calls_are_served_by_the_same_worker_when_the_control_plane_is_killed(
    installation: Installation, noojee: Noojee
) -> None:
    """
    Before it is noticed, while there is none, and after another was started.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway:
        worker, control_plane = gateway.worker_pid, gateway.control_plane_pid
        os.kill(control_plane, signal.SIGKILL)
        wait_until(lambda: control_plane not in find_children(gateway.process.pid), "it is dead")

        assert "served" == call(gateway, token)
        wait_until(lambda: gateway.control_plane_pid != control_plane, "another is started")
        assert "served" == call(gateway, token)
        assert worker == gateway.worker_pid
        assert 2 == len(noojee.requests())
