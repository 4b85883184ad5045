"""
Whom we trust to be Noojee (law 5): TLS 1.2 or newer, certificate and host name verified, nothing from the environment.
"""

from __future__ import annotations

import ssl

__all__ = ["create_tls_context"]


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
