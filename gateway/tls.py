"""
What both ports speak TLS with.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    import os

__all__ = ["load_tls"]


def load_tls(cert_file: str | os.PathLike[str], key_file: str | os.PathLike[str]) -> ssl.SSLContext:
    """
    A server's context, TLS 1.2 or newer, from PEM files.

    Raises:
        OperatorError: `tls_unusable`.
    """
    for path in (cert_file, key_file):
        try:
            Path(path).open("rb").close()
        except OSError as error:
            raise OperatorError(
                OperatorReason.TLS_UNUSABLE,
                f"The TLS file {path} cannot be read: {error.strerror}. Correct its path, or let this user read it.",
            ) from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # An empty pass phrase: without one OpenSSL would ask for it on the terminal and a service would hang.
        context.load_cert_chain(cert_file, key_file, password="")
    except (ssl.SSLError, ValueError):
        raise OperatorError(
            OperatorReason.TLS_UNUSABLE,
            f"{cert_file} and {key_file} cannot be used. They must be PEM, the key without a pass phrase and that of "
            "the first certificate.",
        ) from None
    return context
