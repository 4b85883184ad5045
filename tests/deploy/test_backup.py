"""
deploy/backup: what was copied while calls ran becomes a gateway that serves, with its record and none of its locks.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from installation import API, Installation

if TYPE_CHECKING:
    from noojee import Noojee

_SCRIPTS = Path(__file__).parents[2] / "deploy" / "backup"


def _run(script: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", _SCRIPTS / script, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _back_up(installation: Installation, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    done = _run("backup.py", installation.data_dir, folder)
    assert (0, "") == (done.returncode, done.stderr)
    return Path(done.stdout.split(": ")[0])


def test_a_backup_made_while_calls_run_serves_where_it_is_restored(
    installation: Installation, noojee: Noojee, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """
    Calls before the backup, another machine's folder after it: the journal is whole, the token works, the call is sent.
    """
    token = installation.add_caller("crm", [("everything", ["CallManagementAPI/*"])])
    with installation.serve() as running:
        before = running.call(f"{API}/start?extenOrUniqueId=410", token=token)
        backup = _back_up(installation, tmp_path / "backups")
        after = running.call(f"{API}/stop?extenOrUniqueId=410", token=token)
    restored = Installation(tmp_path / "restored", noojee.simulator)
    # With a short name: a socket's path has about a hundred bytes.
    restored.environment["GATEWAY_RUN_DIR"] = str(tmp_path_factory.mktemp("r"))
    done = _run("restore.py", backup, restored.data_dir, "--master-key", installation.data_dir / "master.key")

    assert (0, "") == (done.returncode, done.stderr)
    assert 0 == restored.verb("audit", "verify").returncode

    noojee.reset()
    with restored.serve() as running:
        again = running.call(f"{API}/start?extenOrUniqueId=411", token=token)

    assert [200, 200, 200] == [before.status, after.status, again.status]
    assert [f"{API}/start?apiKey=GLOBAL&extenOrUniqueId=411"] == noojee.targets()
    told = [record["parameters"]["extenOrUniqueId"] for record in restored.calls() if record["tag"] == "call.intended"]
    assert [{"text": "410"}, {"text": "411"}] == told, "the call after the backup is not on it"
    assert 0 == restored.verb("audit", "verify").returncode


def test_a_backup_has_no_master_key_and_nothing_that_others_may_read(
    installation: Installation, tmp_path: Path
) -> None:
    """
    Registry, sealed audit key, journal and checksums, each its owner's alone; no lock, no socket, no half-written log.
    """
    backup = _back_up(installation, tmp_path / "backups")
    names = {path.relative_to(backup).as_posix() for path in backup.rglob("*") if path.is_file()}
    modes = {stat.S_IMODE(path.stat().st_mode) for path in [backup, *backup.rglob("*")] if path.is_file()}

    assert {"SHA256SUMS", "gateway.db", "audit.key", "journal/admin/00000001.jsonl"} == names
    assert {0o600} == modes
    assert 0 == stat.S_IMODE(backup.stat().st_mode) & 0o077
    assert (installation.data_dir / "master.key").read_bytes() not in b"".join(
        (backup / name).read_bytes() for name in names
    )
    with sqlite3.connect(backup / "gateway.db") as registry:
        assert [("ok",)] == registry.execute("PRAGMA integrity_check").fetchall()


def test_nothing_is_restored_from_a_backup_that_was_altered_or_over_data_that_are_there(
    installation: Installation, tmp_path: Path
) -> None:
    """
    One changed byte, a file too many in the list, a data folder in the way: a sentence, exit 1, and nothing made.
    """
    backup = _back_up(installation, tmp_path / "backups")
    over = _run("restore.py", backup, installation.data_dir)

    assert 1 == over.returncode
    assert "is there already" in over.stderr

    segment = backup / "journal" / "admin" / "00000001.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b"noojee", b"nobody", 1))
    altered = _run("restore.py", backup, tmp_path / "restored")

    assert 1 == altered.returncode
    assert "journal/admin/00000001.jsonl is not what was backed up" in altered.stderr

    with (backup / "SHA256SUMS").open("a") as sums:
        sums.write(f"{'0' * 64}  ../outside\n")
    led_out = _run("restore.py", backup, tmp_path / "restored")

    assert 1 == led_out.returncode
    assert "is not what backup.py writes" in led_out.stderr
    assert ["backups", "data"] == sorted(path.name for path in tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user than the data folder's owner")
def test_a_backup_is_refused_to_whoever_does_not_own_the_data(installation: Installation, tmp_path: Path) -> None:
    """
    SQLite would leave files beside the registry that the service cannot write: the sentence names the user to be.
    """
    os.chown(installation.data_dir, 10001, 10001)
    done = _run("backup.py", installation.data_dir, tmp_path)

    assert 1 == done.returncode
    assert "belongs to user 10001" in done.stderr
    assert "sudo -u '#10001'" in done.stderr


def test_a_record_that_is_being_written_is_left_to_the_next_backup(installation: Installation, tmp_path: Path) -> None:
    """
    A segment is copied to its last whole line, so that what is restored verifies without a torn end.
    """
    segment = installation.data_dir / "journal" / "admin" / "00000001.jsonl"
    whole = segment.read_bytes()
    segment.write_bytes(whole + b'{"v":1,"stream":"admin","seq":')
    backup = _back_up(installation, tmp_path / "backups")

    assert whole == (backup / "journal" / "admin" / "00000001.jsonl").read_bytes()
