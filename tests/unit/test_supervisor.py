"""
The supervisor's and the planes' small parts: what passes between them as text, pauses, and asking a worker how it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.control_plane.asking import ask_workers
from gateway.control_plane.plan import ControlPlanePlan, ProbePlan
from gateway.data_plane.bounds import Bounds
from gateway.data_plane.plan import WorkerPlan
from gateway.readiness import Readiness, State
from gateway.run_folder import ASK_READINESS
from gateway.supervisor.assignment import Assignment
from gateway.supervisor.backoff import Backoff
from gateway.supervisor.node import Node
from gateway.supervisor.notifier import Notifier
from gateway.supervisor.plan import PlanePlan, SupervisorPlan
from gateway.supervisor.plane import Plane
from gateway.supervisor.post import Visitor
from gateway.supervisor.renewals import Renewal, Renewals
from gateway.upstream.request import Timeouts


def test_what_is_told_arrives_as_it_was() -> None:
    """
    parse(render(x)) == x for everything that passes between the processes.
    """
    worker = WorkerPlan(
        Path("/data"), Path("/run/x y"), Path("/\u00e9.key"), "node", "61", Bounds(connections=7), Timeouts(1.5)
    )
    probe = ProbePlan(Path("/data"), Path("/key"), 300.0, Timeouts(connect_seconds=2.5))
    control_plane = ControlPlanePlan(Path("/run"), "Node", Path("/data"), probe)
    unprobed = ControlPlanePlan(Path("/run"), "Node", Path("/data"))
    assignment = Assignment(5, "info", ["/cert", "/key"], worker.render())
    supervisor = SupervisorPlan(
        worker=PlanePlan(["python", "-m", "a"], assignment.render(), 5),
        control_plane=PlanePlan(["python", "-m", "b"], "{}", 6),
        ready="ready\n",
        end_seconds=30.0,
        log_level="info",
        as_json=True,
        lock=4,
    )
    readiness = Readiness(State.DEGRADED, {"registry": "not readable"})

    assert worker == WorkerPlan.parse(worker.render())
    assert control_plane == ControlPlanePlan.parse(json.loads(json.dumps(control_plane.render())))
    assert unprobed == ControlPlanePlan.parse(unprobed.render())
    assert supervisor == SupervisorPlan.parse(supervisor.render())
    assert readiness == Readiness.parse(readiness.render())
    told = Assignment.parse(supervisor.worker.assignment.encode())
    assert (5, ["/cert", "/key"], worker) == (told.listener, told.tls_files, WorkerPlan.parse(told.plan))
    assert "\n" not in supervisor.worker.assignment
    assert (5, 6, 4) == supervisor.descriptors


@pytest.mark.parametrize(("first", "pauses"), [(0.0, [0, 1, 2, 4, 8, 16, 30, 30]), (1.0, [1, 2, 4, 8, 16, 30, 30, 30])])
def test_pauses_grow_in_a_row_of_deaths_and_begin_anew_after_a_steady_life(first: float, pauses: list[float]) -> None:
    """
    A crash loop cannot spin, and a death a week is none.
    """
    backoff = Backoff(first)

    assert pauses == [backoff.find_pause(0.1) for _ in pauses]
    assert pauses[:2] == [backoff.find_pause(60.0), backoff.find_pause(59.0)]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """
    A run folder in which a killed worker has left its socket.
    """
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "worker-0.sock"))
    return tmp_path


async def serve(path: Path, answer: bytes) -> asyncio.Server:
    """
    Somebody who answers so to whoever asks.
    """

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == ASK_READINESS
        writer.write(answer)
        writer.close()

    return await asyncio.start_unix_server(tell, str(path))


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], Readiness(State.UNREADY, {"worker": "not running"})),
        ([Readiness(State.READY, {"a": 1}).render()], Readiness(State.READY, {"a": 1})),
        (
            [Readiness(State.READY).render(), Readiness(State.DRAINING).render(), Readiness(State.DEGRADED).render()],
            Readiness(State.DRAINING),
        ),
        (
            [Readiness(State.DRAINING, {"leaving": True}).render(), Readiness(State.DEGRADED).render()],
            Readiness(State.DEGRADED),
        ),
        ([Readiness(State.READY, {"leaving": True}).render()], Readiness(State.READY, {"leaving": True})),
        ([Readiness(State.READY).render(), b""], Readiness(State.UNREADY, {"worker": "does not answer"})),
        ([b'{"state": "rea'], Readiness(State.UNREADY, {"worker": "does not answer"})),
        ([b'{"state": "splendid", "details": {}}\n'], Readiness(State.UNREADY, {"worker": "does not answer"})),
    ],
)
def test_a_node_is_as_its_worst_worker(run_dir: Path, answers: list[bytes], expected: Readiness) -> None:
    """
    Who is dead counts for nothing, nor who leaves while another stays; who answers nonsense does not answer.
    """

    async def ask() -> Readiness:
        servers = [await serve(run_dir / f"worker-{number}.sock", each) for number, each in enumerate(answers, 1)]
        try:
            return await ask_workers(run_dir)
        finally:
            for server in servers:
                server.close()

    assert expected == asyncio.run(ask())


def test_a_worker_that_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    """
    It took the connection and stands still.
    """
    with socket.socket(socket.AF_UNIX) as standing:
        standing.bind(str(tmp_path / "worker-0.sock"))
        standing.listen()

        found = asyncio.run(ask_workers(tmp_path, patience_seconds=0.05))

    assert Readiness(State.UNREADY, {"worker": "does not answer"}) == found


LIFE = """
import sys
from gateway.errors import OperatorError, OperatorReason, StorageError
from gateway.supervisor.lifeline import live

def serve(lifeline, assignment):
    assert assignment.plan == {"a": 1}
    lifeline.tell_ready()
    raise %s

sys.exit(live(serve))
"""


@pytest.mark.parametrize(
    ("error", "told", "code"),
    [
        ("OperatorError(OperatorReason.TLS_UNUSABLE, 'Do this.')", {"failed": "tls_unusable", "detail": "Do this."}, 1),
        ("StorageError('the disk')", {"failed": "journal_unavailable", "detail": "the disk"}, 1),
        ("ValueError('a secret')", {"failed": "internal", "detail": "unexpected error: ValueError"}, 70),
    ],
)
def test_a_plane_tells_why_it_ends(error: str, told: dict[str, str], code: int) -> None:
    """
    To the supervisor alone, and of what was not expected its type alone (law 3).
    """
    assignment = Assignment(0, "info", [], {"a": 1}).render() + "\n"
    done = subprocess.run(
        [sys.executable, "-c", LIFE % error], input=assignment, capture_output=True, text=True, check=False
    )

    assert [{"ready": True}, told] == [json.loads(line) for line in done.stdout.splitlines()]
    assert (code, "") == (done.returncode, done.stderr)


RELOADED = """
import sys
from gateway.supervisor.lifeline import Lifeline
from gateway.supervisor.orders import RELOAD

Lifeline().reload(RELOAD + sys.argv[1], None)
"""


@pytest.mark.parametrize("order", ['{"unknown": 1}', "[]", "no"])
def test_an_order_that_is_not_understood_is_answered(order: str) -> None:
    """
    The supervisor would wait for a minute else.
    """
    done = subprocess.run([sys.executable, "-c", RELOADED, order], capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr)
    told = json.loads(done.stdout)
    assert (False, "unexpected error: ") == (told["reloaded"], told["detail"][:18])


COUNTING = """
import json, sys

for _, line in zip(range(3), sys.stdin):
    print(json.dumps({"bytes": len(line)}), flush=True)
"""


def test_what_a_pipe_does_not_hold_at_once_is_told_whole() -> None:
    """
    And so is what comes behind it.
    """
    plane = Plane("plane", PlanePlan([sys.executable, "-c", COUNTING], "a" * 300_000, -1), ())
    os.set_blocking(plane.start(0.0), False)
    plane.tell("b" * 300_000)
    plane.tell("c")
    heard: list[object] = []
    while len(heard) < 3:
        plane.tell_on()
        with contextlib.suppress(BlockingIOError):
            heard += [word["bytes"] for word in plane.hear()]

    assert [300_001, 300_001, 2] == heard
    assert not plane.has_untold
    plane.end()
    assert 0 == plane.bury()


def test_a_successor_that_was_given_up_takes_no_place() -> None:
    """
    Its readiness may lie in the pipe when the signal that kills it is on its way.
    """
    plane = PlanePlan(["python"], "{}", 5)
    node = Node(
        SupervisorPlan(worker=plane, control_plane=plane, ready="", end_seconds=1, log_level="info", as_json=False)
    )
    before, (visiting, visited) = node.worker, socket.socketpair()
    renewals = Renewals(node, lambda _plane: None, Notifier.find())
    renewals.ask(Renewal(is_restart=True, visitor=Visitor(visited)))
    assert node.successor is not None
    renewals.note_overdue(node.successor)

    renewals.install_successor()

    assert before is node.worker
    renewals.note_successor_ended("was killed by SIGKILL")
    with visiting:
        told = json.loads(visiting.recv(4096))
    assert {"failed": "restart_failed", "detail": "The new worker was not ready in time."} == told


def test_a_plane_whose_supervisor_is_gone_before_it_said_anything_just_ends() -> None:
    """
    Nobody is left to be told.
    """
    program = [sys.executable, "-c", LIFE % "AssertionError"]
    done = subprocess.run(program, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
