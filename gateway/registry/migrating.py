"""
Moving a registry's schema from one revision to another: up to this release's, or down before an older one is run.

Alembic, and SQLAlchemy below it, cost 300 ms to import, so they are imported only when there is something to migrate:
which revision a registry has is read by plain SQL and compared with the list here, which a test compares with the
migrations themselves.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from alembic.config import Config
    from sqlalchemy import Connection, Engine

__all__ = ["REVISIONS", "create_engine", "find_losses", "find_revision", "migrate"]

REVISIONS = ("0001", "0002", "0003")
"""Every revision that was ever released, the newest last."""

_MIGRATIONS = Path(__file__).with_name("migrations")


def find_revision(connection: sqlite3.Connection) -> str | None:
    """
    The schema's revision; None where there are no tables of ours yet.

    Raises:
        sqlite3.Error: It cannot be read.
    """
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:  # which says that there is no such table
            raise
        return None
    return str(row[0]) if row is not None else None


def migrate(
    connect: Callable[[], sqlite3.Connection], revision: str = REVISIONS[-1], *, raises_version: bool = False
) -> None:
    """
    Move the schema to a revision, in one transaction: all of it or nothing, and on disk when this returns.

    Of two processes that migrate at once the second waits for the first and then finds nothing to do.

    Args:
        connect: Opens a connection of its own.
        revision: One of `REVISIONS`.
        raises_version: Whether it counts as a change, by which whoever is killed can later tell what was done.

    Raises:
        sqlite3.Error: It cannot be written.
    """
    from alembic import command
    from alembic.migration import MigrationContext

    with _transaction(connect) as (config, connection):
        present = MigrationContext.configure(connection).get_current_revision()
        if present is not None and REVISIONS.index(present) > REVISIONS.index(revision):
            command.downgrade(config, revision)
        else:
            command.upgrade(config, revision)
        if raises_version:
            connection.exec_driver_sql("UPDATE meta SET version = version + 1")


def find_losses(connect: Callable[[], sqlite3.Connection], revision: str, now: datetime) -> list[str]:
    """
    What an older revision could not hold of what the registry holds now; for each a phrase that says what to do.

    Each migration that can lose something says so itself, in a function `find_losses(connection, now)`.

    Raises:
        sqlite3.Error: It cannot be read.
    """
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    with _transaction(connect, writes=False) as (config, connection):
        present = MigrationContext.configure(connection).get_current_revision()
        scripts = ScriptDirectory.from_config(config)
        undone = REVISIONS[REVISIONS.index(revision) + 1 : REVISIONS.index(str(present)) + 1]
        return [loss for each in undone for loss in scripts.get_revision(each).module.find_losses(connection, now)]


@contextlib.contextmanager
def _transaction(
    connect: Callable[[], sqlite3.Connection], *, writes: bool = True
) -> Iterator[tuple[Config, Connection]]:
    """
    What Alembic needs, with one transaction open, which is committed when the block ends.
    """
    from alembic.config import Config
    from sqlalchemy.exc import DBAPIError

    config = Config()
    # The option is read with interpolation: a % of the path must be written twice.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    engine = create_engine(connect, writes=writes)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            yield config, connection
    except DBAPIError as error:
        # What the database said, and not SQLAlchemy's rendering of it with the statement.
        raise error.orig or error from None
    finally:
        engine.dispose()


def create_engine(connect: Callable[[], sqlite3.Connection], *, writes: bool = True) -> Engine:
    """
    SQLAlchemy's way to a registry, for Alembic.

    Args:
        connect: Opens a connection.
        writes: Whether each of its transactions takes the writer's lock at once.
    """
    from sqlalchemy import NullPool, event
    from sqlalchemy import create_engine as create

    engine = create("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)
    # Migrations are transactional only when nothing begins a transaction by itself: the connection has
    # `isolation_level=None`, and this says when.
    begin = "BEGIN IMMEDIATE" if writes else "BEGIN"
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine
