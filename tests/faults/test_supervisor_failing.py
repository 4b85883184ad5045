"""
A plane that dies again and again, or cannot start while the node runs: it is tried ever more seldom, and comes back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from installation import API, find_children, is_there, wait_until

from gateway.cli.listening import bind
from gateway.cli.node import plan_node, start_supervisor
from gateway.settings.model import Settings

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

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

        assert 0 == gateway.process.wait(20)


@contextlib.contextmanager
def supervise(
    installation: Installation,
    *,
    worker: list[str] | None = None,
    control_plane: list[str] | None = None,
    end_seconds: float = 20.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """
    A ready supervisor with other programs, or another patience.
    """
    settings = Settings(data_dir=installation.data_dir, max_connections=100, journal_reserve=256 * 1024)
    with bind("127.0.0.1", 0, "GATEWAY_PORT") as callers, bind("127.0.0.1", 0, "GATEWAY_ADMIN_PORT") as admin:
        plan = plan_node(settings, callers, admin, ready="ready\n", as_json=False, ends_with_input=True)
        plan = dataclasses.replace(
            plan,
            worker=dataclasses.replace(plan.worker, words=worker or plan.worker.words),
            control_plane=dataclasses.replace(plan.control_plane, words=control_plane or plan.control_plane.words),
            end_seconds=end_seconds,
        )
        node = start_supervisor(plan)
    with node:
        assert node.stdout is not None
        assert b"ready\n" == node.stdout.readline()
        yield node


def end(node: subprocess.Popen[bytes]) -> None:
    """
    What the end of whoever started it does.
    """
    assert node.stdin is not None
    node.stdin.close()


def test_a_program_that_is_being_replaced_is_tried_again(
    installation: Installation, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """
    An upgrade takes it away and puts it back while the plane is dead.
    """
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    program.chmod(0o700)
    words = [str(program), "-m", "gateway.control_plane"]
    with supervise(installation, control_plane=words) as node:
        (before,) = [pid for pid, each in find_children(node.pid).items() if each.endswith("gateway.control_plane")]
        program.rename(tmp_path / "moved")
        os.kill(before, signal.SIGKILL)
        told = ""

        def find_try() -> bool:
            nonlocal told
            told += capfd.readouterr().err
            return "cannot be started: No such file or directory; it is started again in 2 s" in told

        wait_until(find_try, "it is tried")
        (tmp_path / "moved").rename(program)
        wait_until(lambda: len(find_children(node.pid)) == 2, "it is started", every_seconds=0.1)
        end(node)

        assert 0 == node.wait(10)


def test_a_program_that_is_not_there_ends_the_start(
    installation: Installation, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """
    Nothing is left running, and it is said why.
    """
    with pytest.raises(AssertionError), supervise(installation, worker=[str(tmp_path / "python")]):
        pass

    assert capfd.readouterr().err == (
        "noojee-gateway: the node cannot start: the worker cannot be started: No such file or directory\n"
    )


def test_a_plane_that_does_not_end_is_killed_when_its_time_is_over(installation: Installation) -> None:
    """
    Stopped, so that it hears nothing. The node says so and ends with an error of ours.
    """
    with supervise(installation, end_seconds=0.2) as node:
        planes = find_children(node.pid)
        (worker,) = [pid for pid, words in planes.items() if words.endswith("gateway.data_plane")]
        os.kill(worker, signal.SIGSTOP)
        end(node)

        assert 70 == node.wait(10)
    assert [] == [pid for pid in planes if is_there(pid)]
