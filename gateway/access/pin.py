"""
A pin: the public key that a server's certificate must have, whoever has signed it.

Written as curl's `--pinnedpubkey` has it: `sha256//` and the base64 of the SHA-256 of the key's
SubjectPublicKeyInfo (RFC 5280 section 4.1). A certificate that is renewed with the same key keeps its pin.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

__all__ = ["parse_pin", "render_pin"]

_PREFIX = "sha256//"
_DIGEST_BYTES = 32


def parse_pin(text: str) -> str:
    """
    A pin in its one form.

    Raises:
        ValueError: With a sentence.
    """
    digest = b""
    if text.startswith(_PREFIX) and text.isascii():
        try:
            digest = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            digest = b""
    if len(digest) != _DIGEST_BYTES:
        raise ValueError(
            "a pin is sha256// and the base64 of 32 bytes, 44 characters, as `noojee-gateway check` shows it"
        )
    return _PREFIX + base64.b64encode(digest).decode("ascii")


def render_pin(public_key: bytes) -> str:
    """
    The pin of a SubjectPublicKeyInfo, DER.
    """
    return _PREFIX + base64.b64encode(hashlib.sha256(public_key).digest()).decode("ascii")
