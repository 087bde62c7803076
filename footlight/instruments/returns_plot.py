"""Returns of episodes as a figure: running means, and the band over several seeds."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter

from footlight.config.fields import Range, integer
from footlight.errors import UserError, counted
from footlight.instruments.colors import COLORS
from footlight.instruments.curves import Floats, mean_interval, running_mean
from footlight.instruments.panels import MIN_RUNS_FOR_INTERVAL, step_label
from footlight.instruments.plot import (
    DASHES,
    LEGEND_LETTERS,
    LearningCurves,
    plot_style,
    require_writable,
    write_figure,
)
from footlight.storage.files import user_path

WIDTH = 7.2  # inches


def plot_returns(
    returns: Any,
    window: int = 100,
    solved_at: float | None = None,
    output: str | Path | None = None,
) -> Figure:
    """Plot returns of episodes as a Matplotlib figure, which notebooks show.

    returns: one number for each episode; or several such lists, one for each seed, of which the
        shortest sets the length; or a dict from labels to either.
    window: episodes of the running mean; at the beginning it is over as many as there are.
    solved_at: draw a line there. The legend says in which episode the mean over a whole window
        first reached it.
    output: also write the figure to this file, .png, .svg or .pdf.

    A list is drawn behind its running mean. Seeds are drawn as their mean and a band: its 95 %
    interval for five or more, from the lowest to the highest for fewer. Raises `UserError`.

        footlight.plot_returns(returns, solved_at=-370)
        footlight.plot_returns({"DDPG": [seed_1, seed_2], "TD3": [seed_3, seed_4]}, window=20)
    """
    window = integer("window", window, Range(1))
    if solved_at is not None and not np.isfinite(solved_at):
        raise UserError(f"solved_at is {solved_at!r} - it must be a number, or None for no line")
    curves = _curves(returns)
    output = None if output is None else user_path(output)
    if output is not None:
        require_writable(output)
    with plot_style():
        figure = LearningCurves(layout=ConstrainedLayoutEngine())
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for index, (label, seeds) in enumerate(curves.items()):
            color = COLORS[index % len(COLORS)]
            dashes = DASHES[index // len(COLORS) % len(DASHES)]
            _draw(axes, label, seeds, window, solved_at, (color, dashes))
        if solved_at is not None:
            text = f"solved at {solved_at:g}"
            axes.axhline(solved_at, color="#555555", linestyle=(0, (4, 3)), lw=1.1, label=text)
        axes.set_xlabel("episodes")
        axes.set_ylabel("return")
        axes.margins(x=0.01)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: step_label(value)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        _set_legend(figure, axes)
        if output is not None:
            write_figure(figure, output)
    return figure


def _draw(
    axes: Axes, label: str, seeds: Sequence[Floats], window: int, solved_at: float | None,
    style: tuple[str, str],
) -> None:  # fmt: skip
    color, dashes = style
    length = min(map(len, seeds))
    smooth_RP = np.stack([running_mean(seed[:length], window) for seed in seeds])
    x_P, mean_P = np.arange(1, length + 1), smooth_RP.mean(axis=0)
    if len(seeds) == 1:
        name = "episodes" if not label else None
        axes.plot(x_P, seeds[0], color=color, alpha=0.25, lw=0.8, marker=_dot(length), label=name)
        band = ""
    else:
        if len(seeds) >= MIN_RUNS_FOR_INTERVAL:
            half_P = mean_interval(smooth_RP)[1]
            low_P, high_P = mean_P - half_P, mean_P + half_P
            band = f", mean of {counted(len(seeds), 'seed')} and 95 % interval"
        else:
            low_P, high_P = smooth_RP.min(axis=0), smooth_RP.max(axis=0)
            band = f", mean of {counted(len(seeds), 'seed')}, lowest and highest"
        axes.fill_between(x_P, low_P, high_P, color=color, alpha=0.2, linewidth=0)
    text = f"{label or 'returns'}, running mean of {counted(window, 'episode')}{band}"
    axes.plot(
        x_P, mean_P, color=color, linestyle=dashes, lw=2, marker=_dot(length),
        label=f"{text}{_solved(mean_P, window, solved_at)}",
    )  # fmt: skip


def _set_legend(figure: Figure, axes: Axes) -> None:
    """Put the legend below the axes, in as many lines as its texts need."""
    entries, texts = axes.get_legend_handles_labels()
    letters = int(WIDTH * LEGEND_LETTERS) - 7
    texts = [textwrap.fill(text, letters, break_on_hyphens=False) for text in texts]
    figure.legend(entries, texts, loc="outside lower left")
    lines = sum(text.count("\n") + 1 for text in texts)
    figure.set_size_inches(WIDTH, 4.2 + 0.2 * lines)


def _dot(length: int) -> str:
    """The marker of a curve: a single point has no line to be seen."""
    return "o" if length == 1 else ""


def _solved(mean_P: Floats, window: int, solved_at: float | None) -> str:
    if solved_at is None:
        return ""
    reached = np.flatnonzero(mean_P[window - 1 :] >= solved_at)
    if not len(reached):
        return ", not solved"
    return f", solved in episode {reached[0] + window:,}"


def _curves(returns: Any) -> dict[str, list[Floats]]:
    """The returns of each seed by label; the label of a bare list is empty. Raises `UserError`."""
    if not isinstance(returns, Mapping):
        seeds = returns if _is_nested(returns) else [returns]
        return {"": [_series("returns", seed) for seed in seeds]}
    if not returns:
        raise UserError("returns is empty - there is nothing to plot - give at least one label")
    found = {}
    for label, given in returns.items():
        if _is_nested(given):
            each = enumerate(given)
            found[str(label)] = [_series(f"{label}, seed {at}", seed) for at, seed in each]
        else:
            found[str(label)] = [_series(str(label), given)]
    return found


def _is_nested(given: Any) -> bool:
    if isinstance(given, np.ndarray):
        return given.ndim == 2
    items = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else []
    return bool(items) and not any(isinstance(item, int | float | np.generic) for item in items)


def _series(name: str, given: Any) -> Floats:
    try:
        found = np.asarray(given if isinstance(given, np.ndarray) else list(given), np.float64)
    except (TypeError, ValueError):
        found = np.zeros((0, 0))
    if found.ndim != 1:
        raise UserError(
            f"{name}: {given!r:.60} is not a list of returns - a return is one number for each "
            "episode - give a list of numbers, or a dict from labels to lists"
        )
    if not len(found):
        raise UserError(f"{name}: the list is empty - no episode has ended - train for longer")
    if len(bad := np.flatnonzero(~np.isfinite(found))):
        raise UserError(
            f"{name}: the return of episode {bad[0] + 1} is {found[bad[0]]} - only numbers can be "
            "plotted - look at the rewards of that episode"
        )
    return found
