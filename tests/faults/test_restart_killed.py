"""
Kill -9 in the middle of a restart.

Whoever is killed takes the connections with it that it has; nobody else's, and no call is doubled or left open.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from installation import API, Gateway, Installation, is_there, wait_until
from judge import judge
from load import Load

from gateway.administration.restarting import restart
from gateway.evidence.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from installation import Response
    from noojee import Noojee

START = f"{API}/start?extenOrUniqueId=410"
DIAL = f"{API}/dial?number=0412345678&extenOrUniqueId=SIP/411"


class Dialling(threading.Thread):
    """
    A dial that Noojee takes its time for, and what its caller got: nothing when the connection was lost.
    """

    def __init__(self, gateway: Gateway, token: str, noojee: Noojee, seconds: float) -> None:
        super().__init__()
        self._gateway, self._token = gateway, token
        self._response: Response | None = None
        noojee.break_next("CallManagementAPI/dial", "delay", seconds)
        self.start()
        wait_until(lambda: any("/dial?" in target for target in noojee.targets()), "the dial is at Noojee")

    def run(self) -> None:
        """
        The call.
        """
        with contextlib.suppress(OSError, http.client.HTTPException):
            self._response = self._gateway.call(DIAL, self._token)

    def finish(self) -> Response | None:
        """
        What it got.
        """
        self.join(20)
        assert not self.is_alive()
        return self._response


@contextmanager
def stopped_successor(installation: Installation, gateway: Gateway) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """
    The new worker of a restart, stopped before it is ready; and the verb, which waits.
    """
    (old,) = gateway.worker_pids
    words = [sys.executable, "-m", "gateway", "restart", "--json"]
    with subprocess.Popen(
        words, env=installation._environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as verb:
        new = wait_until(lambda: [pid for pid in gateway.worker_pids if pid != old], "a new worker", every_seconds=0)[0]
        os.kill(new, signal.SIGSTOP)
        yield new, verb


def finish(verb: subprocess.Popen[str]) -> dict[str, object]:
    """
    What the verb told: its value, or its error.
    """
    out, err = verb.communicate(timeout=60)
    told: dict[str, object] = json.loads(out) if verb.returncode == 0 else json.loads(err)["error"]
    return told


def find_recovered(installation: Installation) -> list[str]:
    """
    The outcomes of calls that somebody else closed.
    """
    return [each["outcome"] for each in installation.records() if each.get("reason") == "recovered"]


def test_a_new_worker_that_is_killed_leaves_the_old_one_serving(installation: Installation, noojee: Noojee) -> None:
    """
    Before it was ready: the verb says so, and nobody has noticed.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway:
        dialling = Dialling(gateway, token, noojee, 3)
        with stopped_successor(installation, gateway) as (new, verb):
            old = gateway.worker_pids[0]
            os.kill(new, signal.SIGKILL)
            told = finish(verb)

        assert (1, "restart_failed") == (verb.returncode, told["reason"])
        assert "goes on serving. The new worker was killed by SIGKILL." in str(told["detail"])
        assert 200 == gateway.call(START, token).status
        answer = dialling.finish()
        assert answer is not None
        assert 200 == answer.status
        assert [old] == gateway.worker_pids
    assert [] == find_recovered(installation)


def test_an_old_worker_that_is_killed_is_replaced_by_the_new_one(installation: Installation, noojee: Noojee) -> None:
    """
    While the new one is not ready: callers wait for it, and no third is started. It closes what the old one had open.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway:
        dialling = Dialling(gateway, token, noojee, 20)
        with stopped_successor(installation, gateway) as (new, verb):
            os.kill(gateway.worker_pids[0], signal.SIGKILL)
            assert dialling.finish() is None
            wait_until(lambda: "the new one takes its place" in installation.log(), "it is noticed")
            os.kill(new, signal.SIGCONT)
            told = finish(verb)

        assert (0, new, None) == (verb.returncode, told["worker"], told["leaving"])
        assert 200 == gateway.call(START, token).status
        assert [new] == gateway.worker_pids
        wait_until(lambda: find_recovered(installation) == ["unknown"], "its open call is closed")
        assert 0 == installation.verb("restart").returncode
    assert judge(noojee.requests(), installation.data_dir / "journal").is_clean


def test_when_both_are_killed_another_worker_is_started(installation: Installation) -> None:
    """
    As after any death; the verb says what became of the new one.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway:
        with stopped_successor(installation, gateway) as (new, verb):
            for pid in (gateway.worker_pids[0], new):
                os.kill(pid, signal.SIGKILL)
            told = finish(verb)

        assert (1, "restart_failed") == (verb.returncode, told["reason"])
        assert 200 == gateway.call(START, token).status
        assert new != gateway.worker_pid


def test_a_leaving_worker_that_is_killed_leaves_nothing_open(installation: Installation, noojee: Noojee) -> None:
    """
    Its call becomes `unknown` at once, though no worker starts; and nothing is sent again.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway:
        dialling = Dialling(gateway, token, noojee, 20)
        done = restart(installation.data_dir / "run")

        os.kill(done["leaving"], signal.SIGKILL)

        assert dialling.finish() is None
        wait_until(lambda: find_recovered(installation) == ["unknown"], "its open call is closed")
        assert 200 == gateway.call(START, token).status
        assert [done["worker"]] == gateway.worker_pids
    assert "the leaving worker was killed by SIGKILL" in installation.log()
    assert "1 calls that another worker left open were closed as unknown" in installation.log()
    assert judge(noojee.requests(), installation.data_dir / "journal").is_clean
    assert verify(installation.data_dir / "journal").ok


def test_a_new_worker_that_is_killed_later_is_replaced_while_the_old_one_leaves(
    installation: Installation, noojee: Noojee
) -> None:
    """
    The call of the one that leaves is answered, and the start of the third does not close it.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway:
        dialling = Dialling(gateway, token, noojee, 4)
        done = restart(installation.data_dir / "run")

        os.kill(done["worker"], signal.SIGKILL)

        assert 200 == gateway.call(START, token).status
        assert is_there(done["leaving"])
        answer = dialling.finish()
        assert answer is not None
        assert 200 == answer.status
        wait_until(lambda: not is_there(done["leaving"]), "it ends")
    assert [] == find_recovered(installation)
    assert judge(noojee.requests(), installation.data_dir / "journal").is_clean


def test_kills_under_load_double_no_call(installation: Installation, noojee: Noojee) -> None:
    """
    The old worker dies while the new one starts, and another while it leaves: some calls are lost, none is doubled.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway, Load(gateway.port, token, callers=4) as load:
        wait_until(lambda: load.served > 50, "calls come", 20)
        with stopped_successor(installation, gateway) as (new, verb):
            os.kill(gateway.worker_pids[0], signal.SIGKILL)
            os.kill(new, signal.SIGCONT)
            finish(verb)
        served = load.served
        wait_until(lambda: load.served > served + 50, "calls go on", 20)
        done = restart(installation.data_dir / "run")
        with contextlib.suppress(ProcessLookupError):  # it may have left already
            os.kill(done["leaving"], signal.SIGKILL)
        served = load.served
        wait_until(lambda: load.served > served + 50, "calls go on", 20)
    verdict = judge(noojee.requests(), installation.data_dir / "journal")
    assert verdict.is_clean, verdict
    assert len(load.failures) <= 2 * load.callers
    assert verdict.recovered <= 2 * load.callers
    assert load.served <= verdict.calls <= load.served + len(load.failures)
