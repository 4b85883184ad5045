"""
Bringing a registry's schema to this release's.

Alembic costs 300 ms to import, so it is imported only when there is something to migrate: which revision a registry
has is read by plain SQL and compared with the list here, which a test compares with the migrations themselves.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["REVISIONS", "find_revision", "migrate"]

REVISIONS = ("0001", "0002")
"""Every revision that was ever released, the newest last."""

_MIGRATIONS = Path(__file__).with_name("migrations")


def find_revision(connection: Connection) -> str | None:
    """
    The schema's revision; None where there are no tables of ours yet.
    """
    from sqlalchemy import inspect

    if not inspect(connection).has_table("alembic_version"):
        return None
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    return str(row[0]) if row is not None else None


def migrate(connection: Connection) -> None:
    """
    Run what is missing, within the transaction that the caller has open: all of it or nothing.

    Of two processes that migrate at once the second waits for the first and then finds nothing to do.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    # The option is read with interpolation: a % of the path must be written twice.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
