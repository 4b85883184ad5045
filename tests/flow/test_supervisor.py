"""
A node of three processes: what each is, what becomes of the others when one dies, and how all of them end.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from installation import API, Installation, Response, find_children, is_there, wait_until

from gateway.evidence.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

    from installation import Gateway
    from noojee import Noojee

START = f"{API}/start?extenOrUniqueId=410"
DIAL = f"{API}/dial?number=0412345678&extenOrUniqueId=SIP/411"
DRAIN_SECONDS, BOUND_SECONDS = 2.0, 20.0


class Calling(threading.Thread):
    """
    A call that takes its time, on a thread of its own, and what it got: nothing when its connection was lost.
    """

    def __init__(self, gateway: Gateway, target: str, token: str) -> None:
        super().__init__()
        self._gateway, self._target, self._token = gateway, target, token
        self._response: Response | None = None
        self.start()

    def run(self) -> None:
        """
        The call.
        """
        with contextlib.suppress(OSError, http.client.HTTPException):
            self._response = self._gateway.call(self._target, self._token)

    def finish(self) -> Response | None:
        """
        What it got.
        """
        self.join(20)
        assert not self.is_alive()
        return self._response


def dial_slowly(gateway: Gateway, token: str, noojee: Noojee, seconds: float) -> Calling:
    """
    A call that is at Noojee when this returns, and stays there for so long.
    """
    noojee.break_next("CallManagementAPI/dial", "delay", seconds)
    calling = Calling(gateway, DIAL, token)
    wait_until(lambda: any("/dial?" in target for target in noojee.targets()), "the dial is at Noojee")
    return calling


def ask_operators_port(gateway: Gateway) -> dict[str, str]:
    """
    What `/readyz` says there, once it answers.
    """

    def ask() -> dict[str, str] | None:
        try:
            told: dict[str, str] = gateway.call("/readyz", method="GET", port=gateway.admin_port, timeout=5).json()
        except (OSError, http.client.HTTPException):
            return None
        return told

    found: dict[str, str] = wait_until(ask, "the operators' port answers")
    return found


def ask_callers_port(gateway: Gateway) -> tuple[int, str]:
    """
    What `/readyz` says there.
    """
    response = gateway.call("/readyz", method="GET")
    return response.status, response.body.decode()


def kill(pid: int) -> None:
    """
    SIGKILL.
    """
    os.kill(pid, signal.SIGKILL)


def closed_by_recovery(installation: Installation) -> list[str]:
    """
    The outcomes that a start gave to what it found open.
    """
    return [record["outcome"] for record in installation.calls() if record.get("reason") == "recovered"]


def test_a_node_is_a_supervisor_and_two_planes(gateway: Gateway) -> None:
    """
    What is told as `pid` is what was started, and keeps the two; a terminal reaches all of them.
    """
    planes = find_children(gateway.process.pid)

    assert gateway.process.pid == gateway.ready["pid"]
    assert {gateway.worker_pid, gateway.control_plane_pid} == set(planes)
    assert {gateway.process.pid} == {os.getpgid(pid) for pid in gateway.pids}


def test_a_killed_worker_is_replaced_and_its_open_calls_are_closed(installation: Installation, noojee: Noojee) -> None:
    """
    Kill -9 while Noojee dials. Who calls next waits and is served; `serve` has not stopped, and nothing is sent again.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway:
        before = gateway.worker_pid
        dialling = dial_slowly(gateway, token, noojee, 20)
        kill(before)

        served = gateway.call(START, token)  # nobody listens yet, and nobody is refused

        assert 200 == served.status
        assert dialling.finish() is None
        assert ["unknown"] == closed_by_recovery(installation)
        assert before != gateway.worker_pid
        assert gateway.process.poll() is None
        assert (200, "ready") == ask_callers_port(gateway)
        assert "ready" == ask_operators_port(gateway)["state"]
    assert "the worker was killed by SIGKILL; it is started again at once" in installation.log()
    assert 1 == len([target for target in noojee.targets() if "/dial?" in target])
    assert verify(installation.data_dir / "journal").ok


def test_a_verb_is_in_force_at_once_in_a_worker_that_was_just_replaced(installation: Installation) -> None:
    """
    Whether it finds nobody, the dead worker's socket, or the new one: what it ended is ended when it returns.
    """
    tokens = [installation.add_caller(name, [("everything", ["*"])]) for name in ("one", "two")]
    with installation.serve() as gateway:
        for token in tokens:
            kill(gateway.worker_pid)

            revoked = installation.verb("token", "revoke", token.split("_")[1])

            assert 0 == revoked.returncode, revoked.stderr
            assert "token_invalid" == gateway.call(START, token).reason


def test_calls_are_served_while_there_is_no_control_plane(installation: Installation) -> None:
    """
    Degraded, still ready, until it is there again; a worker that starts meanwhile is told, too.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway:
        before = gateway.control_plane_pid
        kill(before)
        wait_until(lambda: ask_callers_port(gateway) == (200, "degraded"), "it is noticed")

        assert 200 == gateway.call(START, token).status

        wait_until(lambda: ask_callers_port(gateway) == (200, "ready"), "it is there again")
        assert {"ready", "running"} <= {str(told) for told in ask_operators_port(gateway).values()}
        assert before != gateway.control_plane_pid

        kill(gateway.control_plane_pid)
        kill(gateway.worker_pid)
        wait_until(lambda: ask_callers_port(gateway) == (200, "degraded"), "a new worker has been told")
    assert 1 == installation.log().count("the control plane was killed by SIGKILL; it is started again in 1 s\n")
    assert 1 == installation.log().count("the control plane was killed by SIGKILL; it is started again in 2 s\n")


def test_the_operators_port_tells_of_a_worker_that_does_not_answer(gateway: Gateway) -> None:
    """
    It is there and does nothing: unready, though the control plane is well.
    """
    worker = gateway.worker_pid
    os.kill(worker, signal.SIGSTOP)
    try:
        response = gateway.call("/readyz", method="GET", port=gateway.admin_port)
    finally:
        os.kill(worker, signal.SIGCONT)

    assert (503, {"state": "unready", "worker": "does not answer"}) == (response.status, response.json())
    assert 200 == gateway.call("/healthz", method="GET", port=gateway.admin_port).status
    wait_until(lambda: ask_operators_port(gateway)["state"] == "ready", "it answers again")


def test_an_order_that_reaches_every_process_is_carried_out_once(installation: Installation, noojee: Noojee) -> None:
    """
    Ctrl-C, then a closed terminal and a service manager that lost patience. The call that runs is answered, all end.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway:
        pids = gateway.pids
        dialling = dial_slowly(gateway, token, noojee, DRAIN_SECONDS)
        os.killpg(gateway.process.pid, signal.SIGINT)
        wait_until(lambda: ask_callers_port(gateway) == (503, "draining"), "it drains")
        assert "draining" == ask_operators_port(gateway)["state"]
        os.killpg(gateway.process.pid, signal.SIGHUP)
        os.killpg(gateway.process.pid, signal.SIGTERM)

        assert 0 == gateway.process.wait(BOUND_SECONDS)
        answer = dialling.finish()
        assert answer is not None
        assert 200 == answer.status
        assert [] == [pid for pid in pids if is_there(pid)]
        for port in (gateway.port, gateway.admin_port):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), 5)
        assert gateway.process.stdout is not None
        assert b"" == gateway.process.stdout.read()
    assert 1 == len([record for record in installation.journal() if record["tag"] == "worker.stopped"])
    assert [] == closed_by_recovery(installation)
    assert [] == list((installation.data_dir / "run").iterdir())
    assert "started again" not in installation.log()


def test_planes_whose_supervisor_was_killed_drain_and_end(installation: Installation, noojee: Noojee) -> None:
    """
    The call that runs is answered and recorded. Until they have ended nobody else may serve from the folder.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway:
        worker = gateway.worker_pid
        dialling = dial_slowly(gateway, token, noojee, 0.5)
        os.kill(worker, signal.SIGSTOP)  # so that it takes as long to drain as we like
        kill(gateway.process.pid)
        gateway.process.wait(BOUND_SECONDS)

        second = installation.verb("serve", "--json")

        assert (1, "") == (second.returncode, second.stdout)
        assert "already_running" in second.stderr
        os.kill(worker, signal.SIGCONT)
        answer = dialling.finish()
        assert answer is not None
        assert 200 == answer.status
    assert "worker.stopped" == installation.journal()[-1]["tag"]
    assert 2 == installation.log().count("the supervisor is gone; this process ends too\n")
    assert ["supervisor.sock"] == [path.name for path in (installation.data_dir / "run").iterdir()]
    with installation.serve() as gateway:
        assert 200 == gateway.call(START, token).status
    assert [] == closed_by_recovery(installation)


def test_an_order_to_end_before_it_is_ready_leaves_nothing(installation: Installation) -> None:
    """
    Exit code 0, no ready line, no process.
    """
    words = [sys.executable, "-m", "gateway", "serve", "--json"]
    environment = installation._environment() | {"GATEWAY_PORT": "0", "GATEWAY_ADMIN_PORT": "0"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        planes = wait_until(lambda: find_children(process.pid), "it has begun", every_seconds=0)
        process.terminate()
        printed = process.stdout.read()

    assert (0, b"") == (process.returncode, printed)
    assert [] == [pid for pid in planes if is_there(pid)]


def test_a_plane_that_cannot_start_ends_the_node_with_its_own_sentence(installation: Installation) -> None:
    """
    The worker's stream cannot be: found out in the worker's process, told by `serve` as everything else.
    """
    (installation.data_dir / "journal" / "worker-0").touch()
    installation.environment |= {"GATEWAY_PORT": "0", "GATEWAY_ADMIN_PORT": "0", "GATEWAY_LOG_LEVEL": "error"}

    refused = installation.verb("serve", "--json")

    assert (1, "") == (refused.returncode, refused.stdout)
    error = json.loads(refused.stderr)["error"]
    assert "journal_unavailable" == error["reason"]
    assert "the journal's stream worker-0 cannot be opened" in error["detail"]


def test_a_run_folder_that_cannot_be_ends_the_start(installation: Installation, tmp_path: Path) -> None:
    """
    No verb could tell such a node of a change.
    """
    (tmp_path / "file").touch()
    installation.environment |= {"GATEWAY_RUN_DIR": str(tmp_path / "file"), "GATEWAY_PORT": "0"}
    installation.environment |= {"GATEWAY_ADMIN_PORT": "0", "GATEWAY_LOG_LEVEL": "error"}

    refused = installation.verb("serve", "--json")

    assert (1, "") == (refused.returncode, refused.stdout)
    error = json.loads(refused.stderr)["error"]
    assert "data_dir_unusable" == error["reason"]
    assert "Check GATEWAY_RUN_DIR." in error["detail"]


def test_a_ready_line_that_nobody_reads_ends_the_node(installation: Installation) -> None:
    """
    As when `serve | head -0` was meant: it does not go on behind somebody's back.
    """
    words = [sys.executable, "-m", "gateway", "serve"]
    environment = installation._environment() | {"GATEWAY_PORT": "0", "GATEWAY_ADMIN_PORT": "0"}
    reading, writing = os.pipe()
    with subprocess.Popen(words, stdout=writing, stderr=subprocess.PIPE, env=environment) as process:
        os.close(reading)
        os.close(writing)
        assert process.stderr is not None
        told = process.stderr.read()

    assert process.returncode == 70
    assert b"the ready line cannot be printed: Broken pipe" in told
    assert b"Traceback" not in told


def test_the_supervisor_has_loaded_no_library() -> None:
    """
    It is there all the time: what it imports is memory that serves nobody.
    """
    program = "import sys, gateway.cli.supervise; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    uncovered = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=uncovered)
    loaded = set(done.stdout.split())

    libraries = {"pydantic", "pydantic_settings", "fastapi", "uvicorn", "sqlalchemy", "cryptography", "httptools"}
    assert set() == loaded & (libraries | {"httpx2", "orjson", "uvloop", "starlette", "asyncio", "ssl", "sqlite3"})
    assert "gateway" in loaded
