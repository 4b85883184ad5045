"""
The registry's file: one version a change, private, readable while others write, and never made by accident.
"""

from __future__ import annotations

import dataclasses
import sqlite3
import stat
import subprocess
import sys
import threading
import traceback
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from gateway.errors import OperatorError, OperatorReason, StorageError
from gateway.registry import migrating
from gateway.registry.migrating import REVISIONS, create_engine
from gateway.registry.reserve import Reserve
from gateway.registry.rows import CallerRow, GrantRow, TokenRow
from gateway.registry.schema import metadata
from gateway.registry.store import Store

NOW = datetime(2026, 5, 3, 9, 15, tzinfo=UTC)
CALLER = CallerRow("crm", (), query_token_allowed=True, is_enabled=True)


def test_the_migrations_make_the_tables_that_the_code_knows(tmp_path: Path) -> None:
    """
    Alembic finds no difference between a migrated registry and the schema.
    """
    with Store.create(tmp_path / "gateway.db") as store:
        differences = _compare(store)

    assert [] == differences


def test_the_list_of_revisions_is_that_of_the_migrations() -> None:
    """
    A verb compares with the list and does not import Alembic; so the list must be right.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(migrating.__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    revisions = [each.revision for each in ScriptDirectory.from_config(config).walk_revisions()]

    assert REVISIONS == tuple(reversed(revisions))


def test_a_registry_of_the_first_release_is_migrated_with_all_its_rows(tmp_path: Path) -> None:
    """
    Opening is enough. Its grants have no rule, its callers the default limits, and nothing counts as changed.
    """
    path = tmp_path / "gateway.db"
    _make_first_release(path)
    with Store.open(path) as store, store.reading() as registry:
        version, callers, grants = registry.version, registry.find_callers(), registry.find_grants()
        tokens = [row.token_id for row in registry.find_tokens()]
        changed = [
            registry._connection.execute(statement).fetchall()
            for statement in ("SELECT changed_in FROM callers", "SELECT changed_in FROM tokens")
        ]
        differences = _compare(store)

    assert [] == differences
    assert 7 == version
    assert [CALLER] == callers
    assert [GrantRow("g1", "crm", "everything", ("*",))] == grants
    assert ["AAAAAAAAAAAA"] == tokens
    assert [[(0,)], [(0,)]] == changed


def _compare(store: Store) -> list[object]:
    """
    What Alembic finds to differ between a registry and the schema.
    """
    engine = create_engine(store._connections.open_one, writes=False)
    with engine.connect() as connection:
        differences: list[object] = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()
    return differences


def _make_first_release(path: Path) -> None:
    """
    A registry as migration 0001 alone makes it, with a caller, a grant and a token.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(migrating.__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    path.touch(mode=0o600)
    engine = create_engine(Store(path)._connections.open_one)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for statement in (
            "UPDATE meta SET version = 7",
            "INSERT INTO upstreams VALUES ('noojee', 'noojee.example.com', 443, '', 'api-key', NULL)",
            "INSERT INTO credentials VALUES ('c1', 'everything', 'noojee', 'global', NULL, x'00', x'01')",
            "INSERT INTO callers VALUES ('crm', '[]', 1, 1)",
            "INSERT INTO grants VALUES (1, 'g1', 'crm', 'c1', '[\"*\"]')",
            "INSERT INTO tokens VALUES ('AAAAAAAAAAAA', 'crm', x'02', '2026-05-03T09:15:00.000000Z', NULL, NULL)",
        ):
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_rows_of_callers_and_tokens_bear_the_version_that_last_changed_them(tmp_path: Path) -> None:
    """
    Kept by the transaction itself, so that whoever reads what has changed since a version misses nothing.
    """
    with Store.create(tmp_path / "gateway.db") as store:
        with store.transaction() as registry:
            registry.add_caller(CALLER)
            registry.add_caller(dataclasses.replace(CALLER, name="other"))
        with store.transaction() as registry:
            for token_id in ("AAAAAAAAAAAA", "BBBBBBBBBBBB"):
                registry.add_token(TokenRow(token_id, "crm", NOW, None, None), token_id.encode())
        with store.transaction() as registry:
            registry.set_caller(dataclasses.replace(CALLER, rate_per_second=0.5, burst=3, concurrency=2))
        for _ in range(2):  # a second revocation changes nothing
            with store.transaction() as registry:
                registry.revoke_token("BBBBBBBBBBBB", NOW)
        with store.reading() as reading:
            rows = reading._connection.execute(
                "SELECT name, changed_in FROM callers UNION ALL SELECT token_id, changed_in FROM tokens"
            )
            found = {row[0]: row[1] for row in rows}
            limited = reading.find_caller("crm")

    assert {"crm": 4, "other": 2, "AAAAAAAAAAAA": 3, "BBBBBBBBBBBB": 5} == found
    assert CallerRow("crm", (), True, True, 0.5, 3, 2) == limited


def test_a_new_registry_is_private_with_its_log_files(tmp_path: Path) -> None:
    """
    The log files hold what the registry holds, so they are 0600 too.
    """
    with Store.create(tmp_path / "gateway.db") as store:
        with store.transaction() as registry:
            registry.add_caller(CALLER)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}

    assert {"gateway.db": 0o600, "gateway.db-wal": 0o600, "gateway.db-shm": 0o600} == modes


def test_a_change_raises_the_version_by_one_and_a_failed_one_leaves_no_trace(tmp_path: Path) -> None:
    """
    Version and change are one transaction; what raises is rolled back with its version.
    """
    with Store.create(tmp_path / "gateway.db") as store:
        versions = [store.version()]
        with store.transaction() as registry:
            registry.add_caller(CALLER)
            inside = registry.version
        versions.append(store.version())
        with pytest.raises(RuntimeError):
            _remove_and_fail(store)
        versions.append(store.version())
        with store.transaction(raises_version=False) as registry:
            registry.set_caller(CALLER)
        versions.append(store.version())
        with store.reading() as reading:
            found = reading.find_callers()

    assert [1, 2, 2, 2] == versions
    assert 2 == inside
    assert [CALLER] == found


def _remove_and_fail(store: Store) -> None:
    with store.transaction() as registry:
        registry.remove_caller("crm")
        raise RuntimeError


def test_creating_again_finishes_or_leaves_what_is_there(tmp_path: Path) -> None:
    """
    An empty file, as a killed `init` leaves it, becomes a registry; a registry stays as it is.
    """
    path = tmp_path / "gateway.db"
    path.touch(mode=0o600)
    with pytest.raises(OperatorError, match="noojee-gateway init"):
        Store.open(path)
    with Store.create(path) as store, store.transaction() as registry:
        registry.add_caller(CALLER)
    with Store.create(path) as store:
        assert 2 == store.version()


def test_a_registry_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    """
    An empty registry would deny everybody, silently: it is an error with what to do, also for one opened before.
    """
    path = tmp_path / "gateway.db"
    with pytest.raises(OperatorError) as caught:
        Store.open(path)
    Store.create(path).close()
    with Store.open(path) as store:
        store.close()
        path.unlink()
        with pytest.raises(StorageError, match="missing"):
            store.version()

    assert caught.value.reason == OperatorReason.REGISTRY_UNAVAILABLE
    assert not path.exists()


def test_a_connection_to_a_file_that_was_replaced_is_not_used_again(tmp_path: Path) -> None:
    """
    Not even one that was in use meanwhile: it would read what was put aside for ever.
    """
    path, other = tmp_path / "gateway.db", tmp_path / "other.db"
    for each in (path, other):
        Store.create(each).close()
    with Store.open(other) as store, store.transaction() as registry:
        registry.add_caller(CALLER)
    with Store.open(path) as store:
        with store.reading() as before:
            other.rename(path)
            versions = [store.version(), before.version]
        versions.append(store.version())

    assert [2, 1, 2] == versions


def test_a_schema_from_the_future_is_refused(tmp_path: Path) -> None:
    """
    An older release must not write to what a newer one has made.
    """
    path = tmp_path / "gateway.db"
    Store.create(path).close()
    database = sqlite3.connect(path)
    with database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(OperatorError, match="newer release") as caught:
        Store.open(path)

    assert caught.value.reason == OperatorReason.SCHEMA_UNKNOWN


def test_what_is_no_registry_is_told_without_its_contents(tmp_path: Path) -> None:
    """
    A file of other bytes is an error that names the file, and nothing in it.
    """
    path = tmp_path / "gateway.db"
    path.write_bytes(b"marked-secret" * 100)
    with pytest.raises(StorageError, match=r"gateway\.db.*no registry") as caught:
        Store.open(path)

    assert "marked-secret" not in "".join(traceback.format_exception(caught.value))


def test_an_error_of_the_database_shows_no_parameters(tmp_path: Path) -> None:
    """
    Law 3: a digest is not shown where a token is not. The whole traceback is searched.
    """
    digest = bytes(b"marked" + b"-digest")  # in two parts: a traceback also shows the lines of this file
    with Store.create(tmp_path / "gateway.db") as store:
        with pytest.raises(StorageError, match="SQLITE_CONSTRAINT") as caught:
            _add_twice(store, digest)
        assert 1 == store.version()

    assert digest.decode() not in "".join(traceback.format_exception(caught.value))


def _add_twice(store: Store, digest: bytes) -> None:
    with store.transaction() as registry:
        registry.add_caller(CALLER)
        for _ in range(2):
            registry.add_token(TokenRow("AAAAAAAAAAAA", "crm", NOW, None, None), digest)


def test_a_folder_of_any_name_holds_a_registry(tmp_path: Path) -> None:
    """
    SQLite's URI and Alembic's interpolation both have characters that mean something; none of them may here.
    """
    folder = tmp_path / "100% ?mode=memory#x&y"
    folder.mkdir()
    Store.create(folder / "gateway.db").close()
    with Store.open(folder / "gateway.db") as store:
        assert 1 == store.version()


def test_readers_never_fail_while_others_write_and_come_and_go(tmp_path: Path) -> None:
    """
    Nobody ever sees "database is locked".

    Not readers in threads while a process commits, and not a process that opens and closes the registry as a verb
    does, being the last to leave at times.
    """
    path = tmp_path / "gateway.db"
    Store.create(path).close()
    code = (
        "import sys; from pathlib import Path\n"
        "from gateway.registry.store import Store\n"
        "for number in range(60):\n"
        "    with Store.open(Path(sys.argv[1])) as store, store.transaction() as registry:\n"
        "        registry.add_caller(__import__('gateway.registry.rows').registry.rows.CallerRow("
        "f'{sys.argv[2]}{number}', (), True, True))\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in ("a", "b")]
    errors: list[Exception] = []
    ended = threading.Event()

    def read() -> None:
        try:
            while not ended.is_set():
                with Store.open(path) as store, store.reading() as registry:
                    version, callers = registry.version, len(registry.find_callers())
                assert version == callers + 1  # one view: what was read is of one version
        except Exception as error:  # noqa: BLE001 - whatever it is, the test tells it
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    codes = [writer.wait(60) for writer in writers]
    ended.set()
    for reader in readers:
        reader.join()

    assert ([], [0, 0]) == (errors, codes)
    with Store.open(path) as store:
        assert 121 == store.version()


def test_a_long_reading_does_not_hold_up_a_change(tmp_path: Path) -> None:
    """
    A view stays what it was while a change is committed beside it.
    """
    with Store.create(tmp_path / "gateway.db") as store:
        with store.reading() as view:
            before = view.find_callers()
            with store.transaction() as registry:
                registry.add_caller(CALLER)
            after = view.find_callers()
        assert 2 == store.version()

    assert [] == before == after


def test_a_removed_key_leaves_the_file(tmp_path: Path) -> None:
    """
    Sealed or not: what was overwritten is not kept in free pages.
    """
    path = tmp_path / "gateway.db"
    with Store.create(path) as store:
        with store.transaction() as registry:
            registry.add_caller(CALLER)
            registry.add_token(TokenRow("AAAAAAAAAAAA", "crm", NOW, None, None), b"marked-digest-0123456789")
        with store.transaction() as registry:
            registry.remove_caller("crm")

    assert b"marked-digest-0123456789" not in path.read_bytes()


def test_heavy_imports_are_for_migrations_alone(tmp_path: Path) -> None:
    """
    Neither SQLAlchemy nor Alembic is imported to open a registry at its revision, read it and change it.
    """
    code = (
        "import sys; from pathlib import Path\n"
        "from gateway.registry.store import Store; from gateway.registry import feed\n"
        "with Store.open(Path(sys.argv[1])) as store:\n"
        "    feed.load_snapshot(store)\n"
        "    with store.transaction() as registry: registry.remove_caller('crm')\n"
        "assert not {'sqlalchemy', 'alembic'} & set(sys.modules)\n"
    )
    path = tmp_path / "gateway.db"
    Store.create(path).close()

    assert 0 == subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=60).returncode


def test_the_reserve_is_kept_given_up_and_filled_up(tmp_path: Path) -> None:
    """
    256 KiB beside the registry, private; given up once; a part of it is filled up again; a missing folder is no error.
    """
    path = tmp_path / "gateway.db-reserve"
    reserve = Reserve(tmp_path / "gateway.db")
    reserve.keep()
    first = (path.stat().st_size, stat.S_IMODE(path.stat().st_mode))
    given_up = [reserve.give_up(), reserve.give_up()]
    path.write_bytes(b"x" * 1000)
    reserve.keep()
    Reserve(tmp_path / "missing" / "gateway.db").keep()

    assert (256 * 1024, 0o600) == first
    assert [True, False] == given_up
    assert 256 * 1024 == path.stat().st_size
