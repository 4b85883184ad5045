"""
New versions of the master key: the file replaced whole, everything sealed anew, and a ring that notices.
"""

from __future__ import annotations

import base64
import dataclasses
import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from gateway import durable
from gateway.access.credential import Credential, Kind
from gateway.access.upstream import Upstream
from gateway.custody import AuditKey, Ring, SealError, find_seal_version, open_key, reseal_key, seal_key
from gateway.custody.cipher import render_context, seal_bytes
from gateway.errors import OperatorError, OperatorReason
from gateway.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = Secret("7d0c1c52-4a9e-4a0b-9a53-000000000001")
CREDENTIAL = Credential(
    credential_id="c1",
    name="alice",
    upstream=Upstream(name="noojee", host="noojee.example.com", port=443),
    kind=Kind.USER,
    owner="alice@example.com",
    sealed=None,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """
    A ring's file, of one version.
    """
    Ring.create(tmp_path / "master.key")
    return tmp_path / "master.key"


def seal(ring: Ring) -> Credential:
    """
    The credential with its key, under the ring's newest version.
    """
    return dataclasses.replace(CREDENTIAL, sealed=seal_key(ring, KEY, CREDENTIAL))


def test_a_version_is_added_behind_those_there_are(path: Path) -> None:
    """
    The old line stays as it was; the file is as private as before, and nothing else is left in the folder.
    """
    before = path.read_text()
    ring = Ring.load(path)
    added = ring.add_version()

    assert (2, 2, [1, 2]) == (added, ring.newest_version, ring.versions)
    assert path.read_text().startswith(before)
    assert [1, 2] == Ring.load(path).versions
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert [path] == list(path.parent.iterdir())


def test_a_ring_reads_its_file_again_for_a_version_that_it_lacks(path: Path) -> None:
    """
    What another process sealed under a new version opens; what was sealed before still does.
    """
    running, verb = Ring.load(path), Ring.load(path)
    old = seal(running)
    verb.add_version()
    new = seal(verb)

    assert KEY == open_key(running, new) == open_key(running, old)
    assert [1, 2] == running.versions
    assert not running.has_version(3)


def test_a_ring_that_cannot_be_read_again_keeps_what_it_had(path: Path) -> None:
    """
    A file that is gone, malformed or open to others costs only what needs the new version.
    """
    running, verb = Ring.load(path), Ring.load(path)
    old = seal(running)
    verb.add_version()
    new = seal(verb)
    good = path.read_text()

    def write_anew(text: str, mode: int) -> None:
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(mode)

    spoil: list[Callable[[], None]] = [
        path.unlink,
        lambda: write_anew("nothing", 0o600),
        lambda: write_anew(good, 0o644),
    ]
    for each in spoil:
        each()
        assert KEY == open_key(running, old)
        with pytest.raises(SealError, match="version 2 of the master ring"):
            open_key(running, new)
    write_anew(good, 0o600)

    assert KEY == open_key(running, new)


def test_a_pruned_version_is_gone_from_the_file(path: Path) -> None:
    """
    And with it what was sealed under it, for whoever reads the file from now on.
    """
    ring = Ring.load(path)
    old = seal(ring)
    first = path.read_text().split()[1]
    ring.add_version()
    ring.prune([1])
    new = seal(Ring.load(path))

    assert [2] == ring.versions == Ring.load(path).versions
    assert first not in path.read_text()
    assert KEY == open_key(ring, new)
    with pytest.raises(SealError, match="version 1"):
        open_key(Ring.load(path), old)


def test_a_key_is_sealed_anew_in_its_place(path: Path) -> None:
    """
    Under the newest version, bound to the same credential; what does not open is not sealed either.
    """
    ring = Ring.load(path)
    old = seal(ring)
    ring.add_version()
    new = dataclasses.replace(old, sealed=reseal_key(ring, old))

    assert (1, 2) == (find_seal_version(old.sealed or b""), find_seal_version(new.sealed or b""))
    assert KEY == open_key(ring, new)
    for wrong in (dataclasses.replace(old, owner="bob@example.com"), CREDENTIAL):
        with pytest.raises(SealError):
            reseal_key(ring, wrong)
    for text in (b"", b"\x02" + bytes(60)):
        with pytest.raises(SealError):
            find_seal_version(text)


def test_the_audit_key_is_sealed_anew_with_all_its_versions(path: Path) -> None:
    """
    Its keys stay as they are, so marks and fingerprints stay comparable; the old ring's version is not needed any more.
    """
    ring, audit_key = Ring.load(path), path.with_name("audit.key")
    before = AuditKey.create(audit_key, ring)
    ring.add_version()
    AuditKey.reseal(audit_key, ring)
    ring.prune([1])
    after = AuditKey.load(audit_key, Ring.load(path))

    assert frozenset({2}) == AuditKey.find_seal_versions(audit_key)
    assert (before.key_id, before.for_caller("crm")) == (after.key_id, after.for_caller("crm"))
    assert before.fingerprint("key") == after.fingerprint("key")
    assert 0o600 == stat.S_IMODE(audit_key.stat().st_mode)


def test_all_versions_of_the_audit_key_are_sealed_anew(path: Path) -> None:
    """
    The newest marks, and names itself so in records; the oldest makes fingerprints. A rotation keeps both.
    """
    ring, audit_key = Ring.load(path), path.with_name("audit.key")
    first = AuditKey.create(audit_key, ring)
    sealed = seal_bytes(ring, bytes(range(32)), render_context(("noojee-gateway audit key", "2")))
    with audit_key.open("a") as file:
        file.write(f"2 {base64.b64encode(sealed).decode()}\n")
    second = AuditKey.load(audit_key, ring)
    ring.add_version()
    AuditKey.reseal(audit_key, ring)
    third = AuditKey.load(audit_key, ring)

    assert ("1", "2", "2") == (first.key_id, second.key_id, third.key_id)
    assert second.for_caller("crm") == third.for_caller("crm") != first.for_caller("crm")
    assert first.fingerprint("key") == second.fingerprint("key") == third.fingerprint("key")
    assert frozenset({2}) == AuditKey.find_seal_versions(audit_key)


@pytest.mark.parametrize("step", ["create_file", "write", "sync", "rename", "sync_folder"])
def test_a_ring_that_could_not_be_written_is_the_old_or_the_new_one(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """
    Each step fails in turn: the sentence says what, both rings open all there is, and no draft is left.
    """
    ring = Ring.load(path)
    old = seal(ring)

    def fail(*_args: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(durable, step, fail)
    with pytest.raises(OperatorError, match="Input/output error") as caught:
        ring.add_version()
    monkeypatch.undo()

    assert OperatorReason.MASTER_KEY_UNUSABLE == caught.value.reason
    assert KEY == open_key(ring, old) == open_key(Ring.load(path), old)
    assert ([1, 2] if step == "sync_folder" else [1]) == ring.versions == Ring.load(path).versions
    assert [path] == list(path.parent.iterdir())


def test_a_draft_that_a_killed_verb_left_is_replaced(path: Path) -> None:
    """
    Nothing was ever sealed under what is in it.
    """
    draft = path.with_name(".master.key.new")
    draft.write_text("1 half of a ke")
    ring = Ring.load(path)
    ring.add_version()

    assert [1, 2] == Ring.load(path).versions
    assert not draft.exists()


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _give_away(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 12345, -1)


def _lock_folder(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("nothing is read-only for root; a mounted file system is, in tests/faults")
    path.parent.chmod(0o500)


@pytest.mark.parametrize(
    ("obstacle", "told"),
    [(_link, "it is a link"), (_give_away, "another user"), (_lock_folder, "read-only"), (os.unlink, "No such file")],
)
def test_a_ring_that_is_not_ours_is_refused_before_anything_changes(
    path: Path, obstacle: Callable[[Path], None], told: str
) -> None:
    """
    Whoever put it there would put it back, or keep us from it half way.
    """
    ring = Ring.load(path)
    obstacle(path)
    before = sorted((each.name, each.lstat().st_ino) for each in path.parent.iterdir())
    with pytest.raises(OperatorError, match=told) as caught:
        ring.check_writable()

    assert OperatorReason.KEY_FILE_READ_ONLY == caught.value.reason
    assert before == sorted((each.name, each.lstat().st_ino) for each in path.parent.iterdir())


def test_no_message_and_no_repr_shows_a_key(path: Path) -> None:
    """
    A ring tells its versions alone, before a rotation and after.
    """
    ring = Ring.load(path)
    ring.add_version()
    shown = f"{ring!r} {ring.versions}"

    for line in path.read_text().splitlines():
        key = line.split()[1]
        assert key not in shown
        assert base64.b64decode(key).hex() not in shown
    assert f"<Ring {path}: versions [1, 2]>" == repr(ring)
