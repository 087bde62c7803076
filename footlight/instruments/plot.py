"""Learning curves from run folders: single runs, or the mean over seeds with its 95 % interval, grouped by configuration."""

import contextlib
import io
import itertools
import os
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from footlight.errors import StorageFault, UserError, warn
from footlight.instruments.colors import COLORS
from footlight.instruments.curves import (
    AXES,
    Curve,
    Floats,
    common_grid,
    curve_of,
    find_log,
    mean_interval,
)
from footlight.instruments.groups import Member, count, find_members, group
from footlight.storage.files import user_path

SUFFIXES = (".png", ".svg", ".pdf")
DASHES = ("-", "--", ":", "-.")  # one for each round through the colors
MIN_RUNS_FOR_INTERVAL = (
    5  # over fewer runs, a Student interval is many times wider than their spread
)
RESOLUTION = 150  # dots per inch
_SINGLE_RUNS, _INTERVAL = "single runs", "95 % interval of the mean"
LEGEND_LETTERS, TITLE_LETTERS = 13, 8  # to the inch

Style = tuple[str, str]  # color and dashes


class LearningCurves(Figure):
    """A figure that notebooks display without pyplot."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=RESOLUTION / 2)
        return buffer.getvalue()


def plot_runs(
    runs: Any,
    output: str | Path | None = None,
    *,
    labels: Sequence[str] | None = None,
    metric: str | None = None,
    x: str | None = None,
    notice: Callable[[str], None] = warn,
) -> Figure:
    """Draw learning curves, one panel per environment, and write them to `output` (.png, .svg or .pdf) if that is given.

    runs: run folders, folders of runs, `Run` objects and sequences of returns, or one of these.
    labels: one for each of `runs`, or for each group; runs with the same label are one group. By default a group is what differs
    in its seed only, and is labeled by what else differs from the others.
    metric: a number in metrics.jsonl, episodes.jsonl or evaluations.jsonl; None: the mean return of evaluations, or the return of
    training episodes where a run has no evaluation.
    x: "steps", "updates", "episodes" or "seconds"; None: steps, or episodes where there are no steps.

    One run is drawn with its training episodes behind its evaluations; a group of fewer than five runs as mean and single runs,
    a larger one as mean and 95 % interval (Student t). The caller's figures, style and backend are left alone.
    Raises UserError, and StorageFault when `output` cannot be written.
    """
    output = None if output is None else user_path(output)
    if x not in (None, *AXES):
        raise UserError(f"x is {x!r} - it must be one of {', '.join(AXES)}")
    members, group_labels = find_members(runs, labels, notice)
    if output is not None:
        _require_writable(output)
    if not members:
        raise UserError(
            "there is nothing to plot - no run has logged anything yet - train one further"
        )
    with _style():
        figure = _draw_figure(members, group_labels, metric, x)
        if output is not None:
            _write(figure, output)
    return figure


def _require_writable(output: Path) -> None:
    if output.suffix.lower() not in SUFFIXES:
        raise UserError(
            f"{output} cannot be drawn - its suffix is none of {', '.join(SUFFIXES)} - choose one of them"
        )
    if not output.absolute().parent.is_dir():
        raise UserError(
            f"{output} cannot be written - the folder {output.parent} does not exist - make it first"
        )


def _write(figure: Figure, output: Path) -> None:
    suffix = output.suffix.lower()
    partial = output.with_name(f".{output.stem}.{os.getpid()}{suffix}")
    try:  # under another name, then renamed: a link at `output` is replaced, not followed
        with partial.open("xb") as file:
            figure.savefig(file, dpi=RESOLUTION, format=suffix[1:])
        partial.replace(output)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StorageFault(
            f"{output} cannot be written - {error.strerror or error} - choose another place"
        ) from None


@contextlib.contextmanager
def _style() -> Iterator[None]:
    """Matplotlib's defaults with a few changes, whatever the caller's style is; that is restored afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "font.size": 11,
                "axes.titlesize": 12.5,
                "axes.titleweight": "bold",
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.grid": True,
                "axes.axisbelow": True,
                "grid.color": "#e6e6e6",
                "legend.fontsize": 9.5,
                "legend.frameon": False,
                "pdf.fonttype": 42,  # conferences refuse matplotlib's default, Type 3
            }
        )
        yield


def _draw_figure(
    members: Sequence[Member],
    labels: Sequence[str] | None = None,
    metric: str | None = None,
    x: str | None = None,
) -> Figure:
    panels = _panels(members, labels)
    names = dict.fromkeys(label for groups in panels.values() for label in groups)
    # Colors belong to labels, across panels.
    styles: dict[str, Style] = dict(
        zip(names, itertools.cycle((c, d) for d in DASHES for c in COLORS), strict=False)
    )
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    width, height = (7.2, 4.5) if len(panels) == 1 else (5.6, 4.2)
    figure = LearningCurves(layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    FigureCanvasAgg(figure)
    entries: dict[str, Artist] = {}
    is_single = len(members) == 1 and members[0].label is None
    for index, (environment, groups) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, index + 1)
        entries |= _draw_panel(axes, groups, styles, metric, x or _default_axis(members), is_single)
        _set_title(axes, environment, groups, width)
    entries |= {
        text: entries.pop(text) for text in (_SINGLE_RUNS, _INTERVAL) if text in entries
    }  # last
    # Below the axes, so that it covers no curve.
    letters = int(width * columns * LEGEND_LETTERS)
    texts = [textwrap.fill(label, letters - 7, break_on_hyphens=False) for label in entries]
    across = min(max(letters // (max(map(len, texts)) + 7), 1), len(texts))
    figure.legend(list(entries.values()), texts, loc="outside lower left", ncols=across)
    lines = sum(text.count("\n") + 1 for text in texts) / across
    figure.set_size_inches(width * columns, height * rows + 0.2 * lines)
    return figure


def _panels(
    members: Sequence[Member], labels: Sequence[str] | None
) -> dict[str, dict[str, list[Member]]]:
    """Groups of runs by environment and label; `labels` replace the automatic ones."""
    environments: dict[str, list[Member]] = {}
    for member in members:
        environments.setdefault(str(member.record.config["environment"]), []).append(member)
    if (
        len(environments) == 2 and "" in environments
    ):  # returns from elsewhere are compared with the runs
        environments = {next(filter(None, environments)): list(members)}
    panels = {environment: group(own) for environment, own in environments.items()}
    if labels is None:
        return panels
    names = list(dict.fromkeys(label for groups in panels.values() for label in groups))
    if len(labels) != len(names):
        found = "; ".join(names)
        raise UserError(
            f"{len(labels)} labels were given - there are {len(names)} groups ({found}) - give one for each, or for each run"
        )
    chosen = dict(zip(names, labels, strict=True))
    renamed: dict[str, dict[str, list[Member]]] = {}
    for environment, groups in panels.items():
        for name, own in groups.items():
            renamed.setdefault(environment, {}).setdefault(chosen[name], []).extend(own)
    return renamed


def _default_axis(members: Sequence[Member]) -> str:
    return (
        "episodes"
        if any(not member.record.config["environment"] for member in members)
        else "steps"
    )


def _draw_panel(
    axes: Axes,
    groups: Mapping[str, Sequence[Member]],
    styles: Mapping[str, Style],
    metric: str | None,
    x: str,
    is_single: bool,
) -> dict[str, Artist]:
    """Draw the runs of one environment; return the entries of the legend."""
    members = [member for own in groups.values() for member in own]
    if any(not member.record.config["environment"] for member in members) and x != "episodes":
        raise UserError(f"x is {x} - a sequence of returns has episodes only - leave x out")
    log, name = _choose_log(members, metric)
    curves = {
        label: [_require_curve(member, log, name, x) for member in own]
        for label, own in groups.items()
    }
    entries: dict[str, Artist] = {}
    if is_single and metric is None:
        entries |= _draw_single(
            axes, members[0], next(iter(curves.values()))[0], styles[next(iter(groups))], x
        )
    else:
        for label, own in curves.items():
            entries |= _draw_group(axes, label, own, count(groups[label]), styles[label])
    _set_axes(axes, [curve for own in curves.values() for curve in own], x)
    if is_single and metric is None:
        axes.set_ylabel("return (sum of raw rewards per episode)")
    else:
        words = {
            "mean_return": "return (mean of an evaluation)",
            "return": "return of training episodes (running mean)",
        }
        axes.set_ylabel(words.get(name, name.replace("_", " ")))
    return entries


def _choose_log(members: Sequence[Member], metric: str | None) -> tuple[str, str]:
    """The log, and the metric in it: of all runs the same, because a comparison never mixes evaluations and training."""
    records = [member.record for member in members]
    if metric is not None:
        return find_log(records, metric), metric
    for log, name in (("evaluations", "mean_return"), ("episodes", "return")):
        if all(curve_of(record, log, name, "steps") is not None for record in records):
            return log, name
    for record in records:
        if all(
            curve_of(record, *each, "steps") is None
            for each in (("evaluations", "mean_return"), ("episodes", "return"))
        ):
            raise UserError(
                f"{record.folder} has nothing to plot - no evaluation and no episode is finished yet - train it further"
            )
    raise UserError(
        f"{len(records)} runs cannot be compared - some have only evaluations, some only training episodes - plot them separately"
    )


def _require_curve(member: Member, log: str, metric: str, x: str) -> Curve:
    curve = curve_of(member.record, log, metric, x)
    if curve is None:
        raise UserError(
            f"{member.record.folder} has no {metric} - other runs have - leave it out, or plot another metric"
        )
    return curve


def _draw_single(
    axes: Axes, member: Member, curve: Curve, style: Style, x: str
) -> dict[str, Artist]:
    if curve.std is None:
        return _draw_mean(axes, curve.x, curve.y, None, style, curve.label, "")
    episodes = sorted(
        {
            len(row["returns"])
            for row in member.record.evaluations
            if isinstance(row.get("returns"), list)
        }
    )
    noun = "episode" if episodes == [1] else "episodes"
    label = (
        f"evaluation (mean of {' or '.join(map(str, episodes))} {noun})"
        if episodes
        else "evaluation"
    )
    entries = _draw_mean(
        axes, curve.x, curve.y, curve.std, style, label, "± 1 standard deviation over them"
    )
    training = curve_of(member.record, "episodes", "return", x)
    if training is not None:
        marker = "o" if len(training.x) == 1 else ""
        (line,) = axes.plot(
            training.x, training.y, color="#b5b5b5", linewidth=1.2, marker=marker, zorder=2
        )
        entries[training.label] = line
    return entries


def _draw_group(
    axes: Axes, label: str, curves: Sequence[Curve], number: str, style: Style
) -> dict[str, Artist]:
    color, dashes = style
    if len(curves) == 1:
        return _draw_mean(axes, curves[0].x, curves[0].y, None, style, label, "")
    x_P, values_RP = common_grid(curves)
    mean, half = mean_interval(values_RP)
    entries = _draw_mean(axes, x_P, mean, None, style, f"{label} (mean of {number})", "")
    if len(curves) >= MIN_RUNS_FOR_INTERVAL and len(x_P) > 1:
        axes.fill_between(
            x_P, mean - half, mean + half, color=color, alpha=0.2, linewidth=0, zorder=3
        )
        return entries | {_INTERVAL: Patch(color="#808080", alpha=0.25, linewidth=0)}
    for curve in curves:
        if len(curve.x) == 1:
            axes.plot(
                curve.x, curve.y, "o", color=color, markersize=4, markerfacecolor="white", zorder=5
            )
        else:
            axes.plot(
                curve.x, curve.y, color=color, linestyle=dashes, linewidth=0.8, alpha=0.5, zorder=2
            )
    return entries | {_SINGLE_RUNS: Line2D([], [], color="#808080", linewidth=0.8, alpha=0.7)}


def _draw_mean(
    axes: Axes, x_P: Floats, mean: Floats, half: Floats | None, style: Style, label: str, band: str
) -> dict[str, Artist]:
    """A line with a band of `half` on both sides; for a single point a marker with a bar."""
    color, dashes = style
    if len(x_P) == 1:
        entry = axes.errorbar(
            x_P, mean, yerr=half, color=color, marker="o", markersize=7, capsize=5, zorder=4
        )
        return {f"{label}, {band}" if band else label: entry}  # type: ignore[dict-item]
    marker = "o" if len(x_P) <= 30 else ""
    (line,) = axes.plot(
        x_P,
        mean,
        color=color,
        linestyle=dashes,
        linewidth=2,
        marker=marker,
        markersize=3.5,
        zorder=4,
    )
    if half is None:
        return {label: line}
    return {
        label: line,
        band: axes.fill_between(
            x_P, mean - half, mean + half, color=color, alpha=0.2, linewidth=0, zorder=3
        ),
    }


def _set_axes(axes: Axes, curves: Sequence[Curve], x: str) -> None:
    """Labels, and ranges that follow the runs, not the bands around them."""
    values = np.concatenate(
        [
            *(curve.y for curve in curves),
            *(np.asarray(line.get_ydata(), np.float64) for line in axes.lines),
        ]
    )
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlim(0, max(float(curve.x[-1]) for curve in curves) * 1.03 or 1)
    axes.set_xlabel(AXES[x])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: step_label(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def _set_title(
    axes: Axes, environment: str, groups: Mapping[str, Sequence[Member]], width: float
) -> None:
    algorithms = dict.fromkeys(
        member.algorithm
        for own in groups.values()
        for member in own
        if member.record.config["environment"]
    )
    names = ", ".join(algorithms) if 0 < len(algorithms) <= 3 else ""
    title = f"{names} on {environment}" if names and environment else environment or "returns"
    if environment and all(len(own) == 1 for own in groups.values()):
        title += " (1 seed each)" if len(groups) > 1 else " (1 seed)"
    axes.set_title(
        textwrap.fill(title, int(TITLE_LETTERS * width), break_on_hyphens=False), loc="left"
    )


def step_label(steps: float) -> str:
    """A number of steps as one says it: 500, 10k, 2.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(steps) >= size:
            return f"{steps / size:g}{letter}"
    return f"{steps:g}"
