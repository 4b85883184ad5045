"""
What measuring leaves: tables, the figures that the targets ask for, and the record of each gateway that was measured.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.node import Record
    from benchmarks.range import Tally

__all__ = ["Honesty", "Series"]


@dataclass(frozen=True, slots=True)
class Honesty:
    """
    What a gateway's journal tells of its calls, beside what wrk and the upstream saw of them.

    Attributes:
        of: Which gateway.
    """

    of: str
    record: Record
    tally: Tally

    def find_faults(self) -> list[str]:
        """
        Where they differ; whole clauses.
        """
        record, tally = self.record, self.tally
        sent = record.intents - record.not_sent
        checks = (
            (not record.is_whole, "its journal does not verify"),
            (record.outcomes != record.intents, f"{record.intents} intents have {record.outcomes} outcomes"),
            (sent != tally.at_upstream, f"{sent} calls are on its journal, the upstream saw {tally.at_upstream}"),
            (
                not tally.answered <= record.intents <= tally.answered + tally.left,
                f"{record.intents} calls are on its journal, {tally.answered} were answered",
            ),
        )
        return [text for is_wrong, text in checks if is_wrong]


@dataclass(frozen=True, slots=True)
class Series:
    """
    One table of the report.

    Attributes:
        name: A word, for files and the command line.
        text: What was done, a sentence or two.
        columns: Heads; the first column's cells are words.
        rows: Cells, rendered: text and numbers.
        figures: What the targets are compared with, by the names of targets.py.
        honesty: Of each gateway that was measured.
        failures: Answers of status 400 and more, and broken connections, in all windows.
        strangers: The median share of a core that others used while it was measured; 0 where there was no load.
        faults: What else was found to be wrong and makes the run void; whole clauses.
    """

    name: str
    title: str
    text: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    figures: dict[str, float] = field(default_factory=dict)
    honesty: tuple[Honesty, ...] = ()
    failures: int = 0
    strangers: float = 0.0
    faults: tuple[str, ...] = ()
