"""
One change of the registry, on record: intent durable, registry committed, outcome recorded (law 2 for operators).

Whoever is killed in between leaves an intent without an end; the next verb closes it by the registry's version, which
only a commit raises. That works because verbs run one at a time, each holding the journal's stream `admin`.

Ending access must be possible on a full disk too, and is recorded there in the journal's reserve, which no other change
may use. When not even that can be written, the event is committed to the registry with the change, and the next verb
that finds the journal writable puts it on record: late, but not lost.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from gateway.administration.actor import find_actor
from gateway.audit.event import Tag
from gateway.audit.recovery import recover_change
from gateway.clock import create_request_id, render_instant
from gateway.errors import OperatorError, OperatorReason, StorageError
from gateway.registry.rows import OwedEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.audit.event import Event
    from gateway.audit.journal import Journal
    from gateway.clock import Clock
    from gateway.registry.store import Store
    from gateway.registry.transaction import Transaction

__all__ = ["Change", "settle_changes"]

_LATE = "recorded_late"
"""The `reason` of an event whose change was made while the journal could not be written."""


def settle_changes(journal: Journal, store: Store) -> None:
    """
    Put on record what earlier verbs could not: close an open change, then write the events that are owed.

    Call it with the stream `admin` held, before anything else is written to it. Can be repeated: a crash between an
    event and its removal from what is owed writes it twice, under one request id.

    Raises:
        StorageError: The journal or the registry cannot be written.
    """
    with store.reading() as registry:
        version, owed = registry.version, registry.find_owed_events()
    if owed:
        # An intent that was open before these unrecorded commits must be judged by the version it could have made.
        version = owed[0].version - 1
    recover_change(journal, version)
    for each in owed:
        journal.record_now(json.loads(each.event), may_use_reserve=True)
        with store.transaction(raises_version=False) as registry:
            registry.remove_owed_event(each.request_id)


class Change:
    """
    What a verb changes the registry by, at most once.

    Args:
        journal: The stream `admin`, held and settled; None when it cannot be used and the change is made all the same.
        may_go_unrecorded: Whether the change is made even if its intent cannot be recorded.
    """

    def __init__(self, store: Store, journal: Journal | None, clock: Clock, *, may_go_unrecorded: bool) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._may_go_unrecorded = may_go_unrecorded
        self.warnings: list[str] = []
        """What the operator must be told though the change is in force; whole sentences."""

    def carry_out(
        self, tag: Tag, subject: str, details: Mapping[str, object], write: Callable[[Transaction], None]
    ) -> None:
        """
        Make the change; committed when it returns.

        Args:
            tag: What it will be called when it is made.
            subject: What is changed: a name, or an id that may be logged.
            details: For `change`: plain JSON, no secret.
            write: Writes it, within a transaction.

        Raises:
            OperatorError: `journal_unavailable` or `registry_unavailable`; nothing was changed, unless it says that
                this is not known.
        """
        details = {name: value for name, value in details.items() if value is not None}
        event: Event = {"actor": find_actor(), "subject": subject, "request_id": create_request_id()}
        try:
            before = self._store.version()
        except StorageError as error:
            raise _registry_unavailable(error) from error
        journal = self._record_intent({**event, "change": {"tag": tag, **details}, "policy_version": before})

        def write_all(registry: Transaction) -> None:
            write(registry)
            if journal is None:
                registry.add_owed_event(self._owe(tag, subject, details, registry.version))

        # From here on a crash leaves an open intent, and the version tells the next verb that nothing was changed.
        failed: Event = {**event, "change": details or None, "policy_version": before}
        interruption = self._commit_or_fail(write_all, journal, failed)
        # Committed: a crash from here on is closed as done by the next verb.
        if journal is not None:
            self._record_outcome(journal, {**failed, "tag": tag, "policy_version": before + 1})
        if interruption is not None:
            raise interruption  # Ctrl-C between commit and record: first the record

    def _commit_or_fail(
        self, write: Callable[[Transaction], None], journal: Journal | None, failed: Event
    ) -> BaseException | None:
        """
        Return when the change is committed, with what interrupted it afterwards; otherwise record `failed` and raise.
        """
        before = cast("int", failed["policy_version"])
        try:
            self._commit(write, before)
        except BaseException as error:
            if not self._is_committed(before, error):
                self._record_failure(journal, failed, error)
                if isinstance(error, StorageError):
                    raise _registry_unavailable(error) from error
                raise
            return None if isinstance(error, StorageError) else error
        return None

    def _commit(self, write: Callable[[Transaction], None], before: int) -> None:
        """
        One transaction; for what ends access once more, with the space of the registry's reserve.
        """
        try:
            with self._store.transaction() as registry:
                write(registry)
        except StorageError:
            # Nothing may be written twice: the version tells that the first attempt left nothing.
            if not (self._may_go_unrecorded and self._store.reserve.give_up() and self._store.version() == before):
                raise
            with self._store.transaction() as registry:
                write(registry)

    def _record_intent(self, event: Event) -> Journal | None:
        """
        The journal when the intent is durable on it; None when it is not and the change is made all the same.
        """
        if self._journal is not None:
            try:
                self._journal.record_now({**event, "tag": Tag.CHANGE_INTENDED}, may_use_reserve=self._may_go_unrecorded)
            except StorageError as error:
                if not self._may_go_unrecorded:
                    raise OperatorError(
                        OperatorReason.JOURNAL_UNAVAILABLE,
                        f"{_sentence(error)} Nothing was changed. Look at the journal's disk, then repeat the command.",
                    ) from error
            else:
                return self._journal
        self.warnings.append(
            "The change is in force, but not on record yet, because the audit journal cannot be written: look at the "
            "journal's disk. The next command that changes something will record it."
        )
        return None

    def _owe(self, tag: Tag, subject: str, details: Mapping[str, object], version: int) -> OwedEvent:
        # A request id of its own: the intent that failed may stand on the disk after all, and recovery will then close
        # it as failed, which it did.
        request_id = create_request_id()
        event: Event = {
            "tag": tag,
            "actor": find_actor(),
            "subject": subject,
            "change": {**details, "committed_at": render_instant(self._clock.now())},
            "request_id": request_id,
            "policy_version": version,
            "reason": _LATE,
        }
        return OwedEvent(request_id, version, json.dumps(event))

    def _is_committed(self, before: int, error: BaseException) -> bool:
        """
        Whether a commit that raised was made after all. The version tells, and only if it can be read.
        """
        try:
            return self._store.version() > before
        except StorageError:
            raise OperatorError(
                OperatorReason.REGISTRY_UNAVAILABLE,
                "The registry failed while it was changed, and whether it was cannot be read now. Look at its disk; "
                "the next command that changes something will record what came of this one.",
            ) from error

    @staticmethod
    def _record_failure(journal: Journal | None, event: Event, error: BaseException) -> None:
        if journal is None:
            return
        match error:
            case OperatorError():
                reason = error.reason.value
            case StorageError():
                reason = OperatorReason.REGISTRY_UNAVAILABLE.value
            case Exception():
                reason = OperatorReason.INTERNAL.value
            case _:
                reason = "interrupted"
        try:
            journal.record_now({**event, "tag": Tag.CHANGE_FAILED, "reason": reason}, may_use_reserve=True)
        except StorageError:
            # The error at hand is the one to tell. The intent stays open, and the next verb closes it just so.
            return

    def _record_outcome(self, journal: Journal, event: Event) -> None:
        try:
            journal.record_now(event, may_use_reserve=True)
        except StorageError as error:
            self.warnings.append(
                f"{_sentence(error)} The change is in force, but its end is not on record yet. Look at the journal's "
                "disk; the next command that changes something will record it."
            )

    def __repr__(self) -> str:
        return f"<Change {'on' if self._journal is not None else 'off'} the journal>"


def _registry_unavailable(error: StorageError) -> OperatorError:
    return OperatorError(OperatorReason.REGISTRY_UNAVAILABLE, f"{_sentence(error)} Nothing was changed.")


def _sentence(error: StorageError) -> str:
    return error.detail[:1].upper() + error.detail[1:].rstrip(".") + "."
