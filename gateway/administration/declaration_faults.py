"""
How a fault of a document is told: by its place, as in `callers[2].grants[0].operations`, and what may stand there.

Law 3: never with what does stand there, nor with a name that somebody made up, for either could be a key.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import ValidationError

__all__ = ["refuse_at", "tell_faults"]

_SPEAKABLE = re.compile(r"[A-Za-z_]{1,32}", re.ASCII)
"""A member's name that may be repeated in an error: no key or token looks like it."""

_SENTENCES = {
    "missing": "is missing",
    "extra_forbidden": "is no member that may stand there",
    "string_type": "must be a text",
    "bool_type": "must be true or false, without quotes",
    "int_type": "must be a whole number, without quotes",
    "list_type": "must be a list",
    "model_type": "must be a table of members",
    "dict_type": "must be a table of members",
    "too_short": "must not be empty",
}


def tell_faults(error: ValidationError) -> list[str]:
    """
    A sentence for each fault that pydantic found.
    """
    found = error.errors(include_input=False, include_context=False, include_url=False)
    return [_tell(each["loc"], each["type"], each["msg"]) for each in found]


def refuse_at(place: str, sentence: str, reason: OperatorReason = OperatorReason.INVALID) -> OperatorError:
    """
    The error for a fault at a place of the document.
    """
    return OperatorError(reason, f"{place}: {sentence.rstrip('.')}.")


def _tell(place: tuple[int | str, ...], kind: str, message: str) -> str:
    """
    A sentence for a fault that pydantic found. Its own words are used for our own checks alone, whose words they are.
    """
    where = _render_place(place)
    match kind:
        case "value_error":
            return f"{where}: {message.removeprefix('Value error, ').rstrip('.')}."
        case "literal_error" if place[-1] in {"key", "proxy_password"}:
            return (
                f"{where}: A secret never stands in a document, where it would be kept and copied. Name its file with "
                f'{place[-1]}_file, or write {place[-1]} = "stdin". If this was one, have it replaced.'
            )
        case "literal_error":
            return f"{where} must be one of: {message.removeprefix('Input should be ').replace(' or ', ', ')}."
        case _:
            return f"{where} {_SENTENCES.get(kind, 'is not what may stand there')}."


def _render_place(place: Iterable[int | str]) -> str:
    """
    `callers[2].grants[0].operations`. A name that was made up is not repeated.
    """
    told = ""
    for each in place:
        if isinstance(each, int):
            told += f"[{each}]"
        else:
            told += f"{'.' if told else ''}{each if _SPEAKABLE.fullmatch(each) else '(a name that is not shown)'}"
    return told or "The document"
