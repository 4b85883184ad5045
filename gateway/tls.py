"""
What both ports speak TLS with.
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    import os

__all__ = ["ServerTls", "load_tls"]

_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class ServerTls:
    """
    A certificate that can be replaced while a port is served: handshakes that begin later show the new one.

    Connections that were made go on as they are. A caller that resumes a session of before is shown none at all.

    Args:
        cert_file: As for `load_tls`, and so are errors.
        key_file: The same.

    Attributes:
        context: What the port is served with, for good.
        certificate: The one that is shown now, DER.
    """

    def __init__(self, cert_file: str, key_file: str) -> None:
        self.context = self._current = load_tls(cert_file, key_file)
        self.certificate = _read_certificate(cert_file)
        # Loading into the same context would keep the old certificate for callers that prefer its kind of key.
        self.context.sni_callback = self._show_current

    def reload(self, cert_file: str, key_file: str) -> None:
        """
        Read both files; when they cannot be used the old stay in force.

        Raises:
            OperatorError: `tls_unusable`.
        """
        self._current = load_tls(cert_file, key_file)
        self.certificate = _read_certificate(cert_file)

    def _show_current(self, handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        handshake.context = self._current  # asked at every handshake, whether a name was given or not

    def __repr__(self) -> str:
        return "<ServerTls>"


def _read_certificate(cert_file: str) -> bytes:
    """
    The first certificate of a chain that OpenSSL has just loaded, DER; empty when the file has changed since.
    """
    try:
        found = _CERTIFICATE.search(Path(cert_file).read_text("ascii", "replace"))
        return ssl.PEM_cert_to_DER_cert(found[0]) if found is not None else b""
    except (OSError, ValueError):
        return b""


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
