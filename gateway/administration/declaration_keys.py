"""
The files that a document refers to: keys and certificates.

Law 3: no error holds a key, nor the path in place of which somebody may have written one.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from gateway import durable
from gateway.administration.declaration_faults import refuse_at
from gateway.administration.names import check_key
from gateway.administration.upstream_way import PASSWORD_LIMIT
from gateway.custody.key_file import check_owner_and_mode
from gateway.errors import OperatorError, OperatorReason
from gateway.secret import Secret

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_password", "read_ca_file", "read_key", "read_secret_file"]

_SECRET_LIMIT_BYTES = 4096
_CA_LIMIT_BYTES = 256 * 1024


def read_key(path: Path, place: str) -> Secret | None:
    """
    The API key in a file; see `read_secret_file`.

    Raises:
        OperatorError: As there; `invalid` also for what can be no key.
    """
    key = read_secret_file(path, place)
    if key is not None:
        try:
            check_key(key)
        except OperatorError as error:
            raise refuse_at(place, error.detail, error.reason) from None
    return key


def read_secret_file(path: Path, place: str) -> Secret | None:
    """
    The secret in a file, one trailing newline dropped; None where there is no such file.

    Raises:
        OperatorError: `key_file_unsafe` when others may read or write it; `invalid` when it cannot be read.
    """
    try:
        # Not blocking: a FIFO of that name would hold the verb up for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise refuse_at(place, _tell("The file cannot be read", error)) from None
    try:
        return _read(descriptor, path)
    except OSError as error:
        raise refuse_at(place, _tell("The file cannot be read", error)) from None
    except OperatorError as error:
        raise refuse_at(place, error.detail, error.reason) from None
    finally:
        os.close(descriptor)


def check_password(password: Secret, place: str) -> None:
    """
    Refuses what cannot be a proxy's password.

    Raises:
        OperatorError: `invalid`.
    """
    text = password.reveal()
    if not text.isprintable() or not 1 <= len(text) <= PASSWORD_LIMIT:
        raise refuse_at(place, f"The password is 1 to {PASSWORD_LIMIT} printable characters")


def read_ca_file(path: Path, place: str) -> str:
    """
    The text of a file of certificates.

    Raises:
        OperatorError: `invalid`.
    """
    try:
        with path.open("rb") as file:
            return file.read(_CA_LIMIT_BYTES + 1).decode("utf-8").replace("\r\n", "\n")
    except (OSError, ValueError) as error:
        raise refuse_at(place, _tell("The file cannot be read", error)) from None


def _read(descriptor: int, path: Path) -> Secret:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise OperatorError(OperatorReason.INVALID, "That is no file. Name the file that holds the key.")
    check_owner_and_mode(path, found)
    data = os.read(descriptor, _SECRET_LIMIT_BYTES + 1)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise OperatorError(OperatorReason.INVALID, "The file holds something that is no text, so no secret.") from None
    return Secret(text.replace("\r\n", "\n").removesuffix("\n"))


def _tell(what: str, error: Exception) -> str:
    return f"{what}: {durable.describe(error)}" if isinstance(error, OSError) else what
