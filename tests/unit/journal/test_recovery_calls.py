"""
Intents without an outcome are closed at the next start, as `unknown`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from gateway.audit.event import Tag
from gateway.audit.recovery import Recovery, recover
from gateway.clock import SystemClock
from gateway.errors import StorageError
from gateway.evidence.reader import tail
from gateway.evidence.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from gateway.audit.journal import Journal

CLOCK = SystemClock()

INTENT = {
    "tag": Tag.CALL_INTENDED,
    "attempt": 1,
    "caller": "crm",
    "token_id": "0123456789ab",
    "carrier": "authorization",
    "peer": "10.0.0.7",
    "operation": "CallManagementAPI/dial",
    "credential": "main",
    "grant_id": "g1",
    "policy_version": 7,
    "parameters": {"exten": {"text": "410"}},
    "decision": "allow",
}


def intended(request_id: str, attempt: int = 1) -> dict[str, object]:
    """
    An intent.
    """
    return INTENT | {"request_id": request_id, "attempt": attempt}


def ended(request_id: str, attempt: int = 1) -> dict[str, object]:
    """
    The outcome that the worker itself recorded.
    """
    return {"tag": Tag.CALL_ENDED, "request_id": request_id, "attempt": attempt, "outcome": "succeeded"}


def read(root: Path, stream: str) -> list[dict[str, Any]]:
    """
    A stream's records.
    """
    records = [orjson.loads(line) for line in tail(root, 100_000)]
    return [record for record in records if record["stream"] == stream]


def outcomes(root: Path, stream: str) -> list[tuple[str, int, str]]:
    """
    Request id, attempt and outcome of each ended call of a stream.
    """
    return [
        (record["request_id"], record["attempt"], record["outcome"])
        for record in read(root, stream)
        if record["tag"] == "call.ended"
    ]


def test_an_open_intent_becomes_unknown_in_its_own_stream(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    With who, what and which key copied from the intent, so that the outcome can be read alone; then the start.
    """
    journal = open_journal()
    journal.record_now(intended("a"), intended("b"), ended("a"))
    journal.close()

    again = open_journal()
    recovery = recover(root, again, CLOCK)

    closure, started = read(root, "worker-0")[-2:]
    copied = {name: value for name, value in INTENT.items() if name not in {"tag", "parameters", "decision"}}
    assert Recovery({"worker-0": 1}) == recovery
    assert copied.items() <= closure.items()
    assert ("call.ended", "b", "unknown", "recovered") == tuple(
        closure[name] for name in ("tag", "request_id", "outcome", "reason")
    )
    assert ("worker.started", {"unknown": 1}) == (started["tag"], started["counts"])
    assert verify(root).ok


def test_each_attempt_has_its_own_outcome(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    The second attempt of a call is open though its first is closed.
    """
    journal = open_journal()
    journal.record_now(intended("a"), ended("a"), intended("a", 2))

    recover(root, journal, CLOCK)

    assert outcomes(root, "worker-0") == [("a", 1, "succeeded"), ("a", 2, "unknown")]


def test_recovery_can_be_repeated(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    What is closed is closed: each start adds one record, its own.
    """
    journal = open_journal()
    journal.record_now(intended("a"))

    totals = [recover(root, journal, CLOCK).total for _ in range(3)]

    assert totals == [1, 0, 0]
    assert ["call.intended", "call.ended"] + ["worker.started"] * 3 == [r["tag"] for r in read(root, "worker-0")]


def test_every_stream_that_nobody_holds_is_recovered(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    Of four workers two are alive; the dead ones' calls are closed, each in its own stream, whose end says so.
    """
    dead, living = open_journal("worker-1"), open_journal("worker-2")
    quiet = open_journal("worker-3")
    for journal in (dead, living):
        journal.record_now(intended(journal.stream))
    quiet.record_now({"tag": Tag.WORKER_STARTED})
    dead.close()
    quiet.close()

    recovery = recover(root, open_journal("worker-0"), CLOCK)

    assert recovery == Recovery({"worker-0": 0, "worker-1": 1})
    assert outcomes(root, "worker-1") == [("worker-1", 1, "unknown")]
    assert read(root, "worker-1")[-1]["tag"] == "worker.recovered"
    assert outcomes(root, "worker-2") == []
    assert len(read(root, "worker-3")) == 1


def test_a_recovered_stream_is_left_alone(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    A dead stream does not grow with every start of another worker.
    """
    dead = open_journal("worker-1")
    dead.record_now(intended("a"))
    dead.close()
    own = open_journal("worker-0")

    recover(root, own, CLOCK)
    recover(root, own, CLOCK)

    assert ["call.intended", "call.ended", "worker.recovered"] == [r["tag"] for r in read(root, "worker-1")]


@pytest.mark.parametrize("mark", [Tag.WORKER_STARTED, Tag.WORKER_RECOVERED])
def test_nothing_is_read_beyond_the_last_start(open_journal: Callable[..., Journal], root: Path, mark: Tag) -> None:
    """
    Each start closes everything before it writes its record, so the cost of a start is that of one run.
    """
    journal = open_journal()
    journal.record_now(intended("before"), {"tag": mark}, intended("after"))

    recover(root, journal, CLOCK)

    assert outcomes(root, "worker-0") == [("after", 1, "unknown")]


def test_an_orderly_stop_with_nothing_open_counts_as_a_start(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    Only when it says so: a stop with calls open, or that says nothing, proves nothing.
    """
    journal = open_journal()
    journal.record_now(intended("a"), {"tag": Tag.WORKER_STOPPED, "counts": {"open": 1}})
    assert recover(root, journal, CLOCK).total == 1

    journal.record_now(intended("b"), {"tag": Tag.WORKER_STOPPED, "counts": {"open": 0}})
    assert recover(root, journal, CLOCK).total == 0


def test_an_intent_many_segments_ago_is_found(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    A long poll outlives segments.
    """
    journal = open_journal(segment_limit_bytes=1)
    journal.record_now(intended("poll"))
    for number in range(10):
        journal.record_now(intended(f"r{number}"), ended(f"r{number}"))

    recover(root, journal, CLOCK)

    assert outcomes(root, "worker-0")[-1] == ("poll", 1, "unknown")
    assert verify(root).ok


def test_a_closure_in_another_stream_counts(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    One attempt has one outcome, wherever it stands.
    """
    dead, other = open_journal("worker-1"), open_journal("worker-2")
    dead.record_now(intended("a"), intended("b"))
    other.record_now(ended("a"))
    dead.close()

    recovery = recover(root, open_journal("worker-0"), CLOCK)

    assert recovery.closed["worker-1"] == 1
    assert outcomes(root, "worker-1") == [("b", 1, "unknown")]


def test_thousands_of_open_calls_are_closed(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    A process full of long polls was killed.
    """
    journal = open_journal()
    journal.record_now(*(intended(f"r{number}") for number in range(3000)))

    assert recover(root, journal, CLOCK).total == 3000
    assert len(outcomes(root, "worker-0")) == 3000


def test_a_damaged_line_does_not_stop_the_rest(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    Recovery closes what it can read; verify tells of the damage.
    """
    journal = open_journal()
    journal.record_now(intended("a"), intended("b"), intended("c"))
    journal.close()
    path = journal.path / "00000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"request_id":"b"', b'"request_id"?"b"'))

    assert recover(root, open_journal(), CLOCK).total == 2
    assert not verify(root).ok


def test_a_stream_that_cannot_be_read_stops_the_start(open_journal: Callable[..., Journal], root: Path) -> None:
    """
    Otherwise its calls would stay open without anybody knowing.
    """
    own = open_journal()
    (root / "worker-1" / "00000001.jsonl").mkdir(parents=True)

    with pytest.raises(StorageError, match="worker-1 cannot be read"):
        recover(root, own, CLOCK)
