"""
The comparison as an SVG drawing, by hand: throughput as bars, CPU and latency as points on a scale of powers of ten.

One row a candidate, ours in colour. Three panels share the rows, so that one look along a row tells one story.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Bar", "draw"]

_WIDTH = 1000
_TOP = 118
_ROW = 46
_BOTTOM = 34
_OURS = "noojee-gateway"
_STYLE = """
  text { font: 13px system-ui, "Segoe UI", "Helvetica Neue", "DejaVu Sans", sans-serif; fill: #3a4149; }
  .title { font-size: 18px; font-weight: 600; fill: #15191d; }
  .subtitle { fill: #6b747d; }
  .head { font-weight: 600; fill: #15191d; }
  .small { font-size: 11px; fill: #6b747d; }
  .within { font-weight: 600; fill: #ffffff; }
  .ours { font-weight: 600; fill: #0b5cad; }
  .grid { stroke: #e4e8ec; stroke-width: 1; }
"""
_COLOUR_OURS = "#1673d1"
_COLOUR_OTHER = "#8d9aa6"


@dataclass(frozen=True, slots=True)
class Bar:
    """
    A row: medians of a candidate, and what it does for them.
    """

    name: str
    note: str
    per_second: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class _Panel:
    """
    Where a panel stands and what its values become.
    """

    left: float
    width: float
    low: float
    high: float
    is_logarithmic: bool

    def place(self, value: float) -> float:
        """
        The horizontal place of a value.
        """
        if self.is_logarithmic:
            share = math.log10(value / self.low) / math.log10(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.left + self.width * min(max(share, 0.0), 1.0)

    def ticks(self) -> list[float]:
        """
        The values of its grid lines.
        """
        if self.is_logarithmic:
            first, last = round(math.log10(self.low)), round(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1)]
        step = _find_step(self.high)
        return [step * number for number in range(round(self.high / step) + 1)]


def draw(bars: Sequence[Bar], *, title: str, subtitle: str) -> str:
    """
    The whole drawing. Text stays text, so that it can be read out and searched.
    """
    height = _TOP + _ROW * len(bars) + _BOTTOM
    most = max(bar.per_second for bar in bars)
    step = _find_step(most)
    throughput = _Panel(190, 290, 0, step * math.ceil(most / step), is_logarithmic=False)
    cpu = _span(560, 170, [bar.cpu_us for bar in bars])
    latency = _span(790, 180, [value for bar in bars for value in (bar.p50_ms, bar.p99_ms)])
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img"'
    parts = [
        f'{opening} aria-label="{escape(title)}"><style>{_STYLE}</style>',
        f'<rect width="{_WIDTH}" height="{height}" rx="10" fill="#ffffff"/>',
        _text(24, 36, title, "title"),
        _text(24, 58, subtitle, "subtitle"),
        *_draw_axis(throughput, len(bars), "Calls a second"),
        *_draw_axis(cpu, len(bars), "CPU µs per call (log)"),
        *_draw_axis(latency, len(bars), "p50 to p99, ms (log)"),
    ]
    for number, bar in enumerate(bars):
        parts += _draw_row(bar, _TOP + _ROW * number + _ROW / 2, throughput, cpu, latency)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _draw_axis(panel: _Panel, rows: int, head: str) -> list[str]:
    bottom = _TOP + _ROW * rows
    parts = [_text(panel.left, _TOP - 26, head, "head")]
    for tick in panel.ticks():
        x = panel.place(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{_TOP - 8}" x2="{x:.1f}" y2="{bottom}"/>')
        parts.append(_text(x, bottom + 18, _render_tick(tick), "small", anchor="middle"))
    return parts


def _draw_row(bar: Bar, y: float, throughput: _Panel, cpu: _Panel, latency: _Panel) -> list[str]:
    is_ours = bar.name == _OURS
    colour = _COLOUR_OURS if is_ours else _COLOUR_OTHER
    label = "ours" if is_ours else ""
    p50, p99 = latency.place(bar.p50_ms), latency.place(bar.p99_ms)
    dot = cpu.place(bar.cpu_us)
    return [
        _text(178, y - 1, bar.name, label, anchor="end"),
        _text(178, y + 14, bar.note, "small", anchor="end"),
        *_draw_bar(throughput, bar.per_second, y, colour, label),
        f'<circle cx="{dot:.1f}" cy="{y}" r="6" fill="{colour}"/>',
        _text(dot, y - 11, f"{bar.cpu_us:,.0f}", label, anchor="middle"),
        f'<path d="M{p50:.1f} {y}H{p99:.1f}" stroke="{colour}" stroke-width="6" stroke-linecap="round"/>',
        f'<circle cx="{p50:.1f}" cy="{y}" r="6" fill="{colour}" stroke="#ffffff" stroke-width="1.5"/>',
        _text((p50 + p99) / 2, y - 11, f"{_shorten(bar.p50_ms)} to {_shorten(bar.p99_ms)}", label, anchor="middle"),
    ]


def _draw_bar(panel: _Panel, value: float, y: float, colour: str, label: str) -> list[str]:
    """
    A bar with its value behind it, or in it when it is nearly as long as the panel.
    """
    end = panel.place(value)
    width = max(end - panel.left, 2)
    bar = f'<rect x="{panel.left}" y="{y - 11:.1f}" width="{width:.1f}" height="22" rx="3" fill="{colour}"/>'
    if end > panel.left + 0.85 * panel.width:
        return [bar, _text(end - 8, y + 4, f"{value:,.0f}", "within", anchor="end")]
    return [bar, _text(end + 8, y + 4, f"{value:,.0f}", label)]


def _text(x: float, y: float, text: str, style: str, *, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _span(left: float, width: float, values: Sequence[float]) -> _Panel:
    """
    A panel from the power of ten below all values to the one above.
    """
    low = 10.0 ** math.floor(math.log10(max(min(values), 0.001)))
    high = 10.0 ** math.ceil(math.log10(max(*values, 2 * low)))
    return _Panel(left, width, low, high, is_logarithmic=True)


def _find_step(value: float) -> float:
    """
    1, 2 or 5 times a power of ten, so that at most five of it reach the value.
    """
    power = 10.0 ** math.floor(math.log10(max(value, 1)) - 1)
    return next(step * power for step in (1, 2, 5, 10, 20) if 5 * step * power >= value)


def _shorten(value: float) -> str:
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:.0f}"  # noqa: PLR2004 - digits


def _render_tick(value: float) -> str:
    return f"{value:g}" if value < 1000 else f"{value:,.0f}"  # noqa: PLR2004 - a thousand takes a comma
