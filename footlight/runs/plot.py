"""Learning curves from run folders: one run with its spread, or several with mean and 95 % interval."""

import os
import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from footlight.errors import StorageFault, UserError
from footlight.runs.colors import COLOURS
from footlight.runs.read import RunRecord, read_run

Floats = npt.NDArray[np.float64]

SUFFIXES = (".png", ".svg", ".pdf")
MAX_POINTS = 500


@dataclass(frozen=True)
class Curve:
    """One run's returns against environment steps; `std` over an evaluation's episodes, None for training episodes."""

    steps: Floats
    returns: Floats
    std: Floats | None
    label: str


def plot_runs(folders: Sequence[Path], output: Path) -> Path:
    """Draws the learning curves of the runs in `folders` to `output` (.png, .svg or .pdf), and returns `output`.

    One panel per environment. One run: evaluations with a band of one standard deviation over their episodes, and
    training episodes behind. Several runs: per algorithm the mean over runs, its 95 % interval (Student t), thin lines
    for the single runs.
    Raises UserError (suffix, folder, a run with nothing to plot), StorageFault when `output` cannot be written.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise UserError(f"{output} cannot be drawn - its suffix is none of {', '.join(SUFFIXES)} - choose one of them")
    if not output.absolute().parent.is_dir():
        raise UserError(f"{output} cannot be written - the folder {output.parent} does not exist - make it first")
    if not folders:
        raise UserError("there is nothing to plot - no run folder was given - give at least one")
    records = [read_run(folder) for folder in {folder.resolve(): folder for folder in folders}.values()]
    # Restored on leaving: the caller's own figures keep their style.
    with _style():
        figure = _draw_figure(records)
        partial = output.with_name(f".{output.stem}.{os.getpid()}{output.suffix.lower()}")
        try:  # aside, and renamed: a link that lies there is replaced, not followed
            with partial.open("xb") as file:
                figure.savefig(file, dpi=150, format=output.suffix.lower()[1:])
            partial.replace(output)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise StorageFault(f"{output} cannot be written - {error.strerror or error} - choose another place") from None
    return output


def t_quantile(degrees: int) -> float:
    """The 97.5 % quantile of Student's t with `degrees` >= 1 degrees of freedom, right to 3e-4.

    Source: tables up to 10 degrees; beyond, the expansion of Fisher and Cornish (1960), Technometrics 2(2), p. 216.
    """
    table = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)
    if degrees <= len(table):
        return table[degrees - 1]
    z = 1.959964
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / degrees + second / degrees**2 + third / degrees**3


def mean_interval(values_RP: Floats) -> tuple[Floats, Floats]:
    """Mean over R runs at each of P points, and half the width of its 95 % interval, t * s / sqrt(R); NaN if R = 1."""
    runs = len(values_RP)
    mean = values_RP.mean(axis=0)
    if runs < 2:
        return mean, np.full_like(mean, np.nan)
    return mean, t_quantile(runs - 1) * values_RP.std(axis=0, ddof=1) / np.sqrt(runs)


def common_grid(curves: Sequence[Curve]) -> tuple[Floats, Floats]:
    """The curves on one grid, interpolated within the range that all of them cover: steps (P) and returns (R, P).

    Curves with the same steps come back as they are. Raises UserError when no step is covered by all.
    """
    low, high = max(curve.steps[0] for curve in curves), min(curve.steps[-1] for curve in curves)
    if low > high:
        raise UserError(
            f"these runs have no mean - one ends at step {high:,.0f}, another starts at step {low:,.0f} - "
            "train them further, or plot them apart"
        )
    steps = np.unique(np.concatenate([curve.steps for curve in curves]))
    steps = steps[(steps >= low) & (steps <= high)]
    if len(steps) > MAX_POINTS:
        steps = np.linspace(low, high, MAX_POINTS)
    return steps, np.stack([np.interp(steps, curve.steps, curve.returns) for curve in curves])


def evaluation_curve(record: RunRecord) -> Curve | None:
    """The run's evaluations, None when there are none yet. Of two at one step (a resumed run) the later counts."""
    lines = {line["step"]: line for line in record.evaluations}
    rows = [(step, lines[step]["mean_return"], lines[step]["std_return"]) for step in sorted(lines)]
    table = _finite(rows, 3)
    episodes = {len(line["returns"]) for line in lines.values() if isinstance(line.get("returns"), list)}
    count = f"mean of {episodes.pop()} episodes" if len(episodes) == 1 else "mean over episodes"
    return Curve(table[:, 0], table[:, 1], table[:, 2], f"evaluation ({count})") if len(table) else None


def training_curve(record: RunRecord) -> Curve | None:
    """The running mean of the training episodes' returns, over a twentieth of them; None when no episode has ended."""
    table = _finite(sorted((line["step"], line["return"]) for line in record.episodes), 2)
    if not len(table):
        return None
    window = min(max(len(table) // 20, 1), 100)
    sums = np.concatenate([[0.0], np.cumsum(table[:, 1])])
    ends = np.arange(1, len(table) + 1)
    starts = np.maximum(ends - window, 0)
    means = (sums[ends] - sums[starts]) / (ends - starts)
    # Vector environments end several episodes at one step: the last mean stands for it, so that steps only increase.
    last = np.append(np.diff(table[:, 0]) > 0, True)
    steps, means = table[last, 0], means[last]
    shown = np.unique(np.linspace(0, len(steps) - 1, MAX_POINTS).round().astype(int))
    label = f"training episodes (running mean of {window})" if window > 1 else "training episodes"
    return Curve(steps[shown], means[shown], None, label)


def _finite(rows: Sequence[tuple[Any, ...]], columns: int) -> Floats:
    # A value that was not finite may stand as null in a strict JSON file: as a float it becomes NaN.
    table = np.array(rows, dtype=np.float64).reshape(-1, columns)
    return table[np.isfinite(table).all(axis=1)]


def _draw_figure(records: Sequence[RunRecord]) -> Figure:
    panels: dict[str, list[RunRecord]] = {}
    for record in records:
        panels.setdefault(str(record.config["environment"]), []).append(record)
    # In order of appearance and across panels: an algorithm keeps its colour from panel to panel.
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(_groups(records))}
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    width, height = (7.2, 4.5) if len(panels) == 1 else (5.6, 4.2)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for index, (environment, members) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, index + 1)
        if len(members) == 1:
            _draw_run(axes, members[0], colours[str(members[0].config["algorithm"])])
        else:
            _draw_groups(axes, members, colours)
        _dress(axes, environment, members, width)
    return figure


def _draw_run(axes: Axes, record: RunRecord, colour: str) -> None:
    evaluation, training = evaluation_curve(record), training_curve(record)
    if evaluation is None and training is None:
        raise _nothing(record)
    if evaluation is not None and evaluation.std is not None:
        steps, returns, std = evaluation.steps, evaluation.returns, evaluation.std
        marker = "o" if len(steps) <= 30 else ""
        _draw_mean(axes, steps, returns, std, colour, evaluation.label, marker, "\u00b1 1 standard deviation over them")
        colour = "#b5b5b5"
    if training is not None:
        width, marker = (1.2 if evaluation else 1.8), ("o" if len(training.steps) == 1 else "")
        axes.plot(
            training.steps,
            training.returns,
            color=colour,
            linewidth=width,
            marker=marker,
            label=training.label,
            zorder=2,
        )
    _legend(axes, [])


def _draw_groups(axes: Axes, records: Sequence[RunRecord], colours: dict[str, str]) -> None:
    groups = _groups(records)
    for algorithm, members in groups.items():
        colour = colours[algorithm]
        curves, source = _group_curves(members)
        steps, returns_RP = common_grid(curves)
        mean, half = mean_interval(returns_RP)
        _draw_mean(axes, steps, mean, half, colour, f"{_title(algorithm)}, {_seeds(members)}{source}", "", None)
        if len(curves) > 1:
            for curve in curves:
                _draw_thin(axes, curve, colour)
    if len(groups) < len(records):
        grey = "#808080"
        band = Patch(color=grey, alpha=0.25, linewidth=0, label="95 % interval of the mean")
        _legend(axes, [band, Line2D([], [], color=grey, linewidth=0.8, alpha=0.7, label="single runs")])
    else:
        _legend(axes, [])


def _draw_thin(axes: Axes, curve: Curve, colour: str) -> None:
    if len(curve.steps) == 1:
        axes.plot(curve.steps, curve.returns, "o", color=colour, markersize=4, markerfacecolor="white", zorder=5)
    else:
        axes.plot(curve.steps, curve.returns, color=colour, linewidth=0.7, alpha=0.45, zorder=2)


def _group_curves(members: Sequence[RunRecord]) -> tuple[list[Curve], str]:
    """Evaluations if every run of the group has some, else everyone's training episodes: a mean never mixes the two."""
    evaluations = {record.folder: evaluation_curve(record) for record in members}
    trainings = {record.folder: training_curve(record) for record in members}
    for record in members:
        if evaluations[record.folder] is None and trainings[record.folder] is None:
            raise _nothing(record)
    for curves, source in ((evaluations, ""), (trainings, " (training episodes)")):
        whole = [curve for curve in curves.values() if curve is not None]
        if len(whole) == len(members):
            return whole, source
    folders = ", ".join(str(record.folder) for record in members)
    raise UserError(f"{folders} have no mean - some have only evaluations, some only training episodes - plot them apart")


def _draw_mean(
    axes: Axes, steps: Floats, mean: Floats, half: Floats, colour: str, label: str, marker: str, band: str | None
) -> None:
    """A line with a band of `half` on both sides, or, for a single point, a bar; nothing where `half` is NaN."""
    if len(steps) == 1:
        bars = half if np.isfinite(half).all() else None
        label = f"{label},\n{band}" if band else label
        axes.errorbar(steps, mean, yerr=bars, color=colour, marker="o", markersize=7, capsize=5, label=label, zorder=4)
        return
    axes.plot(steps, mean, color=colour, linewidth=2, marker=marker, markersize=3.5, label=label, zorder=4)
    axes.fill_between(steps, mean - half, mean + half, color=colour, alpha=0.2, linewidth=0, label=band, zorder=3)


def _dress(axes: Axes, environment: str, records: Sequence[RunRecord], width: float) -> None:
    groups = _groups(records)
    counts = [_seeds(members) for members in groups.values()]
    if len(counts) > 1 and len(set(counts)) == 1:
        counts = [f"{counts[0]} each"]
    names = ", ".join(_title(algorithm) for algorithm in groups)
    title = f"{names} on {environment} ({', '.join(counts)})"
    # Eight letters of this bold face to the inch.
    axes.set_title(textwrap.fill(title, int(8 * width), break_on_hyphens=False), loc="left")
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return (sum of raw rewards per episode)")
    axes.set_xlim(0, axes.dataLim.x1 * 1.03 or 1)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: step_label(value)))


def step_label(steps: float) -> str:
    """A number of steps as one says it: 500, 10k, 2.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(steps) >= size:
            return f"{steps / size:g}{letter}"
    return f"{steps:g}"


def _style() -> AbstractContextManager[None]:
    return matplotlib.rc_context(
        {
            "font.family": "sans-serif",
            "font.size": 11,
            "axes.titlesize": 12.5,
            "axes.titleweight": "bold",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#e6e6e6",
            "legend.fontsize": 9.5,
            "pdf.fonttype": 42,  # conferences refuse matplotlib's default, Type 3
        }
    )


def _groups(records: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    groups: dict[str, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(str(record.config["algorithm"]), []).append(record)
    return groups


def _seeds(records: Sequence[RunRecord]) -> str:
    """Runs that share a seed are no independent samples, so they are not called seeds."""
    word = "seed" if len({record.config["seed"] for record in records}) == len(records) else "run"
    return f"{len(records)} {word}{'s' if len(records) > 1 else ''}"


def _title(algorithm: str) -> str:
    return algorithm.upper() if len(algorithm) <= 4 else algorithm


def _legend(axes: Axes, more: Sequence[Line2D | Patch]) -> None:
    handles, _ = axes.get_legend_handles_labels()
    axes.legend(handles=[*handles, *more], loc="best", frameon=True, framealpha=0.85, edgecolor="none")


def _nothing(record: RunRecord) -> UserError:
    return UserError(f"{record.folder} has nothing to plot - no evaluation and no episode is finished yet - train it further")
