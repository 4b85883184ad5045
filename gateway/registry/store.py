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
from urllib.parse import quote

from gateway import durable
from gateway.errors import OperatorError, OperatorReason, StorageError
from gateway.registry.migrating import REVISIONS, find_revision, migrate
from gateway.registry.reserve import Reserve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from sqlalchemy import Connection, Engine

    from gateway.registry.reading import Reading
    from gateway.registry.transaction import Transaction

__all__ = ["Store"]

_BUSY_SECONDS = 5.0
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "fullfsync=ON",  # macOS: its fsync stops at the drive's cache
    "foreign_keys=ON",
    "secure_delete=ON",  # a removed key leaves the file, sealed or not
)
_WRITES = "gateway_writes"
_NO_ROOM = frozenset({"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_WRITE", "SQLITE_CANTOPEN"})
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
        self._engine = _create_engine(path, self.reserve)
        self._file: tuple[int, int] | None = None

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
    def open(cls, path: Path) -> Store:
        """
        Open the registry, and migrate it when it is of an older release.

        Raises:
            OperatorError: `registry_unavailable` when there is none, `schema_unknown` when it is of a newer release.
            StorageError: It cannot be read, or not migrated.
        """
        if not path.exists():
            raise _no_registry(path)
        store = cls(path)
        try:
            store._bring_up_to_date(may_be_empty=False)
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
            return int(connection.exec_driver_sql("SELECT version FROM meta").scalar_one())

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reading]:
        """
        One consistent view of the registry.

        Raises:
            StorageError: It cannot be read.
        """
        from gateway.registry.reading import Reading

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

    def close(self) -> None:
        """
        Close all connections; the last to close a registry folds its log into the file. Idempotent.
        """
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {self.path}>"

    @contextlib.contextmanager
    def _connect(self, *, writes: bool) -> Iterator[Connection]:
        self._follow_path()
        with _translate_errors(self.path), self._engine.connect() as connection:
            connection = connection.execution_options(**{_WRITES: writes})  # noqa: PLW2901 - the same connection
            with connection.begin():
                yield connection

    def _follow_path(self) -> None:
        """
        Give up connections to a file that has no longer our name.

        A connection goes on reading a registry that was moved away or replaced by a backup, so that nobody would notice
        and no change would ever come into force.

        Raises:
            StorageError: Nothing has that name.
        """
        try:
            named = self.path.stat()
        except OSError as error:
            meaning = _MEANINGS["SQLITE_CANTOPEN"]
            raise StorageError(
                f"The registry {self.path} cannot be read or written: {meaning} ({durable.describe(error)})."
            ) from error
        file = (named.st_dev, named.st_ino)
        if self._file not in {None, file}:
            self._engine.dispose()
        self._file = file

    def _bring_up_to_date(self, *, may_be_empty: bool) -> None:
        with self._connect(writes=False) as connection:
            revision = find_revision(connection)
        if revision is None and not may_be_empty:
            raise _no_registry(self.path)
        if revision is not None and revision not in REVISIONS:
            raise OperatorError(
                OperatorReason.SCHEMA_UNKNOWN,
                f"The registry {self.path} was written by a newer release. Run that release, or restore a backup of "
                "the data folder that was made with this one.",
            )
        if revision != REVISIONS[-1]:
            with self._connect(writes=True) as connection:
                migrate(connection)


def _create_engine(path: Path, reserve: Reserve) -> Engine:
    from sqlalchemy import QueuePool, create_engine, event

    def connect() -> sqlite3.Connection:
        try:
            return _open_connection(path)
        except sqlite3.OperationalError as error:
            # Without room for its shared memory SQLite does not even read.
            if error.sqlite_errorname not in _NO_ROOM or not reserve.give_up():
                raise
        return _open_connection(path)

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, hide_parameters=True)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes the lock at once: a reader that becomes a writer fails when another was faster (SQLITE_BUSY
        # without waiting, sqlite.org/isolation.html).
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _open_connection(path: Path) -> sqlite3.Connection:
    # mode=rw: a registry that is gone must be an error, never an empty one that denies everybody.
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path.absolute()))}?mode=rw",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,  # transactions begin where the engine's `begin` says so: DDL is then transactional, too
        check_same_thread=False,  # the pool lends a connection to one thread at a time
    )
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the log files
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        name = getattr(getattr(error, "orig", None), "sqlite_errorname", "") or type(error).__name__
        primary = "_".join(name.split("_")[:2])  # SQLITE_READONLY_DIRECTORY is a kind of SQLITE_READONLY
        meaning = _MEANINGS.get(primary, "an error that is not expected")
        raise StorageError(f"The registry {path} cannot be read or written: {meaning} ({name}).") from error


def _no_registry(path: Path) -> OperatorError:
    return OperatorError(
        OperatorReason.REGISTRY_UNAVAILABLE,
        f"There is no registry at {path}. Make one with `noojee-gateway init`, or restore it from your backup.",
    )
