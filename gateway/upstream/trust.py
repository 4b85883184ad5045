"""
Whom we trust to be Noojee (law 5): TLS 1.2 or newer, certificate and host name verified, nothing from the environment.

Pins are beside that: a key which the certificate must have as well. For a server that can do neither, and for it alone,
a pin may stand in the place of the rest (docs/decisions/0015-the-way-up.md).
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from gateway.upstream.certificate import CertificateError, find_pin

if TYPE_CHECKING:
    from gateway.access.upstream import Upstream

__all__ = ["PinError", "check_pin", "create_context_for", "create_looking_context", "create_tls_context"]

_LEGACY_SERVER_CONNECT = 0x4
"""SSL_OP_LEGACY_SERVER_CONNECT: a server without RFC 5746. `ssl` has a name for it from Python 3.12 on."""


class PinError(ssl.SSLCertVerificationError):
    """
    The certificate has none of the pinned keys.

    Attributes:
        present: The pin of the key that it has; None where it cannot be read.
    """

    def __init__(self, present: str | None) -> None:
        super().__init__("the certificate has another key than the pinned ones")
        self.present = present


def check_pin(certificate: bytes | None, pins: tuple[str, ...]) -> None:
    """
    Refuses a certificate, DER, whose key is none of the pinned ones.

    Raises:
        PinError: It is, or there is none.
    """
    try:
        present = find_pin(certificate or b"")
    except CertificateError:
        present = None
    if present not in pins:
        raise PinError(present)


def create_context_for(upstream: Upstream) -> ssl.SSLContext:
    """
    The context for an upstream. See `create_tls_context`; old TLS never goes without a pin, whatever a row says.
    """
    if upstream.allow_old_tls and upstream.pins:
        return _create_old_context(upstream.ca_pem)
    return create_tls_context(upstream.ca_pem)


def create_tls_context(ca_pem: str | None) -> ssl.SSLContext:
    """
    The client side's TLS settings. Slow for the system's store (some 100 ms): call it off the event loop.

    `ssl.create_default_context` is not used: it obeys SSL_CERT_FILE and SSLKEYLOGFILE, and whoever sets those can read
    or take over what we send.

    Args:
        ca_pem: Certificates to trust, PEM; None for the system's store.
    """
    if ca_pem is None:
        import httpx2  # 90 ms, and of no use to whoever names the certificates

        context = httpx2.create_ssl_context(verify=True, trust_env=False)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and host name from the start
        context.load_verify_locations(cadata=ca_pem)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def create_looking_context() -> ssl.SSLContext:
    """
    For looking at what a server shows, whoever it is. Nothing may be sent over what is opened with it.
    """
    return _create_old_context(None)


def _create_old_context(ca_pem: str | None) -> ssl.SSLContext:
    """
    For a server whose key is pinned: any TLS, any signature; a chain and a name only where certificates are given.

    The pin is checked in each full handshake before anything is sent: nobody but that key's holder is spoken to.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_pem is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=ca_pem)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # below 1, TLS before 1.2 and signatures with SHA-1 are refused
    context.options |= ssl.Options(_LEGACY_SERVER_CONNECT)
    return context
