"""
What the journal may say of a call's parameters and body (law 3, contract section 7).

The auditor must read which extension was meant and must be able to look for a telephone number that he knows; nobody
must be able to read numbers, names or keys out of the journal. So most values stand as an HMAC under a key of the
caller's own, and few as text.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING

from gateway.access.credential import KEY_LEAST_LENGTH
from gateway.noojee.catalogue import PHONE_PARAMETERS
from gateway.noojee.numbers import canonical_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.noojee.catalogue import Operation
    from gateway.noojee.parameters import Parameter

__all__ = ["Redactor"]

TEXT_LIMIT_BYTES = 256

_EXTENSION_PARAMETERS = frozenset({"exten", "extenOrUniqueId"})
_EXTENSIONS = re.compile(r"(?:(?:SIP|PJSIP)/)?[0-9]{1,6}(?:,(?:(?:SIP|PJSIP)/)?[0-9]{1,6})*", re.ASCII)
# Anywhere in a text: the start of a token; 32 hexadecimal digits, whatever single characters stand between them, which
# is a UUID in any form and a hash; and any word of 32 characters, in which a token or a UUID can hide as base64. Texts
# that the catalogue does not call sensitive are numbers, dates and short words, so little is lost.
_SECRET_SHAPE = re.compile(
    r"njg[^0-9A-Za-z]|(?:[0-9A-Fa-f][^0-9A-Za-z]?){32}|[0-9A-Za-z+/=_-]{32}", re.ASCII | re.IGNORECASE
)


class Redactor:
    """
    Renders the redacted form of parameters and bodies.

    Args:
        key_id: The version of the audit key in use; stands beside each HMAC.
        key_for_caller: Caller name -> that caller's HMAC key, 32 bytes. A caller cannot fill a dictionary of another's
            values through calls of its own.
        number_country: Country calling code for the canonical form of telephone numbers.
        is_held_key: Whether a text is an API key that we hold: one that has no key's form is recognised only so.
    """

    def __init__(
        self,
        *,
        key_id: str,
        key_for_caller: Callable[[str], bytes],
        number_country: str,
        is_held_key: Callable[[str], bool],
    ) -> None:
        self._key_id = key_id
        self._key_for_caller = key_for_caller
        self._number_country = number_country
        self._is_held_key = is_held_key

    def render_parameters(
        self, operation: Operation, parameters: Iterable[Parameter], caller_name: str
    ) -> dict[str, object]:
        """
        `{name: {"text"} | {"hmac", "key_id"}}` for the catalogue's names, and `"?"` for the values under all others.
        """
        key = self._key_for_caller(caller_name)
        rendered: dict[str, object] = {}
        strangers: list[dict[str, str]] = []
        for parameter in parameters:
            if parameter.name not in operation.parameters:
                strangers.append(self._mark(key, parameter.value.encode()))
            elif self._stands_as_text(operation, parameter):
                rendered[parameter.name] = {"text": parameter.value}
            else:
                rendered[parameter.name] = self._mark(key, self._canonical(parameter).encode())
        if strangers:
            rendered["?"] = strangers
        return rendered

    def mark_body(self, body: bytes, caller_name: str) -> str:
        """
        The HMAC of a body as it goes up, hexadecimal.
        """
        return _hmac(self._key_for_caller(caller_name), body)

    def _stands_as_text(self, operation: Operation, parameter: Parameter) -> bool:
        if not _may_stand_as_text(operation, parameter):
            return False
        return len(parameter.value) < KEY_LEAST_LENGTH or not self._is_held_key(parameter.value)

    def _mark(self, key: bytes, value: bytes) -> dict[str, str]:
        return {"hmac": _hmac(key, value), "key_id": self._key_id}

    def _canonical(self, parameter: Parameter) -> str:
        if parameter.name in PHONE_PARAMETERS:
            return canonical_number(parameter.value, self._number_country)
        return parameter.value


def _may_stand_as_text(operation: Operation, parameter: Parameter) -> bool:
    value = parameter.value
    if parameter.name in _EXTENSION_PARAMETERS:
        return len(value) <= TEXT_LIMIT_BYTES and _EXTENSIONS.fullmatch(value) is not None
    if parameter.name in operation.sensitive or len(value.encode()) > TEXT_LIMIT_BYTES:
        return False
    return _SECRET_SHAPE.search(value) is None


def _hmac(key: bytes, value: bytes) -> str:
    return hmac.digest(key, value, hashlib.sha256).hex()
