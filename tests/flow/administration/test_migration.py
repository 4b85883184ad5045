"""
`migrate`: up and down, on record, with nothing lost and nobody in its way.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from admin_office import Office
from earlier_folders import copy_folder

from gateway.administration import callers, grants, tokens, upstreams
from gateway.administration.data_folder import lock_serving
from gateway.administration.migration import migrate
from gateway.errors import OperatorError, OperatorReason
from gateway.registry.migrating import REVISIONS
from gateway.registry.store import Store

NEWEST = REVISIONS[-1]


def move(office: Office, revision: str | None) -> dict[str, Any]:
    """
    What the verb does.
    """
    return migrate(data_dir=office.data_dir, node="test", clock=office.clock, revision=revision)


def read_schema(office: Office) -> dict[str, list[tuple[Any, ...]]]:
    """
    The tables, columns and indices as SQLite knows them; the order of columns means nothing.
    """
    with sqlite3.connect(office.data_dir / "gateway.db") as database:
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master ORDER BY name")]
        found = {
            name: sorted(row[1:] for row in database.execute(f"SELECT * FROM pragma_table_info('{name}')"))  # noqa: S608
            for name in names
        }
    database.close()
    return found


def test_a_registry_is_moved_down_to_each_revision_and_up_again(office: Office) -> None:
    """
    Its schema is then the one that the release of that revision made, and its rows are all there.
    """
    newest = read_schema(office)
    for revision in reversed(REVISIONS[:-1]):
        down = move(office, revision)
        stepped_down = read_schema(office)
        copy_folder(revision, office.data_dir.with_name(revision))
        earlier = read_schema(Office(office.data_dir.with_name(revision), office.run_dir))
        up = move(office, None)

        assert {"from": NEWEST, "to": revision, "migrated": True, "newest": NEWEST} == down
        assert {"from": revision, "to": NEWEST, "migrated": True, "newest": NEWEST} == up
        assert earlier == stepped_down
        assert newest == read_schema(office)
    with office.open_desk() as desk:
        assert ["crm"] == [row["name"] for row in callers.find_all(desk)]
        assert ["noojee"] == [row["name"] for row in upstreams.find_all(desk)]


def test_every_move_is_a_change_on_record(office: Office) -> None:
    """
    With both revisions, and the version before and after. Where there is nothing to do nothing is recorded.
    """
    before = office.read_journal()
    move(office, "0001")
    move(office, None)
    done = move(office, None)
    records = office.read_journal()[len(before) :]

    assert not done["migrated"]
    assert ["change.intended", "registry.migrated"] * 2 == [record["tag"] for record in records]
    assert {"tag": "registry.migrated", "from": NEWEST, "to": "0001"} == records[0]["change"]
    assert {"from": "0001", "to": NEWEST} == records[3]["change"]
    versions = [record["policy_version"] for record in records]
    assert [versions[0] + step for step in (0, 1, 1, 2)] == versions


def test_what_an_older_revision_cannot_hold_is_named_and_nothing_changes(office: Office) -> None:
    """
    A grant that lost its rules would allow every value, a pin that was lost every server.
    """
    with office.open_desk() as desk:
        grant = grants.add(
            desk, "crm", credential="everything", operations=["CallManagementAPI/dial"], rules=[("number", "04*")]
        )
        callers.add(desk, "limited", networks=(), query_token_allowed=True, rate="20/s")
        pin = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
        upstreams.change(desk, "noojee", proxy="http://proxy.example.com:3128", pins=[pin])
        issued, _ = tokens.issue(desk, "limited", expires_in=None)
        tokens.rotate(desk, str(issued["token_id"]), overlap=timedelta(hours=1))
    before = office.read_journal()
    with pytest.raises(OperatorError) as caught:
        move(office, "0001")

    assert OperatorReason.IN_USE == caught.value.reason
    for word in (
        "0001",
        grant["grant_id"],
        "limited",
        issued["token_id"],
        "proxies of the upstreams noojee",
        "pins of",
    ):
        assert str(word) in caught.value.detail
    assert before == office.read_journal()

    with office.open_desk() as desk:
        grants.remove(desk, str(grant["grant_id"]))
        callers.change(desk, "limited", rate="default")
        upstreams.change(desk, "noojee", proxy="none", pins=["none"])
    office.clock.instant += timedelta(hours=2)  # by which the rotated token has ended

    assert move(office, "0001")["migrated"]


def test_an_unknown_revision_is_refused(office: Office) -> None:
    """
    With those there are.
    """
    with pytest.raises(OperatorError, match=", ".join(REVISIONS)) as caught:
        move(office, "9999")

    assert OperatorReason.SCHEMA_UNKNOWN == caught.value.reason


def test_a_schema_from_the_future_is_left_alone(office: Office) -> None:
    """
    The sentence names the release that can step down.
    """
    with sqlite3.connect(office.data_dir / "gateway.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(OperatorError, match=f"migrate --to {NEWEST}") as caught:
        move(office, None)

    assert OperatorReason.SCHEMA_UNKNOWN == caught.value.reason


def test_a_running_gateway_keeps_its_schema(office: Office) -> None:
    """
    It would go on writing to tables that are no more.
    """
    with lock_serving(office.data_dir), pytest.raises(OperatorError) as caught:
        move(office, "0001")

    assert OperatorReason.ALREADY_RUNNING == caught.value.reason
    with Store.open(office.data_dir / "gateway.db", brings_up_to_date=False) as store:
        assert NEWEST == store.revision()


_KILLED = """
import os, sys
from pathlib import Path
from gateway.administration.migration import migrate
from gateway.clock import SystemClock
from gateway.registry.store import Store

moved = Store.move_schema
def move(store, revision, **options):
    if sys.argv[2] == "after":
        moved(store, revision, **options)
    os._exit(9)
Store.move_schema = move
migrate(data_dir=Path(sys.argv[1]), node="test", clock=SystemClock(), revision="0001")
"""


@pytest.mark.parametrize(
    ("point", "tag", "reason"),
    [("before", "change.failed", "interrupted"), ("after", "registry.migrated", "recovered")],
)
def test_a_killed_migration_is_closed_by_the_next_verb(office: Office, point: str, tag: str, reason: str) -> None:
    """
    By the version, which the migration raises with its own commit.
    """
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(office.data_dir), point], check=False, timeout=60)
    before = office.read_journal()
    move(office, "0001" if point == "before" else "0002")
    closed = office.read_journal()[len(before)]

    assert 9 == killed.returncode
    assert "change.intended" == before[-1]["tag"]
    assert (tag, reason, before[-1]["request_id"]) == (closed["tag"], closed["reason"], closed["request_id"])


def test_a_migration_that_fails_leaves_everything_and_says_so(office: Office) -> None:
    """
    One transaction: what went wrong in its middle is undone, and on record as failed.
    """
    with sqlite3.connect(office.data_dir / "gateway.db") as database:
        # A view on a column keeps SQLite from dropping it, when most of the migration is done.
        database.execute("CREATE VIEW strange AS SELECT allow_unique_ids FROM grants")
    database.close()
    schema, version = read_schema(office), office.read_journal()[-1]["policy_version"]
    with pytest.raises(OperatorError) as caught:
        move(office, "0001")

    assert OperatorReason.REGISTRY_UNAVAILABLE == caught.value.reason
    assert schema == read_schema(office)
    assert ("change.failed", version) == tuple(office.read_journal()[-1][name] for name in ("tag", "policy_version"))
