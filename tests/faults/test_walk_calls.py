"""
Whole calls, with something going wrong at every step in turn; then judged by the simulator's log and the files alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from judge import judge

from gateway import durable
from gateway.evidence.verify import verify

if TYPE_CHECKING:
    from installation import Installation
    from noojee import Noojee

WALK = Path(__file__).parent / "walk_calls.py"
KILLED, NOT_MET, REFUSED_TO_START = -9, 3, 4
STEPS_OF_A_CALL = [
    "before Journal.record",
    "before write",
    "in the middle of write",
    "before sync",
    "after Journal.record",
    "before PooledUpstreams.send",
    "after PooledUpstreams.send",
    "before Journal.record_soon",
    "before Answer.send",
    "after Answer.send",
]


def walk(installation: Installation, how: str) -> list[dict[str, Any]]:
    """
    Walk every step; what each child met, and how it ended.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    (installation.data_dir / "run").mkdir(mode=0o700, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    words = [sys.executable, str(WALK), str(installation.data_dir), token, "100000", how]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, timeout=100)
    assert 0 == done.returncode, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def expect_clean(installation: Installation, noojee: Noojee) -> None:
    """
    Everything at Noojee is covered by intents, every attempt has one outcome, nothing went twice, the chain holds.
    """
    verdict = judge(noojee.requests(), installation.data_dir / "journal")

    assert verdict.is_clean, verdict
    assert verify(installation.data_dir / "journal").ok
    assert verdict.requests > 0


@pytest.mark.parametrize("how", ["kill", "power", "tear"])
def test_a_worker_may_die_at_any_step_of_a_call(installation: Installation, noojee: Noojee, how: str) -> None:
    """
    Killed; or the power is cut, which takes all that was not synced, or tears the last write.
    """
    lives = walk(installation, how)

    expect_clean(installation, noojee)
    assert {KILLED} == {life["ended"] for life in lives[:-1]}
    met = [life["step"] for life in lives[:-1]]
    assert set(STEPS_OF_A_CALL) <= set(met)
    assert {"create_folder", "lock", "sync_folder"} <= {step.split()[-1] for step in met}


@pytest.mark.parametrize("how", ["fail", "persist", "short"])
def test_any_step_of_the_journal_may_fail_in_a_worker_that_lives_on(
    installation: Installation, noojee: Noojee, how: str
) -> None:
    """
    It failed and did nothing, or was done all the same, or half of it was: the next call is served again.
    """
    lives = walk(installation, how)

    expect_clean(installation, noojee)
    assert {0, REFUSED_TO_START} >= {life["ended"] for life in lives[:-1]}, lives
    told = [life["statuses"] for life in lives if life["ended"] == 0]
    assert [200, 503] in told or [503, 200] in told
    assert {(200, 200), (200, 503), (503, 200)} >= {tuple(statuses) for statuses in told}
    names = {life["step"].split()[0] for life in lives[:-1]}
    assert {"write", "sync", "lock", "allocate"} <= names <= set(durable.__all__)
