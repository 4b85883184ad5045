"""
Every change is on the journal before and after it is made, wherever the verb was killed and whatever the disk does.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from admin_office import GLOBAL_KEY, USER_KEY, Office

from gateway import durable
from gateway.administration import callers, credentials, grants, tokens, upstreams
from gateway.administration import desk as desk_module
from gateway.administration.actor import find_actor
from gateway.audit.journal import Journal
from gateway.errors import OperatorError, OperatorReason, StorageError
from gateway.evidence.verify import verify
from gateway.registry.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.administration.desk import Desk
    from gateway.registry.transaction import Transaction


def _live_through(desk: Desk) -> None:
    """
    One of each changing verb.
    """
    upstreams.change(desk, "noojee", url="https://noojee.example.com/contact")
    callers.change(desk, "crm", networks=["10.0.0.0/8"], query_token_allowed=False)
    grant = grants.add(desk, "crm", credential="everything", operations=["CallManagementAPI/*"])
    issued, _ = tokens.issue(desk, "crm", expires_in=timedelta(days=90))
    tokens.revoke(desk, str(issued["token_id"]))
    callers.disable(desk, "crm")
    callers.enable(desk, "crm")
    grants.remove(desk, str(grant["grant_id"]))
    callers.remove(desk, "crm")
    credentials.remove(desk, "everything")
    credentials.remove(desk, "alice")
    upstreams.remove(desk, "noojee")


def test_each_changing_verb_writes_its_intent_and_its_outcome(office: Office, desk: Desk) -> None:
    """
    Two records with one request id: the version before, and the version after; who, what, and what it became.
    """
    before = len(office.read_journal())
    _live_through(desk)
    records = office.read_journal()[before:]
    intents, outcomes = records[::2], records[1::2]

    assert {"change.intended"} == {record["tag"] for record in intents}
    assert [
        "upstream.changed",
        "caller.changed",
        "grant.added",
        "token.issued",
        "token.revoked",
        "caller.disabled",
        "caller.enabled",
        "grant.removed",
        "caller.removed",
        "credential.removed",
        "credential.removed",
        "upstream.removed",
    ] == [record["tag"] for record in outcomes]
    for intent, outcome in zip(intents, outcomes, strict=True):
        assert intent["request_id"] == outcome["request_id"]
        assert intent["change"]["tag"] == outcome["tag"]
        assert intent["policy_version"] + 1 == outcome["policy_version"]
        assert intent["subject"] == outcome["subject"]
        assert find_actor() == intent["actor"] == outcome["actor"]
        assert {**outcome.get("change", {}), "tag": outcome["tag"]} == intent["change"]


def test_the_journal_that_verbs_write_verifies(office: Office, desk: Desk) -> None:
    """
    One chain through all the processes that have held the stream.
    """
    _live_through(desk)

    assert verify(office.data_dir / "journal").first_bad is None


def test_no_secret_is_in_any_file(office: Office, desk: Desk) -> None:
    """
    Law 3: keys are nowhere but sealed, tokens nowhere at all.
    """
    _, token = tokens.issue(desk, "crm", expires_in=None)
    for path in (path for path in office.data_dir.rglob("*") if path.is_file()):
        data = path.read_bytes()
        for secret in (GLOBAL_KEY, USER_KEY, token):
            for form in (secret.reveal().encode(), secret.reveal().encode().hex().encode()):
                assert form not in data, path


def test_a_refused_verb_writes_nothing(office: Office, desk: Desk) -> None:
    """
    What was never intended is not on record, and the version stays.
    """
    before = office.read_journal(), desk.read_snapshot().version
    with pytest.raises(OperatorError):
        callers.add(desk, "crm", networks=(), query_token_allowed=True)

    assert before == (office.read_journal(), desk.read_snapshot().version)


_KILLED = """
import os, sys, json
from pathlib import Path
from gateway.administration import callers
from gateway.administration.desk import Desk
from gateway.audit.journal import Journal
from gateway.clock import SystemClock
from gateway.registry.store import Store

data_dir, run_dir, point = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
place = {"data_dir": data_dir, "run_dir": run_dir, "master_key_file": data_dir / "master.key"}
desk = Desk.open(**place, node="test", clock=SystemClock())
record_now, transaction, recorded = Journal.record_now, Store.transaction, []

def die(*args, **kwargs):
    os._exit(9)

def count(journal, *events, **options):
    recorded.append(events)
    if len(recorded) == {"before intent": 1, "before outcome": 2}.get(point):
        die()
    record_now(journal, *events, **options)

Journal.record_now = count
if point == "before commit":
    Store.transaction = die
callers.disable(desk, "crm")
if point == "before telling":
    die()
"""


@pytest.mark.parametrize(
    ("point", "tags", "is_disabled"),
    [
        ("before intent", [], False),
        ("before commit", ["change.intended", "change.failed"], False),
        ("before outcome", ["change.intended", "caller.disabled"], True),
        ("before telling", ["change.intended", "caller.disabled"], True),
    ],
)
def test_a_verb_killed_at_any_point_is_closed_by_the_next(
    office: Office, point: str, tags: list[str], *, is_disabled: bool
) -> None:
    """
    The crash points are walked: what was committed is closed as done, what was not as failed, and nothing twice.
    """
    before = len(office.read_journal())
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, str(office.data_dir), str(office.run_dir), point], check=False, timeout=60
    )
    with office.open_desk() as desk:
        callers.add(desk, "next", networks=(), query_token_allowed=True)
        callers.add(desk, "other", networks=(), query_token_allowed=True)
        state = callers.get(desk, "crm")["state"]

    assert 9 == killed.returncode
    assert [*tags, *(["change.intended", "caller.added"] * 2)] == office.read_tags()[before:]
    assert ("disabled" if is_disabled else "active") == state


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """
    A switch: on, nothing can be written to the journal's files.
    """
    write = durable.write
    is_full = False

    def write_if_possible(fd: int, data: bytes) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(fd, data)

    def switch(on: bool) -> None:  # noqa: FBT001 - a switch
        nonlocal is_full
        is_full = on

    monkeypatch.setattr(durable, "write", write_if_possible)
    yield switch
    switch(False)


def test_with_a_full_disk_nothing_is_changed(office: Office, desk: Desk, full_disk: Callable[[bool], None]) -> None:
    """
    A change that cannot be recorded is not made.
    """
    version = desk.read_snapshot().version
    full_disk(True)
    with pytest.raises(OperatorError, match="Nothing was changed") as caught:
        callers.enable(desk, _disabled_caller(desk, full_disk))
    with pytest.raises(OperatorError, match="No space left"):
        tokens.issue(desk, "crm", expires_in=None)

    assert OperatorReason.JOURNAL_UNAVAILABLE == caught.value.reason
    assert version + 2 == desk.read_snapshot().version
    assert [] == tokens.find_all(desk)
    assert office.read_tags()[-1] == "caller.disabled"


def _disabled_caller(desk: Desk, full_disk: Callable[[bool], None]) -> str:
    full_disk(False)
    callers.add(desk, "old", networks=(), query_token_allowed=True)
    callers.disable(desk, "old")
    full_disk(True)
    return "old"


def test_with_a_full_disk_access_is_ended_all_the_same_and_recorded_later(
    office: Office, desk: Desk, full_disk: Callable[[bool], None]
) -> None:
    """
    Revoke, disable and remove act and report it; the next verb that can puts them on record, each with its version.
    """
    issued, _ = tokens.issue(desk, "crm", expires_in=None)
    before, version = len(office.read_journal()), desk.read_snapshot().version
    full_disk(True)
    acts: list[Callable[[], object]] = [
        lambda: tokens.revoke(desk, str(issued["token_id"])),
        lambda: callers.disable(desk, "crm"),
        lambda: credentials.remove(desk, "alice"),
    ]
    for act in acts:
        with pytest.raises(OperatorError, match="not on record yet") as caught:
            act()
        assert OperatorReason.JOURNAL_UNAVAILABLE == caught.value.reason
    snapshot = desk.read_snapshot()
    full_disk(False)
    callers.enable(desk, "crm")
    records = office.read_journal()[before:]

    assert ({}, {}, {"everything"}) == (dict(snapshot.tokens), dict(snapshot.callers), set(snapshot.credentials))
    assert [
        ("token.revoked", issued["token_id"], version + 1, "recorded_late"),
        ("caller.disabled", "crm", version + 2, "recorded_late"),
        ("credential.removed", "alice", version + 3, "recorded_late"),
        ("change.intended", "crm", version + 3, None),
        ("caller.enabled", "crm", version + 4, None),
    ] == [(each["tag"], each["subject"], each["policy_version"], each.get("reason")) for each in records]
    assert "2026-05-03T09:15:00.000000Z" == records[0]["change"]["committed_at"]


def test_an_open_change_is_not_taken_for_done_because_of_a_later_unrecorded_one(
    office: Office, desk: Desk, full_disk: Callable[[bool], None]
) -> None:
    """
    Killed before its commit, then a revocation on a full disk: the version rose, but not by the killed verb.
    """
    issued, _ = tokens.issue(desk, "crm", expires_in=None)
    before = len(office.read_journal())
    subprocess.run(
        [sys.executable, "-c", _KILLED, str(office.data_dir), str(office.run_dir), "before commit"],
        check=False,
        timeout=60,
    )
    full_disk(True)
    with pytest.raises(OperatorError, match="not on record yet"):
        tokens.revoke(desk, str(issued["token_id"]))
    full_disk(False)
    callers.add(desk, "next", networks=(), query_token_allowed=True)

    assert [
        "change.intended",
        "change.failed",
        "token.revoked",
        "change.intended",
        "caller.added",
    ] == office.read_tags()[before:]


def test_a_change_whose_end_cannot_be_recorded_is_in_force_and_closed_by_the_next(
    office: Office, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The operator is told so, and no token is shown of which the journal does not know the end.
    """
    before = len(office.read_journal())
    with monkeypatch.context() as patch:
        _fail_record(patch, number=2)
        with pytest.raises(OperatorError, match="in force, but its end is not on record"):
            tokens.issue(desk, "crm", expires_in=None)
    callers.disable(desk, "crm")

    assert 1 == len(tokens.find_all(desk))
    assert ["change.intended", "token.issued", "change.intended", "caller.disabled"] == office.read_tags()[before:]
    assert "recovered" == office.read_journal()[before + 1]["reason"]


def _fail_record(patch: pytest.MonkeyPatch, *, number: int) -> None:
    record_now, recorded = Journal.record_now, []

    def record(journal: Journal, *events: Any, **options: Any) -> None:
        recorded.append(events)
        if len(recorded) == number:
            raise StorageError("admin/00000001.jsonl cannot be written: No space left on device")
        record_now(journal, *events, **options)

    patch.setattr(Journal, "record_now", record)


@pytest.mark.parametrize("persists", [False, True], ids=["failed and did not persist", "failed but did persist"])
def test_a_commit_that_fails_is_judged_by_the_version(
    office: Office, desk: Desk, monkeypatch: pytest.MonkeyPatch, *, persists: bool
) -> None:
    """
    Not by the exception: what is there after all is recorded as done, and what is not as failed.
    """
    before = len(office.read_journal())
    transaction = Store.transaction

    @contextlib.contextmanager
    def fail_to_commit(store: Store) -> Iterator[Transaction]:
        error = StorageError("The registry cannot be written: the disk is full.")
        with transaction(store) as registry:
            yield registry
            if not persists:
                raise error
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Store, "transaction", fail_to_commit)
        if persists:
            callers.disable(desk, "crm")
        else:
            with pytest.raises(OperatorError, match="Nothing was changed") as caught:
                callers.disable(desk, "crm")
            assert OperatorReason.REGISTRY_UNAVAILABLE == caught.value.reason
    last = office.read_journal()[-1]

    assert before + 2 == len(office.read_journal())
    assert ("caller.disabled" if persists else "change.failed") == last["tag"]
    assert (None if persists else "registry_unavailable") == last.get("reason")
    assert ("disabled" if persists else "active") == callers.get(desk, "crm")["state"]


def test_an_interruption_after_the_commit_is_recorded_first(
    office: Office, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Ctrl-C is not lost, and neither is the outcome.
    """
    transaction = Store.transaction

    @contextlib.contextmanager
    def interrupt(store: Store) -> Iterator[Transaction]:
        with transaction(store) as registry:
            yield registry
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "transaction", interrupt)
        with pytest.raises(KeyboardInterrupt):
            callers.disable(desk, "crm")

    assert "caller.disabled" == office.read_tags()[-1]


def test_a_verb_waits_for_the_stream_and_then_says_who_has_it(
    office: Office, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Two at once would each write versions that the other does not know.
    """
    monkeypatch.setattr(desk_module, "_LOCK_WAIT_SECONDS", 0.05)
    journal = Journal.open(office.data_dir / "journal", "admin", node="test", clock=office.clock)
    try:
        with pytest.raises(OperatorError, match="Another command") as caught:
            callers.disable(desk, "crm")
    finally:
        journal.close()

    assert OperatorReason.JOURNAL_BUSY == caught.value.reason
    assert "active" == callers.get(desk, "crm")["state"]


def test_verbs_at_once_come_one_after_another(office: Office) -> None:
    """
    Eight processes, no record lost, no version twice, one chain.
    """
    code = (
        "import sys; from pathlib import Path\n"
        "from gateway.administration import callers; from gateway.administration.desk import Desk\n"
        "from gateway.clock import SystemClock\n"
        "data = Path(sys.argv[1])\n"
        "with Desk.open(data_dir=data, run_dir=Path(sys.argv[2]), master_key_file=data / 'master.key', node='test',"
        " clock=SystemClock()) as desk:\n"
        "    callers.add(desk, sys.argv[3], networks=(), query_token_allowed=True)\n"
    )
    before = len(office.read_journal())
    words = [sys.executable, "-c", code, str(office.data_dir), str(office.run_dir)]
    running = [subprocess.Popen([*words, f"c{number}"]) for number in range(8)]
    codes = [process.wait(60) for process in running]
    records = office.read_journal()[before:]

    assert [0] * 8 == codes
    assert ["change.intended", "caller.added"] * 8 == [record["tag"] for record in records]
    versions = [record["policy_version"] for record in records[1::2]]
    assert list(range(versions[0], versions[0] + 8)) == versions
    assert verify(office.data_dir / "journal").first_bad is None


def test_an_event_of_the_largest_change_fits_a_line(office: Office, desk: Desk) -> None:
    """
    A caller with 64 networks, 64 globs in a grant and many tokens is added and removed on record.
    """
    networks = [f"2001:db8:{number:x}:ffff:ffff:ffff:ffff:{number:x}/128" for number in range(64)]
    callers.add(desk, "large", networks=networks, query_token_allowed=True)
    callers.change(desk, "large", networks=list(reversed(networks)))
    globs = [f"{'*' * (127 - number)}" for number in range(64)]
    grants.add(desk, "large", credential="everything", operations=globs)
    with office.open_desk() as other, other.changing() as changing:
        changing.carry_out(*_many_tokens(other))
    callers.remove(desk, "large")
    removed = office.read_journal()[-1]

    assert ("caller.removed", 300) == (removed["tag"], removed["change"]["tokens_removed"])
    assert 100 == len(removed["change"]["token_ids"])


def _many_tokens(desk: Desk) -> tuple[Any, ...]:
    from gateway.audit.event import Tag
    from gateway.registry.rows import TokenRow

    def write(registry: Any) -> None:
        for number in range(300):
            registry.add_token(TokenRow(f"{number:012}", "large", desk.clock.now(), None, None), str(number).encode())

    return Tag.TOKEN_ISSUED, "many", json.loads("{}"), write


def _fail_store(patch: pytest.MonkeyPatch, name: str, *, after: int = 0) -> None:
    """
    Let a method of the store raise, from its call `after` + 1 on.
    """
    method, calls = getattr(Store, name), []

    def fail(store: Store, *arguments: Any, **options: Any) -> Any:
        calls.append(name)
        if len(calls) > after:
            raise StorageError("The registry cannot be read or written: the disk is failing.")
        return method(store, *arguments, **options)

    patch.setattr(Store, name, fail)


def test_a_registry_that_cannot_be_read_changes_nothing(
    office: Office, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Neither to settle what is open nor to know the version: then nothing is intended.
    """
    before = office.read_journal()
    for name in ("reading", "version"):
        with monkeypatch.context() as patch:
            _fail_store(patch, name)
            with pytest.raises(OperatorError, match="the disk is failing"):
                callers.add(desk, "next", networks=(), query_token_allowed=True)
    with monkeypatch.context() as patch:
        _fail_store(patch, "version")
        with pytest.raises(OperatorError, match="Nothing was changed") as caught:
            callers.disable(desk, "crm")

    assert OperatorReason.REGISTRY_UNAVAILABLE == caught.value.reason
    assert before == office.read_journal()


def test_a_commit_of_which_nothing_can_be_known_is_left_open_and_closed_later(
    office: Office, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    No guess: the operator is told that it is not known, and the next verb asks the version.
    """
    before = len(office.read_journal())
    with monkeypatch.context() as patch:
        _fail_store(patch, "transaction")
        _fail_store(patch, "version", after=1)
        with pytest.raises(OperatorError, match="whether it was cannot be read") as caught:
            callers.change(desk, "crm", query_token_allowed=False)
    left_open = office.read_tags()[before:]
    callers.add(desk, "next", networks=(), query_token_allowed=True)

    assert OperatorReason.REGISTRY_UNAVAILABLE == caught.value.reason
    assert ["change.intended"] == left_open
    assert ["change.intended", "change.failed"] == office.read_tags()[before : before + 2]


def test_a_failure_that_cannot_be_recorded_is_told_and_closed_later(
    office: Office, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The first error is the one that the operator needs; the open intent is the next verb's to close.
    """
    before = len(office.read_journal())
    with monkeypatch.context() as patch:
        _fail_store(patch, "transaction")
        _fail_record(patch, number=2)
        with pytest.raises(OperatorError, match="the disk is failing"):
            callers.change(desk, "crm", query_token_allowed=False)
    callers.add(desk, "next", networks=(), query_token_allowed=True)

    assert ["change.intended", "change.failed", "change.intended", "caller.added"] == office.read_tags()[before:]


@pytest.mark.parametrize(
    ("error", "reason"), [(RuntimeError("marked"), "internal"), (KeyboardInterrupt(), "interrupted")]
)
def test_what_fails_or_is_interrupted_before_the_commit_is_recorded_as_failed(
    office: Office, desk: Desk, monkeypatch: pytest.MonkeyPatch, error: BaseException, reason: str
) -> None:
    """
    With a word for why, and without the text of a foreign error.
    """

    def fail(_: Store) -> None:
        raise error

    monkeypatch.setattr(Store, "transaction", fail)
    with pytest.raises(type(error)):
        callers.disable(desk, "crm")
    last = office.read_journal()[-1]

    assert ("change.failed", reason) == (last["tag"], last["reason"])


def test_a_journal_that_cannot_be_opened_or_settled_does_not_keep_access_open(
    office: Office, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Neither does it let anything else happen.
    """
    with monkeypatch.context() as patch:
        patch.setattr(durable, "lock", _raise_no_space)
        with pytest.raises(OperatorError, match="not on record yet"):
            callers.disable(desk, "crm")
        with pytest.raises(OperatorError, match="cannot be opened") as unopened:
            callers.enable(desk, "crm")
    with monkeypatch.context() as patch:
        _fail_record(patch, number=1)
        with pytest.raises(OperatorError, match="An earlier change") as unsettled:
            callers.enable(desk, "crm")
    with monkeypatch.context() as patch:
        _fail_record(patch, number=1)
        with pytest.raises(OperatorError, match="not on record yet"):
            credentials.remove(desk, "alice")
    state = callers.get(desk, "crm")["state"]
    callers.enable(desk, "crm")

    assert "disabled" == state
    assert OperatorReason.JOURNAL_UNAVAILABLE == unopened.value.reason == unsettled.value.reason
    assert ["caller.disabled", "credential.removed", "change.intended", "caller.enabled"] == office.read_tags()[-4:]


def _raise_no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
