"""
What a complete reply says became of the call (law 2, contract section 5).

Noojee's envelope has `Code` on some families and `code` on others, as a number or as text; negative is an error, and
on lead calls 101-110 are errors too (the vendor's index and lead pages). Replies are passed on untouched whatever they
say.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any

import orjson

from gateway.outcome import Outcome

if TYPE_CHECKING:
    from gateway.noojee.catalogue import Operation

__all__ = ["find_code", "is_whole_json", "judge"]

_LEAD_ERRORS = range(101, 111)
_EXACT_LIMIT = 2**53
_NEGATIVE = re.compile(r"-[0-9]{1,300}(?:\.[0-9]{1,300})?", re.ASCII)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LENIENT_LIMIT_BYTES = 64 * 1024
_NUMBER = re.compile(r"-?[0-9]{1,9}", re.ASCII)


def judge(operation: Operation, status: int, code: float | None) -> Outcome:
    """
    The outcome of a complete reply.

    Args:
        status: The reply's status.
        code: From `find_code`, for a buffered reply; None for a streamed one.
    """
    if 300 <= status < 400 or status >= 500:  # noqa: PLR2004  # classes of RFC 9110 section 15
        return Outcome.FAILED
    if status >= 400:  # noqa: PLR2004  # the same
        return Outcome.REFUSED
    if code is not None and (code < 0 or (operation.is_lead_call and code in _LEAD_ERRORS)):
        return Outcome.REFUSED
    return Outcome.SUCCEEDED


def find_code(body: bytes) -> int | float | None:
    """
    The `Code` or `code` of a reply's JSON object, the worse one where both stand; None where there is none.

    A float only where it is negative and cannot be told exactly: then it is an error, whichever.
    """
    document = _find_document(body)
    if not isinstance(document, dict):
        return None
    upper, lower = _parse_code(document.get("Code")), _parse_code(document.get("code"))
    if upper is None or lower is None:
        return lower if upper is None else upper
    return min(upper, lower, key=lambda code: (code >= 0, -code))


def is_whole_json(body: bytes) -> bool:
    """
    Whether a body is one JSON object or array that parses: what proves a reply delimited by its close to be whole.
    """
    return isinstance(_find_document(body), dict | list)


def _find_document(body: bytes) -> Any:
    body = body.removeprefix(_BYTE_ORDER_MARK)
    if body[:64].lstrip()[:1] not in {b"{", b"["}:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        if _is_utf_8(body):
            return _load_leniently(body)
    # A servlet that names no charset writes ISO-8859-1: one accent in a message must not hide a negative code.
    with contextlib.suppress(orjson.JSONDecodeError):
        return orjson.loads(body.decode("latin-1"))
    return None


def _load_leniently(body: bytes) -> Any:
    """
    As gson reads, which is among Noojee's clients: NaN and Infinity are numbers. None for what is no JSON either way.
    """
    if len(body) > _LENIENT_LIMIT_BYTES:
        return None  # it is slow, and long replies are streamed
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(body)
    return None


def _is_utf_8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _parse_code(value: object) -> int | float | None:
    if value is None or type(value) is int:
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, str) and _NEGATIVE.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, float):
        if value.is_integer() and abs(value) < _EXACT_LIMIT:
            return int(value)  # JSON has one kind of number: -1.0 is -1
        return value if value < 0 else None
    return None
