"""Samples of a measure, and how a report shows them: a Markdown row, JSON, and a histogram as SVG. Pure."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

BARS = 40
WIDTH, ROW, TOP, LABEL = 760, 34, 24, 250


@dataclass
class Series:
    """Samples of one measure, in milliseconds."""

    name: str
    samples: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle sample."""
        return statistics.median(self.samples)

    def part(self, share: float) -> float:
        """The sample below which this share of them lies, 0 to 1."""
        ordered = sorted(self.samples)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def row(self) -> str:
        """A line of the report."""
        return f"| {self.name} | {self.median:.1f} | {self.part(0.05):.1f} | {self.part(0.95):.1f} | {len(self.samples)} |"

    def as_json(self) -> dict[str, Any]:
        """Everything."""
        return {"name": self.name, "median_ms": round(self.median, 3), "samples_ms": [round(s, 3) for s in self.samples]}


def histograms(series: list[Series]) -> str:
    """One SVG: a row for each measure on a common time axis, its samples as a histogram, a mark at its median."""
    longest = max(max(s.samples) for s in series)
    height = TOP + ROW * len(series) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for number, one in enumerate(series):
        parts += _row(one, TOP + ROW * number, longest)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = LABEL + share * (WIDTH - LABEL - 30)
        parts.append(f'<text x="{x:.0f}" y="{height - 8}" fill="#555555">{share * longest:.0f} ms</text>')
    return "\n".join([*parts, "</svg>", ""])


def _row(one: Series, y: float, longest: float) -> list[str]:
    counts = [0] * BARS
    for sample in one.samples:
        counts[min(BARS - 1, int(BARS * sample / longest))] += 1
    width = (WIDTH - LABEL - 30) / BARS
    base = y + ROW - 6
    name = one.name.replace("`", "").replace("&", "&amp;").replace("<", "&lt;")
    parts = [f'<text x="8" y="{base:.0f}" fill="#111111">{name}</text>']
    for place, count in enumerate(counts):
        if count:
            tall = (ROW - 10) * count / max(counts)
            x = LABEL + place * width
            parts.append(f'<rect x="{x:.1f}" y="{base - tall:.1f}" width="{width - 1:.1f}" height="{tall:.1f}" fill="#3b6ea8"/>')
    x = LABEL + (WIDTH - LABEL - 30) * one.median / longest
    parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{base - ROW + 8:.1f}" y2="{base:.1f}" stroke="#b3261e" stroke-width="2"/>')
    return parts
