"""
What a run's report says, and which files it may replace.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from benchmarks.chart import Bar, draw
from benchmarks.comparison import Comparison, Figures
from benchmarks.outcome import Series
from benchmarks.report import Report, render_table
from benchmarks.targets import judge

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MACHINE = {"cpu": "a CPU", "kernel": "Linux", "python": "3.11", "nginx": "1.22.1", "wrk": "4.1.0", "commit": "abc"}
TABLE = Series("tokens", "Tokens", "Text.", ("tokens", "calls/s"), (("10", "18,000"),), {"tokens_ratio": 0.97})


def figures(per_second: float, cpu_us: float, p50_us: float) -> Figures:
    """
    Of a candidate that counts.
    """
    return Figures(per_second, p50_us, 2 * p50_us, cpu_us, 0.99, 0.98, 0.005, 0.05, 0, 3)


COMPARISON = Comparison(
    loaded={
        "direct": figures(60_000, 15, 500),
        "nginx": figures(40_000, 24, 700),
        "noojee-gateway": figures(20_000, 48, 1500),
        "FastAPI + httpx2": figures(800, 1250, 40_000),
    },
    single={
        "direct": figures(20_000, 15, 50),
        "nginx": figures(6_000, 24, 150),
        "noojee-gateway": figures(2_000, 48, 450),
        "FastAPI + httpx2": figures(700, 1250, 900),
    },
    durable_write_us=190,
    rest_bytes=100_000_000,
    loaded_bytes=dict.fromkeys(("direct", "nginx", "noojee-gateway", "FastAPI + httpx2"), 50_000_000),
)


def report(
    kind: str = "full", comparison: Comparison | None = COMPARISON, series: Sequence[Series] = (TABLE,)
) -> Report:
    """
    Of a run that counts.
    """
    return Report(kind, "2026-05-03", MACHINE, 1200.0, comparison, series)


def test_figures_are_what_the_targets_ask_for() -> None:
    """
    Ratios to nginx and to the one-pager, and the added latency without direct and without one durable write.
    """
    assert COMPARISON.figures() == {
        "throughput_ratio": 0.5,
        "one_pager_ratio": 25.0,
        "cpu_ratio": 2.0,
        "added_p50_ms": 0.21,
        "rest_mb": 100.0,
    }


@pytest.mark.parametrize(
    ("name", "found", "word"),
    [
        ("throughput_ratio", 0.5, "aim"),
        ("throughput_ratio", 0.49, "least"),
        ("throughput_ratio", 0.29, "missed"),
        ("cpu_ratio", 2.0, "aim"),
        ("cpu_ratio", 3.5, "least"),
        ("cpu_ratio", 3.51, "missed"),
    ],
)
def test_a_figure_reaches_the_aim_or_the_least_or_misses(name: str, found: float, word: str) -> None:
    """
    Whichever way is better.
    """
    verdicts = {verdict.target.name: verdict.word for verdict in judge({name: found})}

    assert verdicts.pop(name) == word
    assert set(verdicts.values()) == {"not measured"}


def test_a_report_has_every_table() -> None:
    """
    The targets, the comparison with ratios to nginx, and each series.
    """
    text = report().render()

    assert "| 0.50 x |" in " ".join(text.split())
    assert "| noojee-gateway | 20,000 | 0.500 | 48.0 | 2.0 | 1.50 | 3.00 | 450 | 50 | 99% |" in " ".join(text.split())
    assert "| 10 | 18,000 |" in " ".join(text.split())
    assert "one append and fdatasync on this disk takes 190 us" in text


def test_only_a_full_run_that_counts_takes_the_place_of_the_last(tmp_path: Path) -> None:
    """
    What is void, quick or partial has names of its own, which are not kept with the source.
    """
    void = Series("tokens", "Tokens", "", ("",), (), failures=1)

    written = [report().write(tmp_path), report("quick").write(tmp_path), report(series=[void]).write(tmp_path)]
    part = report("part", comparison=None).write(tmp_path)

    assert [{path.stem for path in paths} for paths in written] == [{"bench"}, {"bench-quick"}, {"bench-void"}]
    assert ["bench-part.md", "bench-part.json"] == [path.name for path in part]
    assert "VOID" in (tmp_path / "bench-void.svg").read_text()
    assert json.loads((tmp_path / "bench-void.json").read_text())["void"] == ["Tokens: 1 calls failed."]
    assert "VOID" not in (tmp_path / "bench.svg").read_text()


def test_a_table_can_be_read_as_text() -> None:
    """
    Its columns are aligned, numbers to the right.
    """
    assert render_table(("", "calls/s"), [("nginx", "41,500"), ("x", "7")]) == [
        "|       | calls/s |",
        "|-------|--------:|",
        "| nginx |  41,500 |",
        "| x     |       7 |",
    ]


def test_a_drawing_has_a_row_for_each_candidate() -> None:
    """
    Its names and numbers stay text, what a name holds is escaped, and everything stands within the drawing.
    """
    bars = [Bar("nginx", "no <record>", 41_500, 23, 0.7, 1.4), Bar("LiteLLM", "a & b", 0.4, 6907, 220, 4000)]

    root = ET.fromstring(draw(bars, title="A <title>", subtitle="today"))  # noqa: S314 - our own text

    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"A <title>", "today", "no <record>", "a & b", "41,500", "6,907", "220 to 4000"} <= set(texts)
    width = float(root.attrib["viewBox"].split()[2])
    places = [float(element.attrib["x"]) for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert all(0 <= place <= width for place in places)
