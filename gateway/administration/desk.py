"""
The desk: what a verb works at. Keys loaded and found fit, the registry open, and the journal at hand for a change.

What only a change needs is imported when one is made: the journal's thread and its asyncio double the start of a verb
that reads.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from gateway.custody import AuditKey, Ring
from gateway.errors import OperatorError, OperatorReason, StorageError
from gateway.registry.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from gateway.access.snapshot import Snapshot
    from gateway.administration.change import Change
    from gateway.audit.journal import Journal
    from gateway.clock import Clock
    from gateway.registry.reading import Reading

__all__ = ["RESERVE_BYTES", "Desk", "open_admin_journal"]

_STREAM = "admin"
_LOCK_WAIT_SECONDS = 10.0

RESERVE_BYTES = 128 * 1024
"""What the operators' stream holds of the disk: room for a hundred changes that end access (two records each)."""


class Desk:
    """
    An installation, opened for verbs. A context manager.

    Attributes:
        number_country: The calling code that telephone numbers are read with, for `explain`.
    """

    def __init__(
        self,
        *,
        data_dir: Path,
        run_dir: Path,
        node: str,
        clock: Clock,
        number_country: str,
        ring: Ring,
        audit_key: AuditKey,
        store: Store,
    ) -> None:
        self.data_dir = data_dir
        self.run_dir = run_dir
        self.node = node
        self.clock = clock
        self.number_country = number_country
        self.ring = ring
        self.audit_key = audit_key
        self._store = store
        self._held: Journal | None = None

    @classmethod
    def open(
        cls,
        *,
        data_dir: Path,
        run_dir: Path,
        master_key_file: Path,
        node: str,
        clock: Clock,
        number_country: str = "61",
    ) -> Desk:
        """
        Open what `init` made.

        Raises:
            OperatorError: `master_key_unusable`, `key_file_unsafe`, `registry_unavailable` or `schema_unknown`, each
                with what to do.
        """
        ring = Ring.load(master_key_file)
        audit_key = AuditKey.load(data_dir / "audit.key", ring)
        with _registry_errors():
            store = Store.open(data_dir / "gateway.db")
        return cls(
            data_dir=data_dir,
            run_dir=run_dir,
            node=node,
            clock=clock,
            number_country=number_country,
            ring=ring,
            audit_key=audit_key,
            store=store,
        )

    def read_snapshot(self, *, with_tokens: bool = True) -> Snapshot:
        """
        What a worker would decide on now.

        Args:
            with_tokens: False for what asks by a caller's name, and need not wait for a hundred thousand tokens.

        Raises:
            OperatorError: `registry_unavailable`.
        """
        from gateway.registry.feed import load_snapshot

        with _registry_errors():
            return load_snapshot(self._store, with_tokens=with_tokens)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reading]:
        """
        One consistent view of the registry.

        Raises:
            OperatorError: `registry_unavailable`.
        """
        with _registry_errors(), self._store.reading() as registry:
            yield registry

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """
        The right to change the registry, over all changes of the block: what it reads stays true between them, too.

        Raises:
            OperatorError: As `changing` does; nothing was changed.
        """
        journal = self._held = self._hold_journal(may_go_unrecorded=False)
        try:
            yield
        finally:
            self._held = None
            if journal is not None:
                journal.close()

    @contextlib.contextmanager
    def changing(self, *, awaits_workers: bool = False, may_go_unrecorded: bool = False) -> Iterator[Change]:
        """
        The right to change the registry, for the block's duration; then the running workers are told.

        While it is held no other verb changes anything, so what the block reads stays true until it has committed.

        Args:
            awaits_workers: Whether it is an error when a worker does not acknowledge within 2 s.
            may_go_unrecorded: Whether the change is made even when the journal cannot be written.

        Raises:
            OperatorError: `journal_busy`, `journal_unavailable`, `registry_unavailable`: nothing was changed.
                `not_acknowledged`, or again `journal_unavailable`: the change was made, and the sentence says so.
        """
        from gateway.administration.change import Change

        held = self._held
        journal = held or self._hold_journal(may_go_unrecorded=may_go_unrecorded)
        change = Change(self._store, journal, self.clock, may_go_unrecorded=may_go_unrecorded)
        try:
            if not may_go_unrecorded:  # what ends access seals nothing, and must not fail for the ring's sake
                # Another verb may have changed the ring since it was read: nothing may be sealed under what was pruned.
                self.ring.refresh()
            yield change
        finally:
            if journal is not None and journal is not held:
                journal.close()
        self._tell(change, awaits_workers=awaits_workers)

    def _hold_journal(self, *, may_go_unrecorded: bool) -> Journal | None:
        from gateway.administration.change import settle_changes

        try:
            journal = open_admin_journal(self.data_dir, node=self.node, clock=self.clock)
        except OperatorError as error:
            # Not when it is busy: another verb may be about to write a row that it read before, and would undo this.
            if may_go_unrecorded and error.reason is OperatorReason.JOURNAL_UNAVAILABLE:
                return None
            raise
        try:
            settle_changes(journal, self._store)
        except StorageError as error:
            journal.close()
            if may_go_unrecorded:
                return None
            raise OperatorError(
                OperatorReason.JOURNAL_UNAVAILABLE,
                f"An earlier change could not be put on record: {error.detail.rstrip('.')}. Nothing was changed.",
            ) from error
        except BaseException:
            journal.close()
            raise
        return journal

    def find_run_dir(self) -> Path:
        """
        Where the workers that serve from this data folder are told: their own run folder, whatever ours is set to.
        """
        from gateway.administration.data_folder import read_run_dir

        return read_run_dir(self.data_dir) or self.run_dir

    def _tell(self, change: Change, *, awaits_workers: bool) -> None:
        from gateway.administration.workers import tell_workers

        with _registry_errors():
            version = self._store.version()
        silent = tell_workers(self.find_run_dir(), version)
        sentences = list(change.warnings)
        reason = OperatorReason.JOURNAL_UNAVAILABLE
        if silent and awaits_workers:
            reason = OperatorReason.NOT_ACKNOWLEDGED
            sentences.append(
                f"The change is committed, but a running worker ({', '.join(silent)}) did not acknowledge it within "
                "2 seconds and may still act on the old state. Repeat the command; if it fails again, restart the "
                "gateway."
            )
        if sentences:
            raise OperatorError(reason, " ".join(sentences))

    def close(self) -> None:
        """
        Close the registry, and make its reserve again if it was used. Idempotent.
        """
        self._store.close()
        self._store.reserve.keep()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Desk {self.data_dir}>"


def open_admin_journal(data_dir: Path, *, node: str, clock: Clock) -> Journal:
    """
    Hold the operators' stream, waiting up to 10 s for another verb to end.

    Raises:
        OperatorError: `journal_busy` or `journal_unavailable`.
    """
    from gateway.audit.journal import Journal, StreamBusyError

    try:
        return Journal.open(
            data_dir / "journal",
            _STREAM,
            node=node,
            clock=clock,
            reserve_bytes=RESERVE_BYTES,
            lock_wait_seconds=_LOCK_WAIT_SECONDS,
        )
    except StreamBusyError as error:
        raise OperatorError(
            OperatorReason.JOURNAL_BUSY,
            "Another command is changing this gateway and has not ended within 10 seconds. Try again when it has.",
        ) from error
    except StorageError as error:
        raise OperatorError(
            OperatorReason.JOURNAL_UNAVAILABLE,
            f"The audit journal cannot be opened: {error.detail.rstrip('.')}. Nothing was changed.",
        ) from error


@contextlib.contextmanager
def _registry_errors() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise OperatorError(OperatorReason.REGISTRY_UNAVAILABLE, error.detail) from error
