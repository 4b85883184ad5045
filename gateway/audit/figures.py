"""
What a journal tells of itself in numbers, for metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.metrics.histogram import Histogram

__all__ = ["JournalFigures"]


class JournalFigures(NamedTuple):
    """
    How a stream is doing. The histograms are the journal's own and go on changing.

    Attributes:
        is_writable: As `Journal.writable`.
        failures: How often it became unwritable, by the reason of `StreamWriteError`.
        group_records: How many records were written together.
        write_seconds: How long it took to write and sync them.
        backlog_records: How many were handed in and not taken to the disk yet.
        backlog_bytes: At most how many bytes of them are not on the disk yet.
        reserve_bytes: How much of the disk is to be held.
        reserve_held_bytes: How much is.
    """

    is_writable: bool
    failures: Mapping[str, int]
    group_records: Histogram
    write_seconds: Histogram
    backlog_records: int
    backlog_bytes: int
    reserve_bytes: int
    reserve_held_bytes: int
