"""
The simulator's certificates and key files: strict clients accept them, and only their owner reads the keys.
"""

from __future__ import annotations

import shutil
import ssl
import stat
import subprocess
import uuid
from typing import TYPE_CHECKING

import pytest

from gateway.simulator import Simulator

if TYPE_CHECKING:
    from pathlib import Path


def run(*command: str) -> str:
    """
    Standard output of a command that must succeed.
    """
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize(
    "name", [["-verify_hostname", "localhost"], ["-verify_ip", "127.0.0.1"], ["-verify_ip", "::1"]]
)
def test_openssl_accepts_the_chain_strictly(tmp_path: Path, name: list[str]) -> None:
    """
    `openssl verify -x509_strict`, for each of the three names.
    """
    Simulator(tmp_path)
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", str(tmp_path / "ca.pem")]
    assert "OK" in run(*command, *name, str(tmp_path / "server.pem"))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_curl_accepts_the_certificate(simulator: Simulator, host: str) -> None:
    """
    By name and by address.
    """
    port = simulator.url.rpartition(":")[2]
    url = f"https://{host}:{port}/servicemanager/rest/Time"
    resolve = ["--resolve", f"localhost:{port}:127.0.0.1", "--noproxy", "*"]
    assert run("curl", "--silent", "--fail", "-X", "POST", *resolve, "--cacert", str(simulator.ca_file), url).isdigit()


def test_strict_python_accepts_the_certificate(simulator: Simulator) -> None:
    """
    The flags that Python 3.13 sets by default.
    """
    import http.client

    context = ssl.create_default_context(cafile=str(simulator.ca_file))
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    port = int(simulator.url.rpartition(":")[2])
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=5)
    connection.request("POST", "/servicemanager/rest/Time")
    assert connection.getresponse().status == 200
    connection.close()


def test_another_ca_does_not_vouch_for_it(simulator: Simulator, tmp_path: Path) -> None:
    """
    Two simulators in two folders have nothing in common.
    """
    import http.client

    other = Simulator(tmp_path / "other")
    context = ssl.create_default_context(cafile=str(other.ca_file))
    port = int(simulator.url.rpartition(":")[2])
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=5)
    with pytest.raises(ssl.SSLCertVerificationError):
        connection.request("POST", "/servicemanager/rest/Time")
    connection.close()


def test_keys_are_uuids_that_their_owner_alone_reads(tmp_path: Path) -> None:
    """
    Folder 0700, private files 0600.
    """
    simulator = Simulator(tmp_path / "new" / "data", user_logins=["alice", "bob"])
    assert stat.S_IMODE((tmp_path / "new" / "data").stat().st_mode) == 0o700
    private = [simulator.global_key_file, *simulator.user_key_files.values()]
    assert len({uuid.UUID(path.read_text().strip()) for path in private}) == 3
    folder = tmp_path / "new" / "data"
    for path in [*private, folder / "ca-key.pem", folder / "server-key.pem"]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "alice" not in repr(simulator)


def test_what_is_missing_is_made_again(tmp_path: Path) -> None:
    """
    A lost server certificate comes from the same CA; a lost CA key replaces both.
    """
    Simulator(tmp_path)
    authority, server = (tmp_path / "ca.pem").read_bytes(), (tmp_path / "server.pem").read_bytes()
    (tmp_path / "server.pem").unlink()
    Simulator(tmp_path)
    assert (tmp_path / "ca.pem").read_bytes() == authority
    renewed = (tmp_path / "server.pem").read_bytes()
    assert renewed != server
    (tmp_path / "ca-key.pem").unlink()
    Simulator(tmp_path)
    assert (tmp_path / "ca.pem").read_bytes() != authority
    assert (tmp_path / "server.pem").read_bytes() != renewed


def test_a_planted_key_is_used_and_an_empty_one_refused(tmp_path: Path) -> None:
    """
    A test can mark its keys; a file without a key is told by its name.
    """
    (tmp_path / "global.key").write_text("marked-key\n")
    Simulator(tmp_path)
    assert (tmp_path / "global.key").read_text() == "marked-key\n"
    (tmp_path / "alice.key").write_text("\n")
    with pytest.raises(ValueError, match=r"alice\.key does not hold an API key"):
        Simulator(tmp_path)


@pytest.mark.parametrize("login", ["global", "", "../alice", "a b"])
def test_a_login_must_be_a_file_name(tmp_path: Path, login: str) -> None:
    """
    And not the name of the global key.
    """
    with pytest.raises(ValueError, match="cannot be a login"):
        Simulator(tmp_path, user_logins=[login])


@pytest.mark.parametrize("network", ["", "10.0.0.0/33", "10.0.0.1/8", "everywhere"])
def test_a_network_must_be_one(tmp_path: Path, network: str) -> None:
    """
    Told before anything is written.
    """
    with pytest.raises(ValueError, match=r".+"):
        Simulator(tmp_path / "data", allow=[network])
    assert not (tmp_path / "data").exists()
