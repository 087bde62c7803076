"""One panel of a plot: the learning curves of all runs of one environment."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from footlight.errors import UserError
from footlight.instruments.curves import (
    AXES,
    Curve,
    Floats,
    common_grid,
    curve_of,
    find_log,
    mean_interval,
)
from footlight.instruments.groups import Member, count

# Over fewer runs, a Student interval is many times wider than their spread.
MIN_RUNS_FOR_INTERVAL = 5
SINGLE_RUNS, INTERVAL = "single runs", "95 % interval of the mean"

Style = tuple[str, str]  # color and dashes


def draw_panel(
    axes: Axes,
    groups: Mapping[str, Sequence[Member]],
    styles: Mapping[str, Style],
    metric: str | None,
    x: str,
    is_single: bool,
) -> dict[str, Artist]:
    """Draw the runs of one environment; return the entries of the legend by their text."""
    members = [member for own in groups.values() for member in own]
    if any(not member.run.config["environment"] for member in members) and x != "episodes":
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
    """Choose log and metric, the same for all runs: evaluations and training are never mixed."""
    runs = [member.run for member in members]
    if metric is not None:
        return find_log(runs, metric), metric
    for log, name in (("evaluations", "mean_return"), ("episodes", "return")):
        if all(curve_of(run, log, name, "steps") is not None for run in runs):
            return log, name
    for run in runs:
        if all(
            curve_of(run, *each, "steps") is None
            for each in (("evaluations", "mean_return"), ("episodes", "return"))
        ):
            raise UserError(
                f"{run.folder} has nothing to plot - no evaluation or episode has finished yet - "
                "train it further"
            )
    raise UserError(
        f"{len(runs)} runs cannot be compared - some have only evaluations, some only training "
        "episodes - plot them separately"
    )


def _require_curve(member: Member, log: str, metric: str, x: str) -> Curve:
    curve = curve_of(member.run, log, metric, x)
    if curve is None:
        raise UserError(
            f"{member.run.folder} has no {metric} - other runs do - "
            "leave it out, or plot another metric"
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
            for row in member.run.evaluations
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
    training = curve_of(member.run, "episodes", "return", x)
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
        return entries | {INTERVAL: Patch(color="#808080", alpha=0.25, linewidth=0)}
    for curve in curves:
        if len(curve.x) == 1:
            axes.plot(
                curve.x, curve.y, "o", color=color, markersize=4, markerfacecolor="white", zorder=5
            )
        else:
            axes.plot(
                curve.x, curve.y, color=color, linestyle=dashes, linewidth=0.8, alpha=0.5, zorder=2
            )
    return entries | {SINGLE_RUNS: Line2D([], [], color="#808080", linewidth=0.8, alpha=0.7)}


def _draw_mean(
    axes: Axes, x_P: Floats, mean: Floats, half: Floats | None, style: Style, label: str, band: str
) -> dict[str, Artist]:
    """Draw a line with a band of `half` on both sides; a single point as a marker with a bar."""
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
    """Set labels and ranges; the ranges cover the runs, not the bands around them."""
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


def step_label(steps: float) -> str:
    """Abbreviate a number of steps: 500, 10k, 2.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(steps) >= size:
            return f"{steps / size:g}{letter}"
    return f"{steps:g}"
