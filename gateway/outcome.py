"""
What became of a call: the six words of law 2.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Outcome"]


class Outcome(StrEnum):
    """
    The outcome of one attempt; a call's outcome is that of its last attempt.
    """

    SUCCEEDED = "succeeded"
    """Noojee answered in full and did what was asked."""

    REFUSED = "refused"
    """Noojee answered in full and said no."""

    FAILED = "failed"
    """Noojee answered, and is broken: 5xx or a redirect."""

    NOT_SENT = "not_sent"
    """Proven: no byte of the request was handed to the connection."""

    ABANDONED = "abandoned"
    """A `read` or `long-poll` that its caller left or that we ended."""

    UNKNOWN = "unknown"
    """Sent, at least in part, without a full answer. It may have been carried out."""

    @property
    def fate(self) -> str:
        """
        What a caller is told of the call's fate, a clause for the end of an error's detail.
        """
        if self is Outcome.NOT_SENT:
            return "it was not sent"
        if self is Outcome.ABANDONED:
            return "it changed nothing"
        return "it may have been carried out: look before you repeat it"
