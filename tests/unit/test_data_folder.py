"""
What must be true of files and ports before anything starts.

The refusals that need no other file system or user are also driven through the process, in tests/flow.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.administration.data_folder import (
    check_data_folder,
    check_listening,
    check_new_data_folder,
    check_run_dir,
    create_tls_context,
    find_file_system,
    lock_serving,
)
from gateway.errors import OperatorError, OperatorReason
from gateway.settings.model import Settings


def mount(mount_point: str, kind: str) -> str:
    """
    A line of /proc/self/mountinfo, in the form that proc_pid_mountinfo(5) gives.
    """
    return f"36 35 98:0 / {mount_point} rw,noatime shared:1 - {kind} server:/export rw\n"


LOCAL = mount("/", "ext4")


def write_key_pair(folder: Path) -> tuple[Path, Path]:
    """
    A self-signed certificate and its key.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(exist_ok=True)
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


@pytest.mark.parametrize(
    ("path", "table", "expected"),
    [
        ("/srv/data", LOCAL, "ext4"),
        ("/srv/data", LOCAL + mount("/srv", "nfs4"), "nfs4"),
        ("/srv/data", mount("/srv", "nfs4") + LOCAL, "nfs4"),
        ("/srvx/data", LOCAL + mount("/srv", "nfs4"), "ext4"),
        ("/srv/data/x", LOCAL + mount("/srv", "nfs4") + mount("/srv/data", "xfs"), "xfs"),
        ("/srv/data", LOCAL + mount("/srv", "xfs") + mount("/srv", "9p"), "9p"),
        ("/my data/x", LOCAL + mount("/my\\040data", "cifs"), "cifs"),
        ("/srv", "nonsense\n" + LOCAL, "ext4"),
        ("/srv", "", None),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(path: str, table: str, expected: str | None) -> None:
    """
    The longest mount point wins, and of two at one place the later, which hides the other.
    """
    assert expected == find_file_system(Path(path), table)


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse", "fuse.sshfs", "fuseblk"])
def test_a_remote_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    """
    Known remote kinds are refused, for a folder that exists and for one that `init` would make.
    """
    table = tmp_path / "mountinfo"
    table.write_text(LOCAL + mount(str(tmp_path), kind))
    for check, path in ((check_data_folder, tmp_path), (check_new_data_folder, tmp_path / "new")):
        with pytest.raises(OperatorError, match=f"is on a {kind} file system.*to a folder on a local disk") as caught:
            check(path, mount_table=table)

        assert OperatorReason.DATA_DIR_UNUSABLE is caught.value.reason


def test_a_journal_on_a_remote_file_system_is_refused(tmp_path: Path) -> None:
    """
    It may be a file system of its own.
    """
    table = tmp_path / "mountinfo"
    (tmp_path / "journal").mkdir()
    table.write_text(LOCAL + mount(str(tmp_path / "journal"), "nfs4"))
    with pytest.raises(OperatorError, match="journal is on a nfs4 file system"):
        check_data_folder(tmp_path, mount_table=table)


def test_a_local_folder_is_accepted_and_so_is_one_where_no_table_tells(tmp_path: Path) -> None:
    """
    Only what is known to be remote is refused; macOS has no mount table to read.
    """
    check_data_folder(tmp_path)
    check_new_data_folder(tmp_path / "new")
    check_data_folder(tmp_path, mount_table=tmp_path / "absent")


def test_a_link_to_a_remote_folder_is_followed(tmp_path: Path) -> None:
    """
    It counts where the files will be.
    """
    table = tmp_path / "mountinfo"
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far")
    table.write_text(LOCAL + mount(str(tmp_path / "far"), "nfs"))

    with pytest.raises(OperatorError, match="is on a nfs file system"):
        check_data_folder(tmp_path / "near", mount_table=table)


def test_a_run_folder_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    """
    A socket's path has about a hundred bytes; the sentence says what to set.
    """
    check_run_dir(Path("/run/noojee-gateway"))
    with pytest.raises(OperatorError, match="Set GATEWAY_RUN_DIR to a short path") as caught:
        check_run_dir(tmp_path / ("x" * 100))

    assert OperatorReason.SETTINGS_INVALID is caught.value.reason


@pytest.mark.parametrize(
    ("host", "admin_host", "expected"),
    [
        ("127.0.0.1", "::1", None),
        ("127.9.9.9", "localhost", None),
        ("0.0.0.0", "127.0.0.1", "GATEWAY_HOST is 0.0.0.0"),  # noqa: S104 - nothing listens
        ("10.0.0.1", "127.0.0.1", "GATEWAY_HOST is 10.0.0.1"),
        ("127.0.0.1", "::", "GATEWAY_ADMIN_HOST is ::"),
        ("::ffff:10.0.0.1", "127.0.0.1", "GATEWAY_HOST is ::ffff:"),
    ],
)
def test_plain_text_stays_on_loopback(host: str, admin_host: str, expected: str | None) -> None:
    """
    Either port beyond loopback needs TLS, or the exact word that says that it shall be so.
    """
    if expected is None:
        check_listening(Settings(host=host, admin_host=admin_host))
        return
    with pytest.raises(OperatorError, match=expected) as caught:
        check_listening(Settings(host=host, admin_host=admin_host))
    check_listening(Settings(host=host, admin_host=admin_host, allow_plaintext=True))

    assert OperatorReason.PLAINTEXT_REFUSED is caught.value.reason
    assert "GATEWAY_ALLOW_PLAINTEXT=yes" in caught.value.detail


def test_tls_opens_the_way_beyond_loopback(tmp_path: Path) -> None:
    """
    With a certificate and its key both ports may listen anywhere.
    """
    cert_file, key_file = write_key_pair(tmp_path)
    settings = Settings(host="0.0.0.0", admin_host="::", tls_cert_file=cert_file, tls_key_file=key_file)  # noqa: S104 - nothing listens

    check_listening(settings)

    assert create_tls_context(settings) is not None
    assert create_tls_context(Settings()) is None


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        ("no key", "GATEWAY_TLS_KEY_FILE is not set. Set both"),
        ("no cert", "GATEWAY_TLS_CERT_FILE is not set. Set both"),
        ("absent", "cannot be read: No such file"),
        ("not pem", "cannot be used. They must be PEM"),
        ("foreign key", "cannot be used. They must be PEM"),
        ("encrypted key", "without a pass phrase"),
    ],
)
def test_tls_files_that_cannot_serve_are_refused(tmp_path: Path, spoil: str, expected: str) -> None:
    """
    Allowing plain text does not excuse a broken certificate: nobody would notice that it is not used.
    """
    cert_file, key_file = write_key_pair(tmp_path / "one")
    _, foreign_key_file = write_key_pair(tmp_path / "two")
    if spoil == "absent":
        cert_file.unlink()
    elif spoil == "not pem":
        key_file.write_text("nothing\n")
    elif spoil == "encrypted key":
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        sealed = serialization.BestAvailableEncryption(b"phrase")
        key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed))
    settings = Settings(
        tls_cert_file=None if spoil == "no cert" else cert_file,
        tls_key_file={"no key": None, "foreign key": foreign_key_file}.get(spoil, key_file),
        allow_plaintext=True,
    )

    with pytest.raises(OperatorError, match=expected) as caught:
        check_listening(settings)

    assert OperatorReason.TLS_UNUSABLE is caught.value.reason


def test_one_process_serves_from_a_data_folder(tmp_path: Path) -> None:
    """
    The lock is exclusive, ends with its holder, and its file stays.
    """
    with lock_serving(tmp_path) as lock:
        with pytest.raises(OperatorError, match="Another `noojee-gateway serve` runs on") as caught:
            lock_serving(tmp_path)
        held = repr(lock)
    lock.close()
    lock_serving(tmp_path).close()

    assert OperatorReason.ALREADY_RUNNING is caught.value.reason
    assert held.endswith("serve.lock, held>")
    assert repr(lock).endswith("serve.lock, given up>")
    assert (tmp_path / "serve.lock").stat().st_mode & 0o077 == 0


def test_a_killed_holder_leaves_the_lock_free(tmp_path: Path) -> None:
    """
    The kernel gives the lock up, however the process ends.
    """
    code = (
        "import sys, time; from pathlib import Path; from gateway.administration.data_folder import lock_serving; "
        "lock = lock_serving(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert b"held\n" == holder.stdout.readline()
        with pytest.raises(OperatorError):
            lock_serving(tmp_path)
        holder.kill()

    lock_serving(tmp_path).close()


def test_a_lock_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """
    A link could lead the lock to a file that somebody else replaces.
    """
    (tmp_path / "serve.lock").symlink_to(os.devnull)

    with pytest.raises(OperatorError, match="cannot be opened"):
        lock_serving(tmp_path)
