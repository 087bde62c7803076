"""A run in a cell of a notebook: its facts, the doctor's verdict, its curve, and its report."""

import base64
import os
from pathlib import Path
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from footlight.reports.folders import ReportRun, read_runs
from footlight.reports.markup import Html, element, join, number
from footlight.runs import description

Floats = npt.NDArray[np.float64]

WIDTH, HEIGHT = 560, 200
LEFT, TOP, RIGHT, BOTTOM = 64, 12, 12, 34  # margins
MAX_POINTS = 300
GRAY, BLUE, RED = "#808080", "#3a86c8", "#c8503a"  # visible on white and on black
REPORT = "report.html"


def notebook_view(folder: Path) -> str:
    """A run folder as HTML. Nothing in it runs, and nothing here raises for what is in a folder."""
    (run,) = read_runs([folder])
    curve = _curve(run)
    image = None if curve is None else element("div", _image(curve))
    return str(join(Html(description.table(folder)), _verdict(run), image, _report(folder)))


def _verdict(run: ReportRun) -> Html | None:
    found = run.checkup
    if found is None or not (found.num_checks or found.findings):
        return None
    color = None if found.is_healthy else f"color: {RED}"
    more = element("ul", *(element("li", each.title) for each in found.findings[1:4]))
    words = element("span", found.verdict, style=color)
    return element("div", "doctor: ", words, more if len(found.findings) > 1 else None)


def _report(folder: Path) -> Html:
    path = folder / REPORT
    if not path.is_file():
        return element("div", element("code", "run.report()"), " writes all of it to one page")
    try:
        address = quote(Path(os.path.relpath(path)).as_posix())
    except ValueError:  # on another drive
        address = path.absolute().as_uri()
    return element("div", element("a", f"report: {path}", href=address, target="_blank"))


def _curve(run: ReportRun) -> tuple[str, Floats, Floats, Floats | None] | None:
    """What is drawn: its name, x, y and the half-width of its band; None without two points."""
    for log, name in (("evaluations", "evaluations"), ("episodes", "training episodes")):
        mean = run.curve(log, "mean_return")
        if mean is None or len(mean.x) < 2:
            continue
        std = run.curve(log, "std_return")
        band = std.y if std is not None and np.array_equal(std.x, mean.x) else None
        index = np.unique(np.linspace(0, len(mean.x) - 1, MAX_POINTS).astype(int))
        return (
            f"mean return of {name}", mean.x[index], mean.y[index],
            None if band is None else band[index],
        )  # fmt: skip
    return None


def _image(curve: tuple[str, Floats, Floats, Floats | None]) -> Html:
    """An image, in which no script runs, and that cleaners of untrusted notebooks keep."""
    svg = _svg(*curve)
    data = base64.b64encode(svg.encode()).decode("ascii")
    return element(
        "img", src=Html(f"data:image/svg+xml;base64,{data}"), alt=curve[0], width=WIDTH,
        style="max-width: 100%",
    )  # fmt: skip


def _svg(name: str, x: Floats, y: Floats, band: Floats | None) -> str:
    half = np.zeros_like(y) if band is None else band
    low, high = float((y - half).min()), float((y + half).max())
    low, high = (low, high) if high > low else (low - 1, high + 1)
    across = (x - x[0]) / max(float(x[-1] - x[0]), 1e-9)
    left = LEFT + across * (WIDTH - LEFT - RIGHT)
    bottom = HEIGHT - BOTTOM

    def down(values: Floats) -> Floats:
        return np.asarray(bottom - (values - low) / (high - low) * (bottom - TOP))

    parts = []
    if band is not None:
        edge = (
            np.concatenate([left, left[::-1]]),
            np.concatenate([down(y + half), down(y - half)[::-1]]),
        )
        parts.append(element("polygon", points=_points(*edge), fill=BLUE, fill_opacity=0.25))
    line = {"fill": "none", "stroke": BLUE, "stroke_width": 2}
    parts.append(element("polyline", points=_points(left, down(y)), **line))
    axis = _points(np.array([LEFT, LEFT, WIDTH - RIGHT]), np.array([TOP, bottom, bottom]))
    parts.append(element("polyline", points=axis, fill="none", stroke=GRAY))
    text = {"fill": GRAY, "font_size": 12, "font_family": "sans-serif"}
    below = bottom + 16
    for label, at_x, at_y, anchor in (
        (number(high), LEFT - 6, TOP + 10, "end"),
        (number(low), LEFT - 6, bottom, "end"),
        (number(float(x[0])), LEFT, below, "start"),
        (f"{number(float(x[-1]))} steps", WIDTH - RIGHT, below, "end"),
        (name, (LEFT + WIDTH) / 2, below, "middle"),
    ):
        parts.append(element("text", label, x=at_x, y=at_y, text_anchor=anchor, **text))
    size = {"width": WIDTH, "height": HEIGHT, "viewBox": f"0 0 {WIDTH} {HEIGHT}"}
    return str(element("svg", *parts, xmlns="http://www.w3.org/2000/svg", **size))


def _points(x: Floats, y: Floats) -> Html:
    """Numbers alone, which are not cut off where a text would be."""
    return Html(" ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True)))
