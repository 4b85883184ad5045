"""
The registry's file, `gateway.db`: how it is opened, in which order its transactions come, what its errors become.

SQLite with a write-ahead log: readers never wait for the writer, nor it for them, and a commit is on disk when it
returns (`synchronous=FULL`). Every committed change raises the version by one, within its own transaction.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

from gateway import durable
from gateway.errors import OperatorError, OperatorReason, StorageError
from gateway.registry.connections import Connections
from gateway.registry.migrating import REVISIONS, find_losses, find_revision, migrate
from gateway.registry.reading import Reading
from gateway.registry.reserve import Reserve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from gateway.registry.transaction import Transaction

__all__ = ["Store"]

_MEANINGS = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_IOERR": "its disk is full or failing",
    "SQLITE_BUSY": "another process holds it",
    "SQLITE_READONLY": "it or its folder is read-only",
    "SQLITE_CANTOPEN": "it is missing or may not be opened",
    "SQLITE_NOTADB": "it is no registry",
    "SQLITE_CORRUPT": "it is damaged",
}


class Store:
    """
    An open registry. Safe for use by several threads: each call has a connection of its own. Not across a fork.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reserve = Reserve(path)
        self._connections = Connections(path, self.reserve)

    @classmethod
    def create(cls, path: Path) -> Store:
        """
        Make the registry, version 1, in a file that only its owner may read; on disk when this returns.

        A file that an interrupted `create` left is finished; one that holds a registry is opened as it is.

        Raises:
            OperatorError: `schema_unknown`.
            StorageError: It cannot be written.
        """
        try:
            # SQLite gives its log files the mode of this one (sqlite.org/src: findCreateFileMode).
            with contextlib.suppress(FileExistsError):
                os.close(durable.create_file(path))
            store = cls(path)
            store._bring_up_to_date(may_be_empty=True)
            durable.sync_folder(path.parent)
        except OSError as error:
            raise StorageError(f"The registry {path} cannot be made: {durable.describe(error)}.") from error
        return store

    @classmethod
    def open(cls, path: Path, *, brings_up_to_date: bool = True) -> Store:
        """
        Open the registry, and migrate it when it is of an older release.

        Args:
            brings_up_to_date: False leaves the schema at its revision: for moving it, and for nothing else.

        Raises:
            OperatorError: `registry_unavailable` when there is none, `schema_unknown` when it is of a newer release.
            StorageError: It cannot be read, or not migrated.
        """
        if not path.exists():
            raise _no_registry(path)
        store = cls(path)
        try:
            if brings_up_to_date:
                store._bring_up_to_date(may_be_empty=False)
            else:
                store.revision()  # refuses what is none of ours
        except BaseException:
            store.close()
            raise
        return store

    def version(self) -> int:
        """
        The registry's version, by one short read.

        Raises:
            StorageError: It cannot be read.
        """
        with self._connect(writes=False) as connection:
            return Reading(connection).version

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reading]:
        """
        One consistent view of the registry.

        Raises:
            StorageError: It cannot be read.
        """
        with self._connect(writes=False) as connection:
            yield Reading(connection)

    @contextlib.contextmanager
    def transaction(self, *, raises_version: bool = True) -> Iterator[Transaction]:
        """
        A change: committed, durable and one version further when the block ends, without a trace when it raises.

        Args:
            raises_version: False for what changes nothing that calls are decided on.

        Raises:
            StorageError: It cannot be written. After a failed commit the version alone tells what is on disk.
        """
        from gateway.registry.transaction import Transaction

        with self._connect(writes=True) as connection:
            yield Transaction(connection, raises_version=raises_version)

    def revision(self) -> str:
        """
        The schema's revision.

        Raises:
            OperatorError: `registry_unavailable` when there are no tables, `schema_unknown` for a newer release's.
            StorageError: It cannot be read.
        """
        revision = self._find_revision()
        if revision is None:
            raise _no_registry(self.path)
        return revision

    def find_losses(self, revision: str, now: datetime) -> list[str]:
        """
        What an older revision of the schema could not hold; see `migrating.find_losses`.

        Raises:
            StorageError: It cannot be read.
        """
        with _translate_errors(self.path):
            return find_losses(self._connections.open_one, revision, now)

    def move_schema(self, revision: str, *, raises_version: bool = False) -> None:
        """
        Bring the schema to a revision; all of it or nothing. See `migrating.migrate`.

        Raises:
            StorageError: It cannot be written. With `raises_version` the version tells what is on disk.
        """
        with _translate_errors(self.path):
            migrate(self._connections.open_one, revision, raises_version=raises_version)

    def close(self) -> None:
        """
        Close all connections; the last to close a registry folds its log into the file. Idempotent.
        """
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {self.path}>"

    @contextlib.contextmanager
    def _connect(self, *, writes: bool) -> Iterator[sqlite3.Connection]:
        """
        A connection with one transaction open, which is committed when the block ends and undone when it raises.
        """
        with _translate_errors(self.path), self._connections.lend() as connection:
            # A writer takes the lock at once: a reader that becomes a writer fails when another was faster (SQLITE_BUSY
            # without waiting, sqlite.org/isolation.html).
            connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            yield connection
            if writes:
                commit(connection)
            else:
                connection.rollback()  # nothing was written; this ends the view

    def _bring_up_to_date(self, *, may_be_empty: bool) -> None:
        revision = self._find_revision() if may_be_empty else self.revision()
        if revision != REVISIONS[-1]:
            self.move_schema(REVISIONS[-1])

    def _find_revision(self) -> str | None:
        with self._connect(writes=False) as connection:
            revision = find_revision(connection)
        if revision is not None and revision not in REVISIONS:
            raise OperatorError(
                OperatorReason.SCHEMA_UNKNOWN,
                f"The registry {self.path} was written by a newer release. Run that release; before this one is "
                f"used again, step down with that one's `noojee-gateway migrate --to {REVISIONS[-1]}`, or restore a "
                "backup of the data folder that was made with this one.",
            )
        return revision


def commit(connection: sqlite3.Connection) -> None:
    """
    End a transaction: what it wrote is on disk when this returns.
    """
    connection.commit()


@contextlib.contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        # Without the statement's values, which no error of SQLite's holds (law 3).
        name = getattr(error, "sqlite_errorname", "") or type(error).__name__
        primary = "_".join(name.split("_")[:2])  # SQLITE_READONLY_DIRECTORY is a kind of SQLITE_READONLY
        meaning = _MEANINGS.get(primary, "an error that is not expected")
        raise StorageError(f"The registry {path} cannot be read or written: {meaning} ({name}).") from error


def _no_registry(path: Path) -> OperatorError:
    return OperatorError(
        OperatorReason.REGISTRY_UNAVAILABLE,
        f"There is no registry at {path}. Make one with `noojee-gateway init`, or restore it from your backup.",
    )
