"""
Parameters of a call: query and form body read as one list, from exactly the bytes that go up (law 9).

Knows how bytes become names and values and which of them are credentials (law 4: those are taken out before anything
else). What a caller may say under a name is decided elsewhere, on the values that come from here.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_to_bytes

from gateway.errors import CallerError, Reason
from gateway.noojee.catalogue import CREDENTIAL_PARAMETERS, Effect

if TYPE_CHECKING:
    from gateway.noojee.catalogue import Operation

__all__ = [
    "POLL_DEFAULT_SECONDS",
    "Parameter",
    "find_query_tokens",
    "parse_parameters",
    "parse_poll_seconds",
    "split_target",
    "strip_credentials",
]

COUNT_LIMIT = 64
NAME_LIMIT_BYTES = 64
RAW_COUNT_LIMIT = 1024
"""Items of one query or form with credential and empty ones. Measured: half a million of them in 1 MiB hold the event
loop, and so every other caller, for 0.4 s."""

POLL_DEFAULT_SECONDS = 10
"""What the server waits when `timeOut` is absent (the vendor's page on subscribe)."""

_PLAIN_ITEM = re.compile(rb"([A-Za-z0-9_.-]{1,%d})=([A-Za-z0-9_./:@,*-]*)" % NAME_LIMIT_BYTES)
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NOT_A_LETTER = re.compile(rb"[^A-Za-z]+")
_POLL_SECONDS = re.compile(r"[0-9]{1,5}", re.ASCII)
_TOKEN_PARAMETER = b"apiKey"
_TOO_MANY = f"Send at most {COUNT_LIMIT} parameters."


class Parameter(NamedTuple):
    """
    One decoded parameter. Neither name nor value has a printable form here: a value may be personal data.
    """

    name: str
    value: str

    def __repr__(self) -> str:
        return "<Parameter>"


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """
    An origin-form target -> (path, query), both raw; the query is empty where there is none.
    """
    path, _, query = target.partition(b"?")
    return path, query


def find_query_tokens(query: bytes) -> list[str]:
    """
    The values of every `apiKey` (decoded, case-exact) in a query: where Noojee's own clients can carry a token.

    Bytes that are no UTF-8 become U+FFFD, so that the text is malformed as a token and nothing else. Empty values are
    no tokens.
    """
    if _TOKEN_PARAMETER not in query and b"%" not in query:
        return []  # a name is written plainly or with escapes
    found = []
    for item in query.split(b"&"):
        name, _, value = item.partition(b"=")
        if value and _decode(name) == _TOKEN_PARAMETER:
            found.append(_decode(value).decode("utf-8", "replace"))
    return found


def strip_credentials(raw: bytes) -> bytes:
    """
    A query or form body without its credential parameters, every other byte as it was.

    Raises:
        CallerError: `parameter_malformed` for more than 1024 items, before any of them is looked at.
    """
    if not raw:
        return raw
    if raw.count(b"&") >= RAW_COUNT_LIMIT:
        raise _malformed(_TOO_MANY)
    items = raw.split(b"&")
    kept = [item for item in items if not _is_credential_name(item.partition(b"=")[0])]
    return raw if len(kept) == len(items) else b"&".join(kept)


def parse_parameters(operation: Operation, query: bytes, form: bytes) -> tuple[Parameter, ...]:
    """
    The parameters of a call, in the order in which they stand, the query's first.

    Args:
        operation: What is called; a name that differs from one of its own only in case is refused.
        query: Without credential parameters, as it goes up.
        form: The same of the form body; empty where the body is no form.

    Raises:
        CallerError: `parameter_malformed` for more than 64, a name that is empty or over 64 bytes, a raw `;`, a broken
            escape, invalid UTF-8, control characters, a wrong case, a `timeOut` that is no number; told before
            `parameter_repeated` for a name that stands twice (contract section 3).
    """
    raw = b"%b&%b" % (query, form) if form else query
    items = [item for item in raw.split(b"&") if item]
    if len(items) > COUNT_LIMIT:
        raise _malformed(_TOO_MANY)
    parameters = tuple([_parse_item(item) for item in items])
    names = {name for name, _ in parameters}
    for name in names - operation.parameters:
        if (spelling := operation.spellings.get(name.casefold())) is not None:
            raise _malformed(f"Noojee spells the parameter {spelling}.")
    if operation.effect is Effect.LONG_POLL:
        parse_poll_seconds(parameters)
    if len(names) != len(parameters):
        raise CallerError(Reason.PARAMETER_REPEATED)
    return parameters


def parse_poll_seconds(parameters: tuple[Parameter, ...]) -> int:
    """
    How long a long poll asks the server to wait, in seconds: `timeOut`, 10 where it is absent.

    Raises:
        CallerError: `parameter_malformed` for anything but one to five ASCII digits.
    """
    values = [parameter.value for parameter in parameters if parameter.name == "timeOut"]
    if not all(map(_POLL_SECONDS.fullmatch, values)):
        raise _malformed("timeOut must be a number of seconds, 0-99999.")
    return int(values[0]) if values else POLL_DEFAULT_SECONDS


def _parse_item(item: bytes) -> Parameter:
    plain = _PLAIN_ITEM.fullmatch(item)
    if plain is not None:  # nearly all are: nothing in them has to be decoded or refused
        return Parameter(plain[1].decode("ascii"), plain[2].decode("ascii"))
    if b";" in item:
        # Law 9: some readers cut a form at `;` too. The door refuses it in the target; in a form nobody else looks.
        raise _malformed("Write a semicolon as %3B.")
    if _BROKEN_ESCAPE.search(item):
        raise _malformed("A percent sign must start an escape of two hexadecimal digits.")
    raw_name, _, raw_value = item.partition(b"=")
    name, value = _decode(raw_name), _decode(raw_value)
    if not 0 < len(name) <= NAME_LIMIT_BYTES:
        raise _malformed(f"A parameter's name must have 1-{NAME_LIMIT_BYTES} bytes.")
    try:
        parameter = Parameter(name.decode("utf-8"), value.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _malformed("Parameters must be UTF-8.") from error
    if _CONTROL.search(parameter.name) or _CONTROL.search(parameter.value):
        raise _malformed("Parameters must not hold control characters.")
    return parameter


def _is_credential_name(raw_name: bytes) -> bool:
    # Names come again and again; a longer one than is served is not worth being remembered.
    return _is_known_credential(raw_name) if len(raw_name) <= NAME_LIMIT_BYTES else _is_credential(raw_name)


@lru_cache(maxsize=1024)
def _is_known_credential(raw_name: bytes) -> bool:
    return _is_credential(raw_name)


def _is_credential(raw_name: bytes) -> bool:
    name = _decode(raw_name)
    if _NOT_A_LETTER.sub(b"", name).lower().decode("ascii") in CREDENTIAL_PARAMETERS:
        return True
    if name.isascii():
        return False
    # A KELVIN SIGN is a `k` in lower case, a full-width letter is a letter: what a lenient reader may take for one.
    folded = unicodedata.normalize("NFKC", name.decode("utf-8", "ignore")).casefold()
    return "".join(filter(str.isalpha, folded)) in CREDENTIAL_PARAMETERS


def _decode(raw: bytes) -> bytes:
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    return unquote_to_bytes(raw) if b"%" in raw else raw


def _malformed(detail: str) -> CallerError:
    return CallerError(Reason.PARAMETER_MALFORMED, detail)
