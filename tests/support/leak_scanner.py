"""
Looks for secrets in everything that was written, in every form in which a program may have written them.

A form is searched in two ways. Some are searched as they stand: a secret in hexadecimal or base64 looks the same
whoever wrote it. The others are undone first: percent-encoding, escapes and the like mix freely, so what was read is
decoded and then searched for the plain text. A secret that was cut counts too: a dozen of its characters are enough.
"""

from __future__ import annotations

import base64
import html
import os
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from outputs import Outputs

__all__ = ["Finding", "Scanner", "render_base64"]

_PIECE = 12
"""How much of a secret gives it away. Whatever shows 23 characters in a row of it shows a whole piece."""

_ESCAPE = re.compile(rb"\\(?:u00([0-9A-Fa-f]{2})|x([0-9A-Fa-f]{2})|([^ux]))", re.DOTALL)
_TOKEN = re.compile(r"njg_[0-9A-Za-z]{12}_([0-9A-Za-z]{32}_[0-9A-Za-z]{6})")
_UUID = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")


@dataclass(frozen=True, order=True)
class Finding:
    """
    A secret that shows. Says which by its name.
    """

    place: str
    secret: str
    form: str


@dataclass(frozen=True)
class _Needle:
    """
    Bytes to look for.

    Attributes:
        folds_case: Whether they stand in lower case and are looked for in what was put into lower case.
    """

    form: str
    data: bytes
    folds_case: bool = False


class Scanner:
    """
    Knows the secrets.

    Args:
        secrets: Name -> the text, or the bytes, that must not show. Of a token the public id may.
    """

    def __init__(self, secrets: Mapping[str, str | bytes]) -> None:
        self._needles = {
            name: {(needle.data, needle.folds_case): needle for needle in _create_needles(secret)}.values()
            for name, secret in secrets.items()
        }

    def find(self, place: str, data: bytes) -> list[Finding]:
        """
        Each secret that shows in these bytes, once for each form.
        """
        found = set()
        for view, seen in _undo(data).items():
            folded = seen.lower()
            for name, needles in self._needles.items():
                for needle in needles:
                    if needle.data in (folded if needle.folds_case else seen):
                        found.add(Finding(place, name, f"{needle.form}{view}"))
        return sorted(found)

    def search(self, outputs: Outputs) -> list[Finding]:
        """
        Each secret that shows where it may not, in what was written and in the place's own name.
        """
        searched: dict[bytes, list[Finding]] = {}
        found = []
        for place, data, allowed in outputs:
            if data not in searched:  # much is read again and again: a registry, a lock, a help text
                searched[data] = self.find(place, data)
            shown = searched[data] + self.find(place, os.fsencode(place))
            found += [Finding(place, each.secret, each.form) for each in shown if each.secret not in allowed]
        return found


def _create_needles(secret: str | bytes) -> Iterator[_Needle]:
    is_uuid = isinstance(secret, str) and _UUID.fullmatch(secret) is not None
    if isinstance(secret, bytes):
        texts = {}
        binaries = {"bytes": secret}
    else:
        token = _TOKEN.fullmatch(secret)
        texts = {"text": token[1] if token else secret}
        binaries = {}
        if is_uuid:
            texts["text without dashes"] = secret.replace("-", "")
            binaries = {"UUID's bytes": uuid.UUID(secret).bytes, "UUID's bytes (LE)": uuid.UUID(secret).bytes_le}
    for form, text in texts.items():
        for piece in _cut(text.encode()):
            yield _Needle(form, piece.lower(), folds_case=True)
            # A UUID is the same in any case; what is encoded in another case is no other secret.
            for written in {piece, piece.lower(), piece.upper(), piece.swapcase()} if is_uuid else {piece}:
                yield from _create_encoded(form, written)
    for form, binary in binaries.items():
        for piece in _cut(binary):
            yield _Needle(form, piece)
            yield from _create_encoded(form, piece)


def _create_encoded(form: str, piece: bytes) -> Iterator[_Needle]:
    yield _Needle(f"{form} in hex", piece.hex().encode(), folds_case=True)
    for shift in range(3):
        for is_urlsafe in (False, True):
            core = render_base64(piece, shift, is_urlsafe=is_urlsafe)
            yield _Needle(f"{form} in base64", core)


def render_base64(data: bytes, shift: int, *, is_urlsafe: bool) -> bytes:
    """
    What base64 shows of `data` whatever stands around it, `shift` bytes past a multiple of three.

    Characters at both ends that neighbours have a share in are left out.
    """
    encode = base64.urlsafe_b64encode if is_urlsafe else base64.b64encode
    whole = (shift + len(data)) // 3 * 3
    encoded = encode((bytes(shift) + data)[:whole])
    return encoded[4 if shift else 0 :]


def _cut(data: bytes) -> list[bytes]:
    """
    Pieces that together are the whole; the last overlaps.
    """
    if len(data) <= _PIECE:
        return [data]
    return [data[start : start + _PIECE] for start in range(0, len(data) - _PIECE, _PIECE)] + [data[-_PIECE:]]


def _undo(data: bytes) -> dict[str, bytes]:
    """
    What was read, and what it is once decoded in each way that changes it.
    """
    once = unquote_to_bytes(data)
    views = {
        "": data,
        ", percent-encoded": once,
        ", percent-encoded twice": unquote_to_bytes(once),
        ", escaped": _ESCAPE.sub(_unescape, data),
        ", escaped and percent-encoded": unquote_to_bytes(_ESCAPE.sub(_unescape, data)),
        ", in HTML": html.unescape(data.decode("latin-1")).encode("latin-1", "replace"),
        ", in UTF-16": data.replace(b"\0", b""),
        ", over several lines": re.sub(rb"\s+", b"", data),
    }
    distinct: dict[bytes, str] = {}
    for name, view in views.items():
        distinct.setdefault(view, name)
    return {name: view for view, name in distinct.items()}


def _unescape(found: re.Match[bytes]) -> bytes:
    code = found[1] or found[2]
    return bytes([int(code, 16)]) if code else found[3]
