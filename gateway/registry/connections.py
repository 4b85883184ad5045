"""
Connections to the registry's file: how one is opened, lent, and given up.

The standard library's, as PEP 249 has them, and no engine of SQLAlchemy's over them, which every verb and every worker
would import for the sake of some thirty plain statements (docs/decisions/0014-registry-statements.md).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from typing import TYPE_CHECKING
from urllib.parse import quote

from gateway.durable import describe
from gateway.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.registry.reserve import Reserve

__all__ = ["Connections"]

_BUSY_SECONDS = 5.0
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "fullfsync=ON",  # macOS: its fsync stops at the drive's cache
    "foreign_keys=ON",
    "secure_delete=ON",  # a removed key leaves the file, sealed or not
)
_NO_ROOM = frozenset({"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_WRITE", "SQLITE_CANTOPEN"})


class Connections:
    """
    All connections of one store. Safe for use by several threads: each block has a connection of its own.

    Args:
        path: The registry's file.
        reserve: Given up when there is no room to open a connection.
    """

    def __init__(self, path: Path, reserve: Reserve) -> None:
        self._path = path
        self._reserve = reserve
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._file: tuple[int, int] | None = None

    @contextlib.contextmanager
    def lend(self) -> Iterator[sqlite3.Connection]:
        """
        A connection to the file that has the path's name now, with no transaction open.

        It is used again after the block; when that raises it is closed, which undoes what was not committed.

        Raises:
            StorageError: Nothing has that name.
            sqlite3.Error: It cannot be opened.
        """
        connection, file = self._take()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if file == self._file:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """
        Close those that nobody uses, and those in use when they are given back. Idempotent.

        The last to close a registry folds its log into the file.
        """
        with self._lock:
            self._give_up()

    def open_one(self) -> sqlite3.Connection:
        """
        A new connection, for whoever closes it himself.

        Raises:
            sqlite3.Error: It cannot be opened.
        """
        try:
            return _open(self._path)
        except sqlite3.OperationalError as error:
            # Without room for its shared memory SQLite does not even read.
            if error.sqlite_errorname not in _NO_ROOM or not self._reserve.give_up():
                raise
        return _open(self._path)

    def _take(self) -> tuple[sqlite3.Connection, tuple[int, int]]:
        """
        A connection and the file that it is to.

        A connection goes on reading a registry that was moved away or replaced by a backup, so that nobody would notice
        and no change would ever come into force: those to a file that has no longer our name are given up.
        """
        file = self._find_file()
        with self._lock:
            if self._file != file:
                self._give_up()
                self._file = file
            if self._idle:
                return self._idle.pop(), file
        return self.open_one(), file

    def _find_file(self) -> tuple[int, int]:
        try:
            named = self._path.stat()
        except OSError as error:
            raise StorageError(
                f"The registry {self._path} cannot be read or written: it is missing or may not be opened "
                f"({describe(error)})."
            ) from error
        return named.st_dev, named.st_ino

    def _give_up(self) -> None:
        self._file = None
        while self._idle:
            self._idle.pop().close()

    def __repr__(self) -> str:
        return f"<Connections to {self._path}: {len(self._idle)} idle>"


def _open(path: Path) -> sqlite3.Connection:
    # mode=rw: a registry that is gone must be an error, never an empty one that denies everybody.
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path.absolute()))}?mode=rw",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,  # transactions begin where the store says so: DDL is then transactional, too
        check_same_thread=False,  # lent to one thread at a time
    )
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the log files
    except BaseException:
        connection.close()
        raise
    return connection
