"""
How a Noojee key reaches the gateway: from standard input, or from a prompt that shows nothing.

Law 3: never from a flag or the environment, which other users and logs can see; and no error repeats what was read.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gateway.errors import OperatorError, OperatorReason
from gateway.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["read_secret", "read_secrets"]

_LIMIT_BYTES = 65_536


def read_secret(what: str) -> Secret:
    """
    One secret, named in the prompt by `what`. One trailing newline is dropped.

    Raises:
        OperatorError: `invalid`, when it is empty, several lines, or no text.
    """
    if sys.stdin.isatty():
        return _prompt(what)
    text = _read_input()
    if not text:
        raise _refuse(f"Standard input was empty. Write the {what} to it, as in `noojee-gateway ... < KEY_FILE`.")
    if "\n" in text:
        raise _refuse(f"Standard input held several lines. Write the {what} alone to it.")
    return Secret(text)


def read_secrets(names: Sequence[str], what: str) -> dict[str, Secret]:
    """
    A secret for each name: a prompt each, or one line each on standard input in the order of the names.

    Raises:
        OperatorError: `invalid`, when lines are missing, empty or too many; then nothing is returned at all.
    """
    if not names:
        return {}
    if sys.stdin.isatty():
        return {name: _prompt(f"{what} of {name}") for name in names}
    text = _read_input()
    lines = text.split("\n") if text else []
    if len(lines) != len(names) or not all(lines):
        raise _refuse(
            f"The {what} is needed again for each of: {', '.join(names)}. Write them to standard input, one a line in "
            f"this order; {len(lines)} came. Nothing was changed."
        )
    return {name: Secret(line) for name, line in zip(names, lines, strict=True)}


def _prompt(what: str) -> Secret:
    import getpass

    try:
        text = getpass.getpass(f"{what}: ")
    except EOFError:
        text = ""
    if not text:
        raise _refuse(f"The {what} was empty. Nothing was changed.")
    return Secret(text)


def _read_input() -> str:
    """
    Standard input as text, its lines ended by a newline alone, without the last one.
    """
    read = sys.stdin.buffer.read(_LIMIT_BYTES + 1)
    if len(read) > _LIMIT_BYTES:
        raise _refuse("Standard input held more than 64 KiB, which is no key.")
    try:
        text = read.decode("utf-8")
    except UnicodeDecodeError:
        raise _refuse("Standard input held something that is no text, so no key.") from None
    return text.replace("\r\n", "\n").removesuffix("\n")


def _refuse(detail: str) -> OperatorError:
    return OperatorError(OperatorReason.INVALID, detail)
