"""
The process's standard streams, where whoever started it has closed them, or where they cannot be written.
"""

from __future__ import annotations

import os
import sys

from gateway.errors import OperatorError, OperatorReason

__all__ = ["flush_output", "open_streams"]


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


def flush_output() -> None:
    """
    Write what is buffered for standard output.

    Raises:
        BrokenPipeError: Its reader has left.
        OperatorError: It cannot be written.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain at its end
        raise OperatorError(
            OperatorReason.INVALID,
            f"Standard output could not be written: {error.strerror}. The command was carried out, and what it had to "
            "say is lost. A token that was issued now is known to nobody: find it with `token list` and revoke it.",
        ) from None
