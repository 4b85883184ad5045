"""
Recovery: what a process that was killed left open is closed at the next start, never guessed (law 2).

An intent without an outcome becomes `call.ended` with the outcome `unknown`; a change without an end is closed by what
the registry says. Everything here can be repeated, and killed anywhere: a closure is itself a record, so whoever comes
next sees it and goes on behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.audit.chain import parse_record
from gateway.audit.closure import close_intent
from gateway.audit.ending import iterate_backwards
from gateway.audit.event import Tag
from gateway.audit.journal import Journal
from gateway.audit.stream import StreamBusyError
from gateway.errors import StorageError
from gateway.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from gateway.audit.event import Event
    from gateway.clock import Clock

__all__ = [
    "RECOVERED",
    "Recovery",
    "close_attempts",
    "recover",
    "recover_attempts",
    "recover_change",
    "recover_dead",
]

RECOVERED = "recovered"
"""The `reason` of every record with which recovery closes another."""

INTERRUPTED = "interrupted"
"""The `reason` of a `change.failed` whose verb was killed before it committed."""

Attempt = tuple[str, int]
"""A request id and the number of the attempt: what an intent and its outcome have in common."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """
    What was found and closed.

    Attributes:
        closed: For each stream that was recovered, how many intents were closed as `unknown`.
    """

    closed: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """
        How many intents were closed.
        """
        return sum(self.closed.values())


def recover(root: Path, own: Journal, clock: Clock) -> Recovery:
    """
    Close the open intents of every worker's stream that nobody holds, and of our own; then write `worker.started`.

    Call it before the first call is served. Closures stand in the stream of their intent, whose lock is held for it:
    a stream whose lock another process holds is that process's to close.

    Args:
        root: The folder of all streams.
        own: The journal of the worker that starts.
        clock: For `at`.

    Raises:
        StorageError: A stream cannot be read or written. What was closed stays closed.
    """
    closed = dict(recover_dead(root, own, clock).closed)
    closed[own.stream] = _recover_stream(root, own, always=True, tag=Tag.WORKER_STARTED) or 0
    return Recovery(closed)


def recover_dead(root: Path, own: Journal, clock: Clock) -> Recovery:
    """
    The same for the streams of others alone, for a worker that serves while another has died.

    It also gives back what the dead hold of the disk as their reserve: a worker that serves holds its own.

    Args:
        root: The folder of all streams.
        own: The journal of whoever asks; it is left alone.
        clock: For `at`.

    Raises:
        StorageError: As for `recover`.
    """
    closed: dict[str, int] = {}
    for folder in sorted(root.glob("worker-*")):
        if folder.name == own.stream:
            continue
        try:
            dead = Journal.open(root, folder.name, node=own.node, clock=clock)
        except StreamBusyError:
            continue
        try:
            count = _recover_stream(root, dead, always=False, tag=Tag.WORKER_RECOVERED)
        finally:
            dead.close()
        if count is not None:
            closed[folder.name] = count
    return Recovery(closed)


def recover_attempts(root: Path, own: Journal, tag: Tag) -> int:
    """
    Close the open intents of a stream that is no worker's, then write `tag`: before that record nothing is open.

    For whoever probes, who holds the stream and sends nothing before.

    Args:
        root: The folder of all streams.
        own: The stream, `admin` or `control`.
        tag: `check.started` or `prober.started`.

    Returns:
        How many intents were closed as `unknown`.

    Raises:
        StorageError: The stream cannot be read or written.
    """
    return _recover_stream(root, own, always=True, tag=tag) or 0


def close_attempts(root: Path, own: Journal) -> int:
    """
    Close what `recover_attempts` would, for whoever holds the stream and does not probe. Writes nothing else.

    Returns, Raises: As there.
    """
    intents = _find_unclosed(root, own.stream) or {}
    if intents:
        own.record_now(*_close(intents), may_use_reserve=True)
    return len(intents)


def _recover_stream(root: Path, journal: Journal, *, always: bool, tag: Tag) -> int | None:
    """
    Close a stream's open intents, then write `tag`: before that record nothing is open. Returns how many there were.

    Unless `always`, a stream that ends with such a record already is left alone, and the answer is None. A crash
    between the closures and the mark costs the next recovery the same reading again, and nothing else.
    """
    intents = _find_unclosed(root, journal.stream)
    if intents is None and not always:
        return None
    intents = intents or {}
    mark: Event = {"tag": tag, "counts": {Outcome.UNKNOWN.value: len(intents)}}
    journal.record_now(*_close(intents), mark, may_use_reserve=True)
    return len(intents)


def _find_unclosed(root: Path, stream: str) -> dict[Attempt, Mapping[str, Any]] | None:
    """
    As `_find_open`, without what another stream closes.
    """
    try:
        intents = _find_open(root / stream)
        if intents:
            for other in sorted(root.glob("worker-*")):
                if other.name != stream:
                    intents = _drop_closed(intents, other)
    except OSError as error:
        raise StorageError(f"the journal's stream {stream} cannot be read: {error.strerror}") from error
    return intents


def _close(intents: Mapping[Attempt, Mapping[str, Any]]) -> list[Event]:
    return [close_intent(intent, Outcome.UNKNOWN, RECOVERED) for intent in intents.values()]


def _find_open(folder: Path) -> dict[Attempt, Mapping[str, Any]] | None:
    """
    The intents without an outcome since the last record before which nothing is open, in their order.

    None when there is nothing behind that record. Holds only what is under way at one time: a crash may come after
    weeks, and a hundred million records.
    """
    ended: set[Attempt] = set()
    newest_first: list[tuple[Attempt, Mapping[str, Any]]] = []
    is_marked = True
    for record in _read_backwards(folder):
        if _proves_nothing_open(record):
            break
        is_marked = False
        match record.get("tag"):
            case Tag.CALL_INTENDED:
                attempt = _identify(record)
                if attempt in ended:
                    ended.discard(attempt)
                else:
                    newest_first.append((attempt, record))
            case Tag.CALL_ENDED:
                ended.add(_identify(record))
            case _:
                pass
    return None if is_marked else dict(reversed(newest_first))


def _read_backwards(folder: Path) -> Iterator[dict[str, Any]]:
    """
    A stream's records, the last first.
    """
    for lines in iterate_backwards(folder):
        yield from reversed(_parse(lines))


def _proves_nothing_open(record: Mapping[str, Any]) -> bool:
    """
    Whether no intent before this record is open: a start or a recovery closes all first; an orderly stop may say so.
    """
    match record.get("tag"):
        case Tag.WORKER_STARTED | Tag.WORKER_RECOVERED | Tag.CHECK_STARTED | Tag.PROBER_STARTED:
            return True
        case Tag.WORKER_STOPPED:
            return record.get("counts") == {"open": 0}
        case _:
            return False


def _drop_closed(intents: dict[Attempt, Mapping[str, Any]], folder: Path) -> dict[Attempt, Mapping[str, Any]]:
    """
    The intents that no record of another stream closes.

    We never write a closure there. But the rule for a reader of the journal is that one attempt has one outcome,
    wherever it stands, and that must not depend on what some other version of us did.
    """
    oldest_at = min(str(record.get("at")) for record in intents.values())
    closed: set[Attempt] = set()
    for lines in iterate_backwards(folder):
        records = _parse(lines)
        closed.update(_identify(record) for record in records if record.get("tag") == Tag.CALL_ENDED)
        if records and str(records[0].get("at")) < oldest_at:
            break  # an outcome is not older than its intent
    return {attempt: record for attempt, record in intents.items() if attempt not in closed}


def _identify(record: Mapping[str, Any]) -> Attempt:
    return str(record.get("request_id")), int(record.get("attempt", 1))


def recover_change(journal: Journal, registry_version: int) -> None:
    """
    Close the change that a killed verb left open on the operators' stream, if there is one.

    Verbs run one at a time behind the stream's lock and call this first, so at most the last can be open. Its
    `change.intended` carries the registry's version before the change (`policy_version`) and the tag that its success
    would have (`change.tag`). The registry's commit is what made the change, so the version decides.

    Args:
        journal: The operators' stream.
        registry_version: The registry's version now. Greater than the intended change's: it was committed.

    Raises:
        StorageError: The stream cannot be read or written.
    """
    try:
        intent = _find_open_change(journal.path)
    except OSError as error:
        raise StorageError(f"the journal's stream {journal.stream} cannot be read: {error.strerror}") from error
    if intent is None:
        return
    change = dict(intent["change"])
    committed = Tag(change.pop("tag"))
    was_committed = registry_version > intent["policy_version"]
    journal.record_now(
        {
            "tag": committed if was_committed else Tag.CHANGE_FAILED,
            "actor": intent.get("actor"),
            "subject": intent.get("subject"),
            "change": change or None,
            "request_id": intent["request_id"],
            "policy_version": registry_version,
            "reason": RECOVERED if was_committed else INTERRUPTED,
        },
        may_use_reserve=True,
    )


def _find_open_change(folder: Path) -> dict[str, Any] | None:
    """
    The stream's last `change.intended`, unless a later record of the same request id ends it.
    """
    ended: set[str] = set()
    for record in _read_backwards(folder):
        if record.get("tag") == Tag.CHANGE_INTENDED:
            return record if record["request_id"] not in ended else None
        ended.add(str(record.get("request_id")))
    return None


def _parse(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """
    The records in these lines. A damaged line is passed over: recovery is for the rest, and `audit verify` tells of it.
    """
    return [record for line in lines if (record := parse_record(line)) is not None]
