"""
A verb that ends access returns when every running worker acts on it, and says so when one does not.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest
from admin_office import Office

from gateway.administration import callers, credentials, tokens
from gateway.administration.data_folder import lock_serving
from gateway.administration.workers import tell_workers
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.administration.desk import Desk


def _echo(line: bytes) -> bytes:
    return line


def _be_silent(_: bytes) -> None:
    return None


def test_every_worker_is_told_the_committed_version(office: Office, desk: Desk) -> None:
    """
    As decimal text on a line; the verb returns when each has sent the line back.
    """
    with (
        contextlib.closing(office.listen("worker-0.sock", _echo)) as first,
        contextlib.closing(office.listen("worker-1.sock", _echo)) as second,
    ):
        callers.disable(desk, "crm")
        version = desk.read_snapshot().version

    assert [b"%d\n" % version] == first.lines == second.lines


def test_a_worker_that_does_not_acknowledge_is_told_to_the_operator(
    office: Office, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    After the commit: the change is made, the error says what may still happen, and repeating the verb asks again.
    """
    monkeypatch.setattr(tell_workers, "__kwdefaults__", {"timeout_seconds": 0.2})
    issued, _ = tokens.issue(desk, "crm", expires_in=None)
    token_id = str(issued["token_id"])
    with contextlib.closing(office.listen("worker-0.sock", _be_silent)):
        acts: list[Callable[[], object]] = [
            lambda: tokens.revoke(desk, token_id),
            lambda: tokens.revoke(desk, token_id),
            lambda: callers.disable(desk, "crm"),
            lambda: credentials.remove(desk, "alice"),
            lambda: callers.remove(desk, "crm"),
        ]
        for act in acts:
            with pytest.raises(OperatorError, match=r"worker-0\.sock.*did not acknowledge") as caught:
                act()
            assert OperatorReason.NOT_ACKNOWLEDGED == caught.value.reason
    snapshot = desk.read_snapshot()

    assert ({}, {}, {"everything"}) == (dict(snapshot.tokens), dict(snapshot.callers), set(snapshot.credentials))


def test_a_verb_that_grants_does_not_fail_for_a_silent_worker(
    office: Office, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It has the change within a second by itself; nothing dangerous is left in force meanwhile.
    """
    monkeypatch.setattr(tell_workers, "__kwdefaults__", {"timeout_seconds": 0.2})
    with contextlib.closing(office.listen("worker-0.sock", _be_silent)) as worker:
        callers.add(desk, "new", networks=(), query_token_allowed=True)

    assert 1 == len(worker.lines)


def test_workers_are_told_in_their_own_run_folder(
    office: Office, desk: Desk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """
    A verb whose GATEWAY_RUN_DIR differs from that of `serve` finds it in the lock that serving holds, not afterwards.
    """
    theirs = Office(office.data_dir, tmp_path_factory.mktemp("r"))
    with contextlib.closing(theirs.listen("worker-0.sock", _echo)) as worker:
        with lock_serving(office.data_dir, theirs.run_dir):
            callers.disable(desk, "crm")
        callers.enable(desk, "crm")

    assert 1 == len(worker.lines)


def test_sockets_without_a_listener_mean_that_no_gateway_runs(office: Office, desk: Desk) -> None:
    """
    A file left behind by a killed worker, or no file, is no reason to wait or to fail.
    """
    office.listen("worker-0.sock", _echo).close()
    started = time.monotonic()
    callers.disable(desk, "crm")

    assert time.monotonic() - started < 1


def test_a_worker_that_cannot_answer_at_first_is_asked_again(office: Office) -> None:
    """
    One that closes without an answer could not read the registry, or is ending.
    """
    answers = [b"", b"", b"7\n"]
    with contextlib.closing(office.listen("worker-0.sock", lambda _: answers.pop(0))) as worker:
        silent = tell_workers(office.run_dir, 7)

    assert [] == silent
    assert [b"7\n"] * 3 == worker.lines


def test_another_answer_is_no_acknowledgement(office: Office) -> None:
    """
    An older version in force is not what was asked for.
    """
    with contextlib.closing(office.listen("worker-0.sock", lambda _: b"6\n")):
        assert ["worker-0.sock"] == tell_workers(office.run_dir, 7, timeout_seconds=0.2)


def test_many_silent_workers_cost_the_time_of_one(office: Office) -> None:
    """
    They are asked at once, so that a verb ends within its 2 seconds.
    """
    workers = [office.listen(f"worker-{number}.sock", _be_silent) for number in range(6)]
    started = time.monotonic()
    silent = tell_workers(office.run_dir, 7, timeout_seconds=0.3)
    seconds = time.monotonic() - started
    for worker in workers:
        worker.close()

    assert 6 == len(silent)
    assert seconds < 1.5
