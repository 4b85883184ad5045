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

from gateway.administration.restarting import restart
from gateway.cli.listening import bind
from gateway.cli.node import plan_node, start_supervisor
from gateway.errors import OperatorError
from gateway.settings.model import Settings
from gateway.supervisor.node import LEAVING_LIMIT

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
    keep_alive_seconds: float = 0.0,
    start_seconds: float = 60.0,
    reads_again: bool = False,
    reader: list[str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """
    A ready supervisor with other programs, or another patience.
    """
    settings = Settings(data_dir=installation.data_dir, max_connections=100, journal_reserve=256 * 1024)
    with bind("127.0.0.1", 0, "GATEWAY_PORT") as callers, bind("127.0.0.1", 0, "GATEWAY_ADMIN_PORT") as admin:
        plan = plan_node(
            settings, callers, admin, ready="ready\n", as_json=False, ends_with_input=True, reads_again=reads_again
        )
        plan = dataclasses.replace(
            plan,
            worker=dataclasses.replace(plan.worker, words=worker or plan.worker.words),
            control_plane=dataclasses.replace(plan.control_plane, words=control_plane or plan.control_plane.words),
            reader=reader or plan.reader,
            end_seconds=end_seconds,
            keep_alive_seconds=keep_alive_seconds,
            start_seconds=start_seconds,
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


def write_program(path: Path, lines: str) -> list[str]:
    """
    A worker that does something else before. Returns the words to start it.
    """
    path.write_text(f'#!/bin/sh\n{lines}\nexec {sys.executable} "$@"\n')
    path.chmod(0o700)
    return [str(path), "-m", "gateway.data_plane"]


def test_what_is_no_word_of_ours_does_no_harm(installation: Installation, tmp_path: Path) -> None:
    """
    Stray lines, and another release's word for why it cannot serve: the node goes on.
    """
    failing = 'echo \'{"failed": "a_word_of_tomorrow"}\'; exit 1'
    words = write_program(
        tmp_path / "python", f"echo 0; echo null; echo []; echo no; [ -e {tmp_path}/fails ] && {{ {failing}; }}"
    )
    with supervise(installation, worker=words) as node:
        (old,) = find_workers(node)
        (tmp_path / "fails").touch()

        with pytest.raises(OperatorError, match=r"goes on serving\. It did not say why\.") as raised:
            restart(installation.data_dir / "run")

        assert "internal" == raised.value.reason
        (tmp_path / "fails").unlink()
        assert old == restart(installation.data_dir / "run")["leaving"]
        end(node)
        assert 0 == node.wait(20)


@pytest.mark.parametrize(
    "change", ['s/"log_level": "info"/"log_level": "loud"/', 's/"end_seconds"/"other"/', "s/.*/{}/"]
)
def test_a_reading_that_is_not_understood_changes_nothing(
    installation: Installation, capfd: pytest.CaptureFixture[str], change: str
) -> None:
    """
    As from another release that was installed meanwhile: neither a reload nor a restart ends the node.
    """
    reader = ["sh", "-c", f"{sys.executable} -m gateway.cli.reread | sed '{change}'"]
    told = ""

    def has_told(words: str) -> bool:
        nonlocal told
        told += capfd.readouterr().err
        return words in told

    with supervise(installation, reads_again=True, reader=reader) as node:
        (old,) = find_workers(node)
        with pytest.raises(OperatorError, match="goes on serving"):
            restart(installation.data_dir / "run")
        node.send_signal(signal.SIGHUP)

        wait_until(lambda: has_told("the settings were not reloaded, the old ones stay in force"), "it is told")

        assert [old] == find_workers(node)
        end(node)
        assert 0 == node.wait(20)


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


def find_workers(node: subprocess.Popen[bytes]) -> list[int]:
    """
    The oldest first.
    """
    return sorted(pid for pid, words in find_children(node.pid).items() if words.endswith("gateway.data_plane"))


def test_a_new_worker_that_does_not_become_ready_is_given_up(
    installation: Installation, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """
    It is killed when its time is over; the old one serves on, and the next that becomes ready takes its place.
    """
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\n[ -e {tmp_path}/hang ] && exec sleep 60\nexec {sys.executable} "$@"\n')
    program.chmod(0o700)
    with supervise(installation, worker=[str(program), "-m", "gateway.data_plane"], start_seconds=5) as node:
        (old,) = find_workers(node)
        (tmp_path / "hang").touch()

        with pytest.raises(OperatorError, match=r"goes on serving\. The new worker was not ready in time\."):
            restart(installation.data_dir / "run")

        (tmp_path / "hang").unlink()
        assert [old] == find_workers(node)
        assert old == restart(installation.data_dir / "run")["leaving"]
        end(node)
        assert 0 == node.wait(20)
    assert "the worker was not replaced and goes on serving: The new worker was not ready in time." in (
        capfd.readouterr().err
    )


def test_a_worker_that_does_not_leave_is_killed(installation: Installation, capfd: pytest.CaptureFixture[str]) -> None:
    """
    Stopped, so that it hears nothing, not even that its drain is over.
    """
    with supervise(installation, end_seconds=1) as node:
        (old,) = find_workers(node)
        os.kill(old, signal.SIGSTOP)

        done = restart(installation.data_dir / "run")

        assert old == done["leaving"]
        wait_until(lambda: find_workers(node) == [done["worker"]], "it is killed")
        end(node)
        node.wait(20)
    assert "the leaving worker did not end in time and is killed" in capfd.readouterr().err


def test_a_worker_that_leaves_has_the_time_of_an_idle_connection_besides(installation: Installation) -> None:
    """
    A call may begin on a connection as long as that is kept, and has the time of a drain from then on.
    """
    with supervise(installation, end_seconds=0.2, keep_alive_seconds=60) as node:
        (old,) = find_workers(node)
        os.kill(old, signal.SIGSTOP)
        assert old == restart(installation.data_dir / "run")["leaving"]
        (new,) = set(find_workers(node)) - {old}
        os.kill(new, signal.SIGKILL)

        wait_until(lambda: len(set(find_workers(node)) - {old, new}) == 1, "much has happened since")

        assert old in find_workers(node)
        os.kill(old, signal.SIGCONT)
        wait_until(lambda: not is_there(old), "it leaves")
        end(node)
        node.wait(20)


def test_not_many_workers_may_be_leaving_at_once(installation: Installation) -> None:
    """
    Each is a whole process. When one has ended the next restart is carried out.
    """
    with supervise(installation) as node:
        stopped = []
        for _ in range(LEAVING_LIMIT):
            stopped.append(find_workers(node)[-1])
            os.kill(stopped[-1], signal.SIGSTOP)
            assert stopped[-1] == restart(installation.data_dir / "run")["leaving"]

        with pytest.raises(OperatorError, match=r"4 workers are leaving still\. Wait until one has ended\."):
            restart(installation.data_dir / "run")

        os.kill(stopped[0], signal.SIGCONT)
        wait_until(lambda: not is_there(stopped[0]), "it leaves")
        wait_until(lambda: len(find_workers(node)) == LEAVING_LIMIT, "the others are still there")
        assert restart(installation.data_dir / "run")["leaving"] not in stopped
        for pid in stopped[1:]:
            os.kill(pid, signal.SIGCONT)
        end(node)
        assert 0 == node.wait(20)


def test_a_plane_that_stands_still_keeps_no_reload_waiting_for_ever(
    installation: Installation, capfd: pytest.CaptureFixture[str]
) -> None:
    """
    It is named, and the next reload is carried out.
    """
    told = ""

    def has_told(words: str) -> bool:
        nonlocal told
        told += capfd.readouterr().err
        return words in told

    with supervise(installation, start_seconds=2, reads_again=True) as node:
        (plane,) = [pid for pid, words in find_children(node.pid).items() if words.endswith("gateway.control_plane")]
        os.kill(plane, signal.SIGSTOP)
        node.send_signal(signal.SIGHUP)
        wait_until(lambda: has_told("reloaded, but not everywhere: the control plane did not answer"), "it is named")
        os.kill(plane, signal.SIGCONT)
        node.send_signal(signal.SIGHUP)

        wait_until(lambda: has_told("reloaded: certificates and keys were read again"), "the next")

        end(node)
        assert 0 == node.wait(20)
