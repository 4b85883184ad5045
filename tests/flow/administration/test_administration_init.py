"""
`init`: makes what is missing, replaces nothing, and refuses to make a key where one was lost.
"""

from __future__ import annotations

import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.administration import callers, installation
from gateway.administration.desk import Desk
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from pathlib import Path

    from admin_office import Office


def _read_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".jsonl"}


def test_init_makes_a_private_installation_on_record(bare: Office) -> None:
    """
    Folders 0700, files 0600, version 1, and two records: what would be made, and that it was.
    """
    done = installation.init(**bare.place)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in bare.data_dir.iterdir()}
    intent, outcome = bare.read_journal()

    assert {
        "data_dir": str(bare.data_dir),
        "created": ["data folder", "journal", "master.key", "audit.key", "gateway.db"],
    } == done
    assert {"journal": 0o700} == {name: mode for name, mode in modes.items() if mode != 0o600}
    assert {"journal", "master.key", "audit.key", "gateway.db", "gateway.db-reserve"} == set(modes)
    assert 0o700 == stat.S_IMODE(bare.data_dir.stat().st_mode)
    assert ("change.intended", 0) == (intent["tag"], intent["policy_version"])
    assert ("registry.initialised", 1) == (outcome["tag"], outcome["policy_version"])
    assert intent["request_id"] == outcome["request_id"]


def test_init_again_changes_nothing(office: Office) -> None:
    """
    Not a byte of a key or of the registry, and not a record.
    """
    before, records = _read_files(office.data_dir), office.read_journal()
    done = installation.init(**office.place)

    assert [] == done["created"]
    assert (before, records) == (_read_files(office.data_dir), office.read_journal())


def test_a_master_key_elsewhere_is_made_or_used(bare: Office, tmp_path: Path) -> None:
    """
    Then none is made in the data folder.
    """
    place = {**bare.place, "master_key_file": tmp_path / "elsewhere.key"}
    first = installation.init(**place)
    second = installation.init(**place)
    Desk.open(**place).close()

    assert str(tmp_path / "elsewhere.key") in first["created"]
    assert [] == second["created"]
    assert not (bare.data_dir / "master.key").exists()


def test_folders_outside_are_made_too(bare: Office, tmp_path: Path) -> None:
    """
    The data folder with its parents, and the run folder, all private.
    """
    place = {**bare.place, "data_dir": tmp_path / "a" / "b", "run_dir": tmp_path / "run"}
    place["master_key_file"] = tmp_path / "a" / "b" / "master.key"
    done = installation.init(**place)

    assert str(tmp_path / "run") in done["created"]
    assert 0o700 == stat.S_IMODE((tmp_path / "run").stat().st_mode)


@pytest.mark.parametrize(
    ("lost", "match"),
    [
        (["master.key"], "master.key is missing"),
        (["audit.key"], "audit.key is missing"),
        (["master.key", "audit.key"], "master.key is missing"),
        (["master.key", "gateway.db"], "master.key is missing"),
    ],
    ids=" and ".join,
)
def test_a_lost_key_is_not_made_anew(office: Office, lost: list[str], match: str) -> None:
    """
    A new one would open nothing that is there; the old one is in the backup.
    """
    for name in lost:
        (office.data_dir / name).unlink()
    before = _read_files(office.data_dir)
    with pytest.raises(OperatorError, match=match) as caught:
        installation.init(**office.place)

    assert OperatorReason.MASTER_KEY_UNUSABLE == caught.value.reason
    assert before == _read_files(office.data_dir)


def test_a_ring_of_another_installation_is_refused(office: Office) -> None:
    """
    By `init` as by every verb, before anything is sealed under it.
    """
    key = office.data_dir / "master.key"
    key.write_text("1 " + "A" * 43 + "=\n")
    with pytest.raises(OperatorError, match="does not open"):
        installation.init(**office.place)
    with pytest.raises(OperatorError, match="does not open") as caught:
        office.open_desk()

    assert OperatorReason.MASTER_KEY_UNUSABLE == caught.value.reason


def test_a_folder_that_cannot_be_made_is_told(bare: Office) -> None:
    """
    With the setting that names another.
    """
    bare.data_dir.parent.mkdir(exist_ok=True)
    bare.data_dir.write_text("in the way")
    with pytest.raises(OperatorError, match="GATEWAY_DATA_DIR") as caught:
        installation.init(**bare.place)

    assert OperatorReason.DATA_DIR_UNUSABLE == caught.value.reason


_KILLED = """
import os, sys
from pathlib import Path
from gateway.administration import installation
from gateway.clock import SystemClock
from gateway.custody import AuditKey, Ring
from gateway.registry.store import Store

def die(*args, **kwargs):
    os._exit(9)

point = sys.argv[3]
if point == "ring":
    Ring.create = die
elif point == "audit key":
    AuditKey.create = die
elif point == "registry":
    Store.create = die
elif point == "schema":
    Store._bring_up_to_date, checked = (lambda store, *, may_be_empty: die() if may_be_empty else checked(
        store, may_be_empty=False)), Store._bring_up_to_date
else:
    Store.close = die
data_dir = Path(sys.argv[1])
installation.init(
    data_dir=data_dir, run_dir=Path(sys.argv[2]), master_key_file=data_dir / "master.key", node="test",
    clock=SystemClock(),
)
"""


@pytest.mark.parametrize(
    ("point", "tags"),
    [
        ("ring", []),
        ("audit key", []),
        ("registry", ["change.intended", "change.failed"]),
        ("schema", ["change.intended", "change.failed"]),
        ("outcome", ["change.intended", "registry.initialised"]),
    ],
)
def test_an_init_killed_at_any_point_is_finished_by_the_next(bare: Office, point: str, tags: list[str]) -> None:
    """
    The crash points are walked: the next run finishes, and closes on record what the first had begun.
    """
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, str(bare.data_dir), str(bare.run_dir), point], check=False, timeout=60
    )
    installation.init(**bare.place)
    with bare.open_desk() as desk:
        callers.add(desk, "crm", networks=(), query_token_allowed=True)
    finished = [] if point == "outcome" else ["change.intended", "registry.initialised"]

    assert 9 == killed.returncode
    assert [*tags, *finished, "change.intended", "caller.added"] == bare.read_tags()


def test_without_an_installation_a_verb_says_init(bare: Office) -> None:
    """
    Nothing is silently made.
    """
    with pytest.raises(OperatorError, match="noojee-gateway init"):
        bare.open_desk()

    assert not bare.data_dir.exists()
