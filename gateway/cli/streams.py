"""
The process's standard streams, where whoever started it has closed them, or where they cannot be written.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["flush_output", "open_streams", "write_output"]


def open_streams() -> None:
    """
    Stand in for standard input that was closed, with nothing to read.

    Raises:
        OperatorError: Standard output was closed: what a verb says (a token, once) would be lost.
    """
    if sys.stdin is None:
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY), encoding="utf-8")
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
        raise OperatorError(
            OperatorReason.INVALID,
            "Standard output is closed, so what the command says would be lost. Nothing was done.",
        )


def write_output(text: str) -> None:
    """
    Write to standard output, at once or when it is flushed.

    Raises:
        BrokenPipeError: Its reader has left.
        OperatorError: It cannot be written.
    """
    with _translate_errors():
        sys.stdout.write(text)


def flush_output() -> None:
    """
    Write what is buffered for standard output.

    Raises:
        BrokenPipeError: Its reader has left.
        OperatorError: It cannot be written.
    """
    with _translate_errors():
        sys.stdout.flush()


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain at its end
        raise OperatorError(
            OperatorReason.INVALID,
            f"Standard output could not be written: {error.strerror}. The command was carried out, and what it had to "
            "say is lost. A token that was issued now is known to nobody: find it with `token list` and revoke it.",
        ) from None
