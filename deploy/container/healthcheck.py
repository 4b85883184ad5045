"""
The image's HEALTHCHECK: asks the callers' port whether the node is ready, and ends with 0 when it is.

The port, its address and whether it speaks TLS come from the settings, as `serve` reads them, so that a check never
fails for having been forgotten when a setting was changed. No token is sent, so the certificate is not looked at: it
names the gateway as its callers know it, and never 127.0.0.1.
"""

# ruff: noqa: INP001, T201 - a script: it is no package, and standard output is what Docker keeps of a check

from __future__ import annotations

import http.client
import ssl
import sys

from gateway.errors import OperatorError
from gateway.settings.sources import load_settings

_PATIENCE_SECONDS = 8.0
"""Less than the timeout in the Dockerfile, so that it is us who tell what is wrong."""

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - we ask there, and do not bind
"""Where to ask what listens on every address."""


def check() -> str:
    """
    The node's own word: `ok`, or `degraded` when calls are served and something beside them is not.

    Raises:
        RuntimeError: It answered, and is not ready.
        OSError: It did not answer.
    """
    settings = load_settings()
    host = _LOOPBACK.get(settings.host, settings.host)
    if settings.tls_cert_file is None:
        connection = http.client.HTTPConnection(host, settings.port, timeout=_PATIENCE_SECONDS)
    else:
        unchecked = ssl._create_unverified_context()  # noqa: S323, SLF001 - see above
        connection = http.client.HTTPSConnection(host, settings.port, timeout=_PATIENCE_SECONDS, context=unchecked)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        word = response.read(200).decode("ascii", "replace").strip()
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise RuntimeError(f"{word} ({response.status})")
    return word


if __name__ == "__main__":
    try:
        print(check())
    except (OSError, RuntimeError, OperatorError, http.client.HTTPException) as error:
        print(f"not ready: {type(error).__name__}: {error}")
        sys.exit(1)
