"""
The seal's bytes: AES-256-GCM under a version of the ring, bound to a context.

    byte 0       format, 1
    bytes 1-4    version of the ring, big-endian
    bytes 5-16   nonce, random (NIST SP 800-38D section 8.2.2: far fewer than 2**32 seals are made under one key)
    the rest     ciphertext and its 16 bytes of tag

What is authenticated beside the ciphertext: the first five bytes and the context, whose parts are written with their
lengths so that no two contexts have the same bytes.
"""

from __future__ import annotations

import secrets
import struct
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import SealError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.custody.ring import Ring

__all__ = ["find_seal_version", "open_bytes", "render_context", "seal_bytes"]

_FORMAT = 1
_HEADER = struct.Struct(">BI")
_NONCE_BYTES = 12
_TAG_BYTES = 16


def seal_bytes(ring: Ring, plaintext: bytes, context: bytes) -> bytes:
    """
    The plaintext under the ring's newest version, bound to `context`, which `render_context` made.
    """
    header = _HEADER.pack(_FORMAT, ring.newest_version)
    nonce = secrets.token_bytes(_NONCE_BYTES)
    cipher = AESGCM(ring.get_key(ring.newest_version))
    return header + nonce + cipher.encrypt(nonce, plaintext, header + context)


def open_bytes(ring: Ring, sealed: bytes, context: bytes) -> bytes:
    """
    What was sealed, when ring, bytes and context are those of its sealing.

    Raises:
        SealError: One of them is not, and which one cannot be told; or the format is not ours.
    """
    version = find_seal_version(sealed)
    header = sealed[: _HEADER.size]
    ciphers = ring.ciphers  # of the ring as it is now: read again meanwhile, it has others
    cipher = ciphers.get(version)
    if cipher is None:
        key = ring.find_key(version)
        if key is None:
            raise SealError(f"the seal was made under version {version} of the master ring, which is not in it")
        # Each call opens a seal. What is kept is the ring's own key, made ready; never what it opens.
        cipher = ciphers[version] = AESGCM(key)
    nonce = sealed[_HEADER.size : _HEADER.size + _NONCE_BYTES]
    try:
        return cipher.decrypt(nonce, sealed[_HEADER.size + _NONCE_BYTES :], header + context)
    except InvalidTag:
        raise SealError("the seal does not open here: altered, moved, or of another ring") from None


def find_seal_version(sealed: bytes) -> int:
    """
    The version of the ring under which it was sealed, as it says itself; only opening proves it.

    Raises:
        SealError: The format is not ours.
    """
    if len(sealed) < _HEADER.size + _NONCE_BYTES + _TAG_BYTES:
        raise SealError("the seal is too short")
    seal_format, version = _HEADER.unpack(sealed[: _HEADER.size])
    if seal_format != _FORMAT:
        raise SealError("the seal has a format that this release does not know")
    return int(version)


def render_context(context: Sequence[str]) -> bytes:
    """
    What a seal is bound to, so that no two contexts have the same bytes.
    """
    parts = [part.encode() for part in context]
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)
