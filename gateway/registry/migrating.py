"""
Bringing a registry's schema to this release's.

Alembic, and SQLAlchemy below it, cost 300 ms to import, so they are imported only when there is something to migrate:
which revision a registry has is read by plain SQL and compared with the list here, which a test compares with the
migrations themselves.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

__all__ = ["REVISIONS", "create_engine", "find_revision", "migrate"]

REVISIONS = ("0001", "0002")
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


def migrate(connect: Callable[[], sqlite3.Connection]) -> None:
    """
    Run what is missing, in one transaction: all of it or nothing, and on disk when this returns.

    Of two processes that migrate at once the second waits for the first and then finds nothing to do.

    Args:
        connect: Opens a connection of its own.

    Raises:
        sqlite3.Error: It cannot be written.
    """
    from alembic import command
    from alembic.config import Config
    from sqlalchemy.exc import DBAPIError

    config = Config()
    # The option is read with interpolation: a % of the path must be written twice.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    engine = create_engine(connect)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
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
