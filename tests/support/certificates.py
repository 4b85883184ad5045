"""
Certificates for the gateway's own ports, and which one a port shows.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("ec", "rsa")
"""Kinds of key: OpenSSL keeps one certificate for each."""


def write_certificate(folder: Path, kind: str = "ec") -> bytes:
    """
    A self-signed certificate for 127.0.0.1 as `tls.pem` and `tls.key`, over what is there. Returns its DER form.
    """
    is_ec = kind == "ec"
    key = ec.generate_private_key(ec.SECP256R1()) if is_ec else rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1))
    builder = builder.not_valid_after(now + timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    (folder / "tls.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "tls.key").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    return certificate.public_bytes(serialization.Encoding.DER)


def open_tls(port: int) -> ssl.SSLSocket:
    """
    A connection that trusts anybody.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10))


def find_certificate(port: int) -> bytes | None:
    """
    What a port shows to a new connection, in DER form.
    """
    with open_tls(port) as connection:
        return connection.getpeercert(binary_form=True)
