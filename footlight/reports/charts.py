"""Charts of a report: numbers for the script in the page, and the figure around them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from footlight.errors import printable
from footlight.reports.aggregates import Band
from footlight.reports.decimation import Points, aligned
from footlight.reports.markup import Html, capitalized, element

MAX_NUMBERS = 6_000  # of one chart
MAX_POINTS = 1_200  # of one curve
COLORED = 12  # curves of a chart that are told apart by color and dashes; others are gray


@dataclass(frozen=True)
class Line:
    """A curve of a chart."""

    label: str
    color: int
    """Index of one of the page's colors; -1: gray."""
    points: Points
    style: str = "line"
    """"line", "thin" or "dashed"."""
    band: Band | None = None
    """Drawn around the curve, of which `points` are then the middle."""


@dataclass(frozen=True)
class Mark:
    """A vertical line where a finding began."""

    step: int
    text: str
    severity: str


@dataclass(frozen=True)
class Chart:
    """Curves over one axis, with what they mean and how to draw them again."""

    title: str
    lines: Sequence[Line]
    meaning: str = ""
    how: str = ""
    """A command or a line of Python."""
    x: str = "environment steps"
    y: str = ""
    marks: Sequence[Mark] = ()
    note: str = ""
    is_large: bool = False


@dataclass
class Charts:
    """The charts of a page, in order; the script finds the numbers of each by its place."""

    max_numbers: int = MAX_NUMBERS
    """Of one chart."""
    data: list[dict[str, Any]] = field(default_factory=list)

    def figure(self, chart: Chart) -> Html:
        """The figure of a chart, whose numbers are added to `data`."""
        curves: list[Points] = []
        for line in chart.lines:
            curves.append(line.points)
            if line.band is not None:
                curves += [Points(line.band.x, line.band.low), Points(line.band.x, line.band.high)]
        size = max(min(MAX_POINTS, self.max_numbers // max(len(curves), 1)), 40)
        x, rows, intervals = aligned(curves, size)
        series, columns = [], iter(rows)
        for line in chart.lines:
            entry = {"label": printable(line.label)[:80], "color": line.color, "style": line.style,
                     "y": next(columns)}  # fmt: skip
            if line.band is not None:
                entry |= {"low": next(columns), "high": next(columns)}
            series.append(entry)
        number = len(self.data)
        self.data.append(
            {
                "x": x,
                "series": series,
                "xlabel": chart.x,
                "large": chart.is_large,
                "marks": [
                    {**vars(mark), "text": printable(mark.text)[:120]} for mark in chart.marks
                ],
            }
        )
        notes = [chart.note, _about(intervals)]
        return element(
            "figure",
            element(
                "figcaption",
                element("h3", capitalized(chart.title)),
                _paragraph(capitalized(chart.meaning)),
            ),
            element("div", class_="plot", data_chart=number, role="img", aria_label=chart.title),
            _paragraph(" ".join(filter(None, notes)), "note"),
            element("p", "Draw it again: ", element("code", chart.how), class_="how")
            if chart.how
            else None,
            class_="large" if chart.is_large else None,
        )


def _about(intervals: int) -> str:
    """How a chart was thinned out, as a sentence; empty if it has every point."""
    if not intervals:
        return ""
    return (
        f"Each curve is drawn as its lowest and highest value in each of {intervals:,} intervals."
    )


def _paragraph(text: str, class_: str | None = None) -> Html | None:
    return element("p", text, class_=class_) if text else None


def band_line(label: str, color: int, band: Band) -> Line:
    """The line of a band's middle, with the band around it."""
    return Line(label, color, Points(band.x, np.asarray(band.mean)), "line", band)
