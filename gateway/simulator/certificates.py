"""
A throw-away certificate authority and one server certificate under it.

P-256 throughout. The extensions are those that the strict checks of Python 3.13, curl and `openssl verify -x509_strict`
ask for (RFC 5280 section 4.2): key usage, basic constraints, subject and authority key identifier, and the names that a
client on the same machine uses. What is in the folder and still valid is used again, so that a client keeps its trust.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["Certificates", "ensure_certificates", "write_private"]

_CA_LIFETIME = dt.timedelta(days=3650)
_SERVER_LIFETIME = dt.timedelta(days=365)
_RENEW_BEFORE = dt.timedelta(days=30)
_BACKDATED = dt.timedelta(hours=1)  # a client's clock may be a little behind ours


@dataclass(frozen=True, slots=True)
class Certificates:
    """
    Paths of what a TLS server and its clients need, all PEM.
    """

    ca_file: Path
    server_file: Path
    server_key_file: Path


def ensure_certificates(folder: Path) -> Certificates:
    """
    The certificates in `folder`; what is absent or runs out within 30 days is made.

    A new authority replaces the server certificate too. Private keys have mode 0600.
    """
    ca_file, ca_key_file = folder / "ca.pem", folder / "ca-key.pem"
    server_file, server_key_file = folder / "server.pem", folder / "server-key.pem"
    is_new = not (ca_key_file.exists() and _is_lasting(ca_file))
    if is_new:
        _create_authority(ca_file, ca_key_file)
    if is_new or not (server_key_file.exists() and _is_lasting(server_file)):
        _create_server(ca_file, ca_key_file, server_file, server_key_file)
    return Certificates(ca_file, server_file, server_key_file)


def write_private(path: Path, content: bytes) -> None:
    """
    Write a file that its owner alone can read, mode 0600 from its first byte on; an older one is replaced.
    """
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _is_lasting(path: Path) -> bool:
    from cryptography import x509

    if not path.exists():
        return False
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return certificate.not_valid_after_utc - _RENEW_BEFORE > dt.datetime.now(dt.UTC)


def _create_authority(ca_file: Path, ca_key_file: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = _create_name("Noojee simulator CA")
    certificate = (
        _create_builder(name, name, key.public_key(), key.public_key(), _CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_create_key_usage(for_authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write_pair(certificate, key, ca_file, ca_key_file)


def _create_server(ca_file: Path, ca_key_file: Path, server_file: Path, server_key_file: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    authority = x509.load_pem_x509_certificate(ca_file.read_bytes())
    authority_key = serialization.load_pem_private_key(ca_key_file.read_bytes(), password=None)
    if not isinstance(authority_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{ca_key_file} is not an elliptic curve key; remove it and ca.pem to have both made again")
    names = x509.SubjectAlternativeName(
        [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.IPAddress(ipaddress.ip_address("::1")),
        ]
    )
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _create_name("Noojee simulator")
    certificate = (
        _create_builder(subject, authority.subject, key.public_key(), authority_key.public_key(), _SERVER_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_create_key_usage(for_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(names, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    _write_pair(certificate, key, server_file, server_key_file)


def _create_name(common_name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _create_builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    lifetime: dt.timedelta,
) -> x509.CertificateBuilder:
    from cryptography import x509

    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _create_key_usage(*, for_authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not for_authority,
        key_cert_sign=for_authority,
        crl_sign=for_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_pair(
    certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, certificate_file: Path, key_file: Path
) -> None:
    from cryptography.hazmat.primitives import serialization

    write_private(
        key_file,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
