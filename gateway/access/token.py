"""
The local token: its text, how it is made and checked, and what the snapshot knows of it.

The text is `njg_<id>_<secret>_<check>`: 12, 32 and 6 characters of base 62. The id may be logged; the check is the
CRC-32 of all before its underscore, so that a half-copied token is told from a wrong one before anything is looked up.
We keep the SHA-256 of the text alone: 190 random bits need no slow hash.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from gateway.secret import Secret

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["EXPIRES_SOON", "Token", "create_token_text", "digest_token", "has_upstream_key_form", "is_well_formed"]

EXPIRES_SOON = timedelta(days=30)
"""How long before its end a token counts as one that expires soon (contract section 3)."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM = re.compile(r"njg_[0-9A-Za-z]{12}_[0-9A-Za-z]{32}_[0-9A-Za-z]{6}")
_UUID_FORM = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")


class Token(NamedTuple):
    """
    A token that is neither revoked nor of a disabled caller. It may be expired: time is checked on every call.
    """

    token_id: str
    caller_name: str
    expires_at: datetime | None

    def is_expired(self, now: datetime) -> bool:
        """
        Whether its time is over at `now`, an aware UTC datetime.
        """
        return self.expires_at is not None and now >= self.expires_at


def create_token_text() -> tuple[str, Secret]:
    """
    A new token: its id and its text. The text is shown once and then kept as a digest only.
    """
    token_id = "".join(secrets.choice(_DIGITS) for _ in range(12))
    secret = "".join(secrets.choice(_DIGITS) for _ in range(32))
    stem = f"njg_{token_id}_{secret}"
    return token_id, Secret(f"{stem}_{_check_digits(stem)}")


def is_well_formed(text: str) -> bool:
    """
    Whether a text has a token's form and its check digits are right.
    """
    if not _FORM.fullmatch(text):
        return False
    stem, _, check = text.rpartition("_")
    return check == _check_digits(stem)


def digest_token(text: str) -> bytes:
    """
    The SHA-256 of a token's text, 32 bytes: what the registry keeps and the snapshot is looked up by.
    """
    return hashlib.sha256(text.encode()).digest()


def has_upstream_key_form(text: str) -> bool:
    """
    Whether a text looks like a Noojee key, that is a UUID: such a text is never a token of ours.
    """
    return _UUID_FORM.fullmatch(text) is not None


def _check_digits(stem: str) -> str:
    number = zlib.crc32(stem.encode("ascii"))
    digits = ""
    for _ in range(6):  # 62**6 > 2**32, so six digits always hold it
        number, rest = divmod(number, 62)
        digits = _DIGITS[rest] + digits
    return digits
