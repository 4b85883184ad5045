"""
A plane that dies again and again, or cannot start while the node runs: it is tried ever more seldom, and comes back.
"""

from __future__ import annotations

import dataclasses
import os
import signal
from typing import TYPE_CHECKING

from installation import API, find_children, wait_until

from gateway.cli.node import bind, plan_node, start_supervisor
from gateway.settings.model import Settings

if TYPE_CHECKING:
    from installation import Installation

START = f"{API}/start?extenOrUniqueId=410"


def test_a_worker_that_cannot_start_is_tried_until_it_can(installation: Installation) -> None:
    """
    Its registry is gone when it is replaced. Each try is told with its reason; a call waits, and is served at last.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway:
        (installation.data_dir / "gateway.db").rename(installation.data_dir / "moved")
        os.kill(gateway.worker_pid, signal.SIGKILL)
        wait_until(lambda: "ended with exit code 1; it is started again in 1 s" in installation.log(), "it is tried")
        told = gateway.call("/readyz", method="GET", port=gateway.admin_port)
        assert (503, {"state": "unready", "worker": "not running"}) == (told.status, told.json())
        (installation.data_dir / "moved").rename(installation.data_dir / "gateway.db")

        served = gateway.call(START, token)

        assert 200 == served.status
        assert gateway.process.poll() is None
    assert "the worker cannot serve: There is no registry at" in installation.log()
    assert "the worker is ready again" in installation.log()


def test_an_end_while_a_plane_is_left_dead_waits_for_nothing(installation: Installation) -> None:
    """
    Both planes are dead and are to be started later: there is nobody to drain.
    """
    with installation.serve() as gateway:
        (installation.data_dir / "gateway.db").rename(installation.data_dir / "moved")
        os.kill(gateway.worker_pid, signal.SIGKILL)
        wait_until(lambda: "it is started again in 1 s" in installation.log(), "the worker is left dead")
        os.kill(gateway.control_plane_pid, signal.SIGKILL)
        wait_until(lambda: installation.log().count("it is started again in 1 s") == 2, "so is the control plane")
        gateway.process.terminate()

        assert 0 == gateway.process.wait(5)


def test_a_plane_that_does_not_end_is_killed_when_its_time_is_over(installation: Installation) -> None:
    """
    Stopped, so that it hears nothing. The node says so and ends with an error of ours.
    """
    settings = Settings(data_dir=installation.data_dir, journal_reserve=256 * 1024, log_level="error")
    with bind("127.0.0.1", 0, "GATEWAY_PORT") as callers, bind("127.0.0.1", 0, "GATEWAY_ADMIN_PORT") as admin:
        plan = plan_node(settings, callers, admin, ready="ready\n", as_json=False, ends_with_input=True)
        node = start_supervisor(dataclasses.replace(plan, end_seconds=0.2))
    with node:
        assert node.stdin is not None
        assert node.stdout is not None
        assert b"ready\n" == node.stdout.readline()
        planes = find_children(node.pid)
        (worker,) = [pid for pid, words in planes.items() if words.endswith("gateway.data_plane")]
        os.kill(worker, signal.SIGSTOP)
        node.stdin.close()

        assert 70 == node.wait(10)
    assert {} == find_children(node.pid)
