"""Returns: learning curves, and how the episodes of the training went."""

from collections.abc import Sequence

import numpy as np

from footlight.reports.aggregates import Band, interquartile_curve
from footlight.reports.charts import COLORED, Chart, Charts, Line, Mark, band_line
from footlight.reports.decimation import Points
from footlight.reports.folders import ReportRun
from footlight.reports.grouping import MAX_SINGLE, Group, column, grouped_line, lines_of, run_label
from footlight.reports.markup import Html, element, join, number, table

_AXES = {
    "return": ("Return of training episodes", "sum of raw rewards of an episode"),
    "length": ("Length of training episodes", "in environment steps"),
    "time_limit": ("Episodes cut off by a time limit", "share of all episodes that ended"),
}


def learning_curves(
    groups: Sequence[Group], charts: Charts, marks: Sequence[Mark], given: str
) -> Html:  # fmt: skip
    """The learning curve of each environment."""
    figures = []
    environments = [*dict.fromkeys(each.environment for each in groups)]
    for environment in environments:
        own = [each for each in groups if each.environment == environment]
        runs = [run for each in own for run in each.runs]
        have = [run for run in runs if run.curve("evaluations", "mean_return") is not None]
        log = "evaluations" if have else "episodes"
        lines, about = _learning_lines(own, log)
        if not lines:
            figures.append(element("p", f"{environment}: no evaluation or episode has ended yet."))
            continue
        missing = sum(run.curve(log, "mean_return") is None for run in runs)
        if missing:
            about += f" {missing} of {len(runs)} runs have none yet and are left out."
        if any(each.color < 0 for each in own):
            about += f" The {COLORED} configurations with the highest returns have colors."
        what = "Mean return of evaluations" if log == "evaluations" else (
            "Running mean of training returns; the runs have no evaluations")  # fmt: skip
        chart = Chart(
            environment if len(environments) > 1 else "Learning curve",
            lines,
            meaning=f"{what}. {about}",
            how=f"footlight plot {given}",
            y="return",
            marks=marks,
            is_large=True,
        )
        figures.append(charts.figure(chart))
    return join(*figures)


def _learning_lines(groups: Sequence[Group], log: str) -> tuple[list[Line], str]:
    """The lines of one environment, and a sentence about their intervals."""
    curves = {
        each.label: [
            (run, curve)
            for run in each.runs
            if (curve := run.curve(log, "mean_return")) is not None
        ]
        for each in groups
    }
    count = sum(map(len, curves.values()))
    lines: list[Line] = []
    is_mean = is_single = False
    for each in groups:
        own = curves[each.label]
        band = interquartile_curve([curve for _, curve in own])
        if band is not None:
            is_mean = True
            if count <= MAX_SINGLE:
                is_single = True
                lines += [
                    Line(run_label(each.label, each, run), run.color, curve, "thin")
                    for run, curve in own
                ]
            label = f"{each.label}, interquartile mean of {len(own)} runs"
            lines.append(grouped_line(label, each, band))
        elif count == 1:
            return _single(own[0][0], own[0][1], log)
        else:
            lines += [
                Line(run_label(each.label, each, run), run.color, curve, each.style)
                for run, curve in own
            ]
    about = "Thick: interquartile mean over runs, with the 95 % interval of a stratified " \
        "bootstrap; of fewer than four runs it is the mean." if is_mean else ""  # fmt: skip
    about += " Thin: the runs." if is_single else ""
    return sorted(lines, key=lambda line: (line.color >= 0, line.style != "thin")), about


def _single(run: ReportRun, curve: Points, log: str) -> tuple[list[Line], str]:
    """A run by itself: its evaluations before its training episodes."""
    lines: list[Line] = []
    training = run.curve("episodes", "mean_return")
    if log == "evaluations" and training is not None:
        over = f", mean of {run.window:,}" if run.window > 1 else ""
        label = f"training episodes{over}"
        lines.append(Line(label, -1, training))
    std = run.curve(log, "std_return")
    if std is not None and np.array_equal(std.x, curve.x):
        band = Band(curve.x, curve.y, curve.y - std.y, curve.y + std.y)
        return [*lines, band_line("evaluations", 0, band)], (
            "The band is one standard deviation over the episodes of an evaluation.")  # fmt: skip
    return [*lines, Line("evaluations" if log == "evaluations" else "return", 0, curve)], ""


def episodes(
    groups: Sequence[Group], charts: Charts, marks: Sequence[Mark], given: str, folder: str
) -> Html:  # fmt: skip
    """Returns, lengths and ends of the training's episodes, over steps and as a table."""
    runs = [run for each in groups for run in each.runs]
    if not any(run.episodes for run in runs):
        return element("p", "No training episode has ended yet.")
    figures: list[Html] = []
    for name, (title, meaning) in _AXES.items():
        smooth = name if name == "time_limit" else f"mean_{name}"
        lines = lines_of(groups, column("episodes", smooth))
        if not lines:
            continue
        raw = runs[0].curve("episodes", name)
        if len(runs) == 1 and raw is not None and name != smooth and runs[0].window > 1:
            lines = [Line("episodes", -1, raw, "thin"), *lines]
        windows = sorted({run.window for run in runs if run.episodes})
        over = " to ".join(f"{each:,}" for each in dict.fromkeys((windows[0], windows[-1])))
        smoothed = f"; mean over {over} episodes" if windows[-1] > 1 else ""
        ends = f'[row.get("truncated", False) for row in footlight.Run({folder}).episodes()]'
        figures.append(
            charts.figure(
                Chart(
                    title,
                    lines,
                    meaning=f"{meaning}{smoothed}.",
                    how=ends if name == "time_limit" else f"footlight plot {given} --metric {name}",
                    y=name,
                    marks=marks if name == "return" else (),
                )
            )
        )
    return join(element("div", *figures, class_="charts"), _episode_table(runs))


def _episode_table(runs: Sequence[ReportRun]) -> Html:
    head = ["run", "episodes", "lowest return", "highest return", "last mean return",
            "last mean length", "last share of time limits"]  # fmt: skip
    rows = []
    for run in runs:
        returns = run.curve("episodes", "return")
        ends = [
            curve.y[-1] if (curve := run.curve("episodes", name)) is not None else None
            for name in ("mean_return", "mean_length", "time_limit")
        ]
        low, high = (returns.y.min(), returns.y.max()) if returns else (None, None)
        share = "–" if ends[2] is None else f"{ends[2]:.0%}"
        read = f"{run.episodes:,} read" if run.is_partial else f"{run.episodes:,}"
        rows.append([run.name, read, number(low), number(high), number(ends[0]),
                     number(ends[1]), share])  # fmt: skip
    return table(list(head), rows)
