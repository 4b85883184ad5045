"""
What a run found, as text for people, as JSON, and as a chart; and where these go.

Only a full run that counts is written to bench.*, which is kept with the source. A quick or partial run, and one that
is void, have names of their own and replace nothing.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.candidates import DIRECT, NGINX, NOTES
from benchmarks.chart import Bar, draw
from benchmarks.comparison import CONNECTIONS
from benchmarks.targets import judge
from benchmarks.void import find_faults

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.comparison import Comparison
    from benchmarks.outcome import Series

__all__ = ["Report", "render_table"]


@dataclass(frozen=True, slots=True)
class Report:
    """
    Everything of one run.

    Attributes:
        kind: `full`, `quick` or `part`.
        date: ISO 8601.
        machine: What it ran on, and versions.
        seconds: How long it took.
    """

    kind: str
    date: str
    machine: Mapping[str, str]
    seconds: float
    comparison: Comparison | None
    series: Sequence[Series]

    @property
    def faults(self) -> list[str]:
        """
        Why it is void; empty when it counts.
        """
        return find_faults(self.comparison, self.series)

    @property
    def stem(self) -> str:
        """
        The name of its files, without what comes after the dot.
        """
        name = "bench" if self.kind == "full" else f"bench-{self.kind}"
        return f"{name}-void" if self.faults else name

    def write(self, folder: Path) -> list[Path]:
        """
        Table, JSON and chart. Returns what was written.
        """
        folder.mkdir(exist_ok=True)
        texts = {"md": self.render(), "json": self.render_json()}
        if self.comparison is not None:
            texts["svg"] = self.render_chart()
        paths = []
        for suffix, text in texts.items():
            path = folder / f"{self.stem}.{suffix}"
            path.write_text(text)
            paths.append(path)
        return paths

    def render(self) -> str:
        """
        For people, Markdown.
        """
        return "\n".join(
            [*self._render_head(), *self._render_targets(), *self._render_comparison(), *self._render_series()]
        )

    def render_json(self) -> str:
        """
        Everything, also what the tables leave out.
        """
        value = {
            "kind": self.kind,
            "date": self.date,
            "machine": dict(self.machine),
            "seconds": round(self.seconds),
            "void": self.faults,
            "targets": [
                {"figure": verdict.target.name, "found": verdict.found, "verdict": verdict.word}
                for verdict in judge(self._figures())
            ],
            "comparison": None if self.comparison is None else dataclasses.asdict(self.comparison),
            "series": [dataclasses.asdict(each) for each in self.series],
        }
        return json.dumps(value, indent=2) + "\n"

    def render_chart(self) -> str:
        """
        The comparison, SVG.
        """
        comparison = self.comparison
        if comparison is None:
            raise ValueError("nothing was compared")
        bars = [
            Bar(name, NOTES[name], each.per_second, each.cpu_us, each.p50_us / 1000, each.p99_us / 1000)
            for name, each in comparison.loaded.items()
            if name != DIRECT
        ]
        state = "VOID: " if self.faults else ""
        return draw(
            bars,
            title=f"{state}Calls through one core, {CONNECTIONS} connections, TLS to the upstream",
            subtitle=f"{self.date}, {self.machine['cpu']}, Python {self.machine['python']}, make bench",
        )

    def _figures(self) -> dict[str, float]:
        figures = {} if self.comparison is None else self.comparison.figures()
        for each in self.series:
            figures |= each.figures
        return figures

    def _render_head(self) -> list[str]:
        machine = self.machine
        made = (
            f"Made by `make bench` ({self.kind}, {self.seconds / 60:.0f} minutes) at {machine['commit']}, on "
            f"{machine['cpu']}, {machine['kernel']}, Python {machine['python']}, nginx {machine['nginx']}, wrk "
            f"{machine['wrk']}. How it is measured stands in [benchmarks/README.md](../README.md)."
        )
        lines = [f"# Benchmark of {self.date}{' (void)' if self.faults else ''}", "", made, ""]
        if self.faults:
            lines += [
                "**This run is void**, its figures tell nothing:",
                "",
                *(f"- {fault}" for fault in self.faults),
                "",
            ]
        return lines

    def _render_targets(self) -> list[str]:
        rows = [
            verdict.render() for verdict in judge(self._figures()) if self.kind == "full" or verdict.found is not None
        ]
        if not rows:
            return []
        return ["## Targets", "", *render_table(("figure", "found", "at least", "aim", "reached"), rows), ""]

    def _render_comparison(self) -> list[str]:
        comparison = self.comparison
        if comparison is None:
            return []
        nginx = comparison.loaded[NGINX]
        rows = []
        for name, each in comparison.loaded.items():
            is_direct = name == DIRECT
            rows.append(
                (
                    name,
                    f"{each.per_second:,.0f}",
                    f"{each.per_second / nginx.per_second:.3f}",
                    "" if is_direct else f"{each.cpu_us:,.1f}",
                    "" if is_direct else f"{each.cpu_us / nginx.cpu_us:,.1f}",
                    f"{each.p50_us / 1000:.2f}",
                    f"{each.p99_us / 1000:.2f}",
                    f"{comparison.single[name].p50_us:,.0f}",
                    "" if is_direct else f"{comparison.loaded_bytes[name] / 1e6:.0f}",
                    "" if is_direct else f"{each.core_busy:.0%}",
                )
            )
        heads = (
            "",
            "calls/s",
            "x nginx",
            "CPU us",
            "x nginx",
            "p50 ms",
            "p99 ms",
            "p50 us at 1",
            "memory MB",
            "core busy",
        )
        durable = f"one append and fdatasync on this disk takes {comparison.durable_write_us:,.0f} us."
        lines = ["## Compared", "", f"At {CONNECTIONS} connections; {durable}", "", *render_table(heads, rows), ""]
        if comparison.honesty is not None:
            record, tally = comparison.honesty.record, comparison.honesty.tally
            verifies = "verifies" if record.is_whole else "does NOT verify"
            told = (
                f"Our gateway's upstream was called {tally.at_upstream:,} times; its journal has {record.intents:,} "
                f"intents and {record.outcomes:,} outcomes, and {verifies}."
            )
            lines += [told, ""]
        lines += [f"{name} was left out: {why}." for name, why in comparison.skipped.items()]
        return lines

    def _render_series(self) -> list[str]:
        lines = []
        for each in self.series:
            lines += [f"## {each.title}", "", each.text, "", *render_table(each.columns, each.rows), ""]
        return lines


def render_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """
    A Markdown table, its columns aligned for who reads it as text; all but the first to the right.
    """
    lines = [list(heads), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]

    def render(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * (width + 2) if column == 0 else "-" * (width + 1) + ":" for column, width in enumerate(widths)]
    return [render(lines[0]), f"|{'|'.join(rule)}|", *(render(line) for line in lines[1:])]
