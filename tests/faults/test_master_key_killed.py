"""
The master key's rotation, killed before each of its steps: nothing that is sealed is ever lost.

The steps are enumerated by the code itself: every call that changes a file or makes it durable, and the commit. What
SQLite does within its commit is SQLite's promise.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import killed_step
import pytest
from admin_office import GLOBAL_KEY, USER_KEY, Office
from small_disk import SmallDisk

from gateway.administration import credentials, installation, keys, upstreams
from gateway.administration.desk import Desk
from gateway.custody import Ring, open_key
from gateway.errors import OperatorError, OperatorReason
from gateway.evidence.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A folder with an installation that holds two keys.
    """
    folder = tmp_path_factory.mktemp("prepared")
    office = Office(folder / "data", folder / "run")
    installation.init(**office.place)
    with office.open_desk() as desk:
        upstreams.add(desk, "noojee", url="https://noojee.example.com")
        credentials.add(desk, "everything", upstream="noojee", kind="global", owner=None, key=GLOBAL_KEY)
        credentials.add(desk, "alice", upstream="noojee", kind="user", owner="alice", key=USER_KEY)
    return folder


def kill_at_each_step(verb: str, prepared: Path, work: Path) -> tuple[list[str], list[Office]]:
    """
    The verb's steps, and what is left of an installation whose verb was killed before each; the last was not killed.
    """
    done = subprocess.run(
        [sys.executable, killed_step.__file__, verb, str(prepared), str(work)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(keys.__file__).parents[2])},
    )
    assert (0, "") == (done.returncode, done.stderr)
    steps = done.stdout.split()
    return steps, [
        Office(work / str(number) / "data", work / str(number) / "run") for number in range(1, len(steps) + 2)
    ]


def read_keys(desk: Desk) -> tuple[object, ...]:
    """
    Everything that is sealed, opened with the ring as it stands in its file.
    """
    ring, held = Ring.load(desk.ring.path), desk.read_snapshot().credentials
    return (
        *(open_key(ring, held[name]) for name in ("everything", "alice")),
        desk.audit_key.for_caller("crm"),
        desk.audit_key.fingerprint("key"),
    )


def check_record(office: Office) -> None:
    """
    The operators' stream is whole, and each of its changes has one end.
    """
    assert verify(office.data_dir / "journal").first_bad is None
    ends: dict[object, list[str]] = {}
    for record in office.read_journal():
        ends.setdefault(record.get("request_id"), []).append(record["tag"])
    ends.pop(None, None)
    assert [] == [tags for tags in ends.values() if len(tags) != 2 or tags[0] != "change.intended"]


def test_a_rotation_killed_at_any_step_loses_nothing_and_is_finished_by_the_next(
    prepared: Path, tmp_path: Path
) -> None:
    """
    All opens at once; repeated, it makes no third version unless the first had committed; then the old one is pruned.
    """
    with Office(prepared / "data", prepared / "run").open_desk() as desk:
        expected = read_keys(desk)
    steps, left = kill_at_each_step("rotate", prepared, tmp_path)
    committed = steps.index("commit") + 1
    assert 2 == steps.count("replace")
    assert "replace" not in steps[committed:]

    for number, office in enumerate(left, start=1):
        with office.open_desk() as desk:
            assert expected == read_keys(desk), number
            rotated = keys.rotate(desk)
            assert (3 if number > committed else 2) == rotated["version"], number
            assert expected == read_keys(desk)
            keys.prune(desk)
        with office.open_desk() as desk:
            assert expected == read_keys(desk)
        assert [rotated["version"]] == Ring.load(office.data_dir / "master.key").versions
        check_record(office)


def test_a_pruning_killed_at_any_step_loses_nothing(prepared: Path, tmp_path: Path) -> None:
    """
    The old version is in the file or it is not; repeated, it is gone.
    """
    folder = tmp_path / "rotated"
    shutil.copytree(prepared, folder)
    with Office(folder / "data", folder / "run").open_desk() as desk:
        keys.rotate(desk)
        expected = read_keys(desk)
    steps, left = kill_at_each_step("prune", folder, tmp_path / "work")
    assert 1 == steps.count("replace")

    for office in left:
        with office.open_desk() as desk:
            assert expected == read_keys(desk)
            keys.prune(desk)
            assert expected == read_keys(desk)
            assert 3 == keys.rotate(desk)["version"]
            assert expected == read_keys(desk)
        assert [2, 3] == Ring.load(office.data_dir / "master.key").versions
        check_record(office)


@pytest.fixture
def ring_disk(prepared: Path, tmp_path: Path) -> Iterator[tuple[Office, Path]]:
    """
    An installation whose ring is on a file system of its own.
    """
    shutil.copytree(prepared, tmp_path / "copy")
    folder = tmp_path / "keys"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    shutil.move(tmp_path / "copy" / "data" / "master.key", folder / "master.key")
    yield Office(tmp_path / "copy" / "data", tmp_path / "copy" / "run"), folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_ring_on_a_read_only_disk_is_refused_before_anything_changes(ring_disk: tuple[Office, Path]) -> None:
    """
    Even for root, with the line that its keeper has to add.
    """
    office, folder = ring_disk
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    before = office.read_journal()
    with (
        Desk.open(**{**office.place, "master_key_file": folder / "master.key"}) as desk,
        pytest.raises(OperatorError, match="is read-only") as caught,
    ):
        keys.rotate(desk)

    assert OperatorReason.KEY_FILE_READ_ONLY == caught.value.reason
    assert "add a line `2 KEY`" in caught.value.detail
    assert before == office.read_journal()


def test_a_ring_on_a_full_disk_stays_as_it_is(ring_disk: tuple[Office, Path]) -> None:
    """
    The failure is on record, no draft is left, and with room again the same command succeeds.
    """
    office, folder = ring_disk
    with Desk.open(**{**office.place, "master_key_file": folder / "master.key"}) as desk:
        SmallDisk(folder).fill()
        with pytest.raises(OperatorError, match="No space left"):
            keys.rotate(desk)
        names = {path.name for path in folder.iterdir()}
        SmallDisk(folder).empty()
        rotated = keys.rotate(desk)

    assert {"master.key", "filler"} == names
    assert {"version": 2, "versions": [1, 2], "credentials": 2} == rotated
    assert ["change.intended", "change.failed", "change.intended", "master_key.rotated"] == office.read_tags()[-4:]
