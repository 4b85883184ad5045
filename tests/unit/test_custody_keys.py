"""
Key files: made once, read by their owner alone, and told apart when they are wrong.
"""

from __future__ import annotations

import base64
import os
import stat
from typing import TYPE_CHECKING

import pytest

from gateway.custody import AuditKey, Ring
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from pathlib import Path


def test_a_new_ring_is_a_private_file_of_one_version(tmp_path: Path) -> None:
    """
    The file is `1 base64(32 bytes)`, 0600, whatever the umask says.
    """
    path = tmp_path / "master.key"
    before = os.umask(0)
    try:
        Ring.create(path)
    finally:
        os.umask(before)
    version, _, text = path.read_text().strip().partition(" ")

    assert (0o600, "1", 32) == (stat.S_IMODE(path.stat().st_mode), version, len(base64.b64decode(text)))


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    """
    What makes a key file fails when the name is taken, and leaves the file as it was.
    """
    ring = Ring.create(tmp_path / "master.key")
    AuditKey.create(tmp_path / "audit.key", ring)
    before = [(tmp_path / name).read_bytes() for name in ("master.key", "audit.key")]
    with pytest.raises(FileExistsError):
        Ring.create(tmp_path / "master.key")
    with pytest.raises(FileExistsError):
        AuditKey.create(tmp_path / "audit.key", ring)

    assert before == [(tmp_path / name).read_bytes() for name in ("master.key", "audit.key")]


def test_a_ring_that_cannot_be_written_says_where_to(tmp_path: Path) -> None:
    """
    A missing folder is told, with the setting that names another place.
    """
    with pytest.raises(OperatorError, match="GATEWAY_MASTER_KEY_FILE") as caught:
        Ring.create(tmp_path / "missing" / "master.key")

    assert caught.value.reason == OperatorReason.MASTER_KEY_UNUSABLE


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o601, 0o666])
def test_a_key_that_others_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    """
    Any bit for group or others is too much; the sentence has the command that helps.
    """
    path = tmp_path / "master.key"
    ring = Ring.create(path)
    AuditKey.create(tmp_path / "audit.key", ring)
    for name in ("master.key", "audit.key"):
        (tmp_path / name).chmod(mode)
    with pytest.raises(OperatorError, match=f"chmod 600 {path}") as caught:
        Ring.load(path)
    with pytest.raises(OperatorError, match="chmod 600"):
        AuditKey.load(tmp_path / "audit.key", ring)

    assert caught.value.reason == OperatorReason.KEY_FILE_UNSAFE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "1\n",
        "one AAAA\n",
        "0 {key}\n",
        "1 {key} more\n",
        "1 {short}\n",
        "1 @@@@\n",
        "1 {key}\n1 {key}\n",
        "1 {key}\n\u0662 {key}\n",
        "x" * 70_000,
    ],
)
def test_a_malformed_ring_is_refused_without_being_quoted(tmp_path: Path, text: str) -> None:
    """
    What is not `version base64(32 bytes)` on every line is no ring, and no part of it is printed.
    """
    key = base64.b64encode(bytes(range(32))).decode()
    path = tmp_path / "master.key"
    path.write_text(text.format(key=key, short=key[:20]))
    path.chmod(0o600)
    with pytest.raises(OperatorError) as caught:
        Ring.load(path)

    assert caught.value.reason == OperatorReason.MASTER_KEY_UNUSABLE
    assert key[:8] not in str(caught.value)


def test_a_missing_ring_is_told_with_what_to_do(tmp_path: Path) -> None:
    """
    Nothing is silently made: only `init` makes a ring.
    """
    with pytest.raises(OperatorError, match=r"noojee-gateway init.*backup") as caught:
        Ring.load(tmp_path / "master.key")

    assert caught.value.reason == OperatorReason.MASTER_KEY_UNUSABLE
    assert not (tmp_path / "master.key").exists()


def test_a_ring_may_be_a_link_but_no_folder_and_no_pipe(tmp_path: Path) -> None:
    """
    Kubernetes mounts secrets as links. A folder or a FIFO is refused at once, without waiting for a writer.
    """
    Ring.create(tmp_path / "real.key")
    (tmp_path / "master.key").symlink_to(tmp_path / "real.key")
    os.mkfifo(tmp_path / "pipe", 0o600)

    assert Ring.load(tmp_path / "master.key").newest_version == 1
    for name in ("pipe", "."):
        with pytest.raises(OperatorError):
            Ring.load(tmp_path / name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_ring_of_another_user_is_refused(tmp_path: Path) -> None:
    """
    Its owner could put another in its place.
    """
    path = tmp_path / "master.key"
    Ring.create(path)
    os.chown(path, 12345, -1)
    with pytest.raises(OperatorError, match="chown") as caught:
        Ring.load(path)

    assert caught.value.reason == OperatorReason.KEY_FILE_UNSAFE


def test_the_audit_key_does_not_open_with_another_ring(tmp_path: Path) -> None:
    """
    That is how a wrong master key is noticed before anything is sealed under it.
    """
    ring = Ring.create(tmp_path / "master.key")
    AuditKey.create(tmp_path / "audit.key", ring)
    other = Ring.create(tmp_path / "other.key")
    with pytest.raises(OperatorError, match="does not open") as caught:
        AuditKey.load(tmp_path / "audit.key", other)

    assert caught.value.reason == OperatorReason.MASTER_KEY_UNUSABLE


@pytest.mark.parametrize("text", ["", "1 AAAA\n", "1 @@\n", "nothing"])
def test_a_malformed_audit_key_is_refused(tmp_path: Path, text: str) -> None:
    """
    As for the ring: a sentence, no guess.
    """
    ring = Ring.create(tmp_path / "master.key")
    path = tmp_path / "audit.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(OperatorError, match="backup") as caught:
        AuditKey.load(path, ring)

    assert caught.value.reason == OperatorReason.MASTER_KEY_UNUSABLE


def test_each_caller_has_a_key_of_its_own_that_survives_a_restart(tmp_path: Path) -> None:
    """
    So nobody fills a dictionary of telephone numbers through a caller of his own, and old marks stay comparable.
    """
    ring = Ring.create(tmp_path / "master.key")
    created = AuditKey.create(tmp_path / "audit.key", ring)
    loaded = AuditKey.load(tmp_path / "audit.key", ring)
    keys = {loaded.for_caller(name) for name in ("crm", "crm2", "wallboard")}

    assert "1" == loaded.key_id
    assert 3 == len(keys)
    assert {32} == {len(key) for key in keys}
    assert created.for_caller("crm") == loaded.for_caller("crm")


def test_a_fingerprint_tells_keys_apart_and_depends_on_the_installation(tmp_path: Path) -> None:
    """
    Equal for equal keys, of any text at all, and useless without the audit key.
    """
    ring = Ring.create(tmp_path / "master.key")
    audit_key = AuditKey.create(tmp_path / "audit.key", ring)
    elsewhere = AuditKey.create(tmp_path / "other.key", ring)

    assert audit_key.fingerprint("a" * 36) == AuditKey.load(tmp_path / "audit.key", ring).fingerprint("a" * 36)
    assert audit_key.fingerprint("a" * 36) != audit_key.fingerprint("a" * 35 + "b")
    assert audit_key.fingerprint("a" * 36) != elsewhere.fingerprint("a" * 36)
    assert 32 == len(audit_key.fingerprint("\udcff\x00"))


def test_a_further_version_of_the_audit_key_keeps_fingerprints_comparable() -> None:
    """
    New records are marked with the newest version; fingerprints that stand in the registry still match.
    """
    first, second = bytes(range(32)), bytes(range(32, 64))
    before, after = AuditKey({1: first}), AuditKey({1: first, 2: second})

    assert before.fingerprint("key") == after.fingerprint("key")
    assert before.for_caller("crm") != after.for_caller("crm")
    assert "2" == after.key_id


def test_neither_ring_nor_audit_key_shows_a_key(tmp_path: Path) -> None:
    """
    A repr tells the versions and the file, not a byte of a key.
    """
    ring = Ring({1: b"K" * 32, 7: b"L" * 32}, tmp_path / "master.key")

    assert f"<Ring {tmp_path}/master.key: versions [1, 7]>" == repr(ring)
    assert "<AuditKey 1>" == repr(AuditKey({1: b"K" * 32}))
