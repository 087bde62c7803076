"""The figure of `speed.py`: footlight's speed as a multiple of each peer's, beside its targets."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from speed_tables import Comparison

from footlight.instruments.colors import COLORS
from footlight.instruments.plot import plot_style, write_figure

NAMES = {"sb3": "Stable-Baselines3", "sbx": "SBX", "rltools": "RLtools"}
STYLES = dict(zip(NAMES, zip(COLORS, "osD", strict=False), strict=True))
MARKS = {"must": ("|", 11), "aim": (">", 6.5)}
TICKS = (0.5, 1, 1.5, 2, 3, 4, 6, 8, 10, 15, 20, 30)
ROW_INCHES = 0.24


def draw(comparisons: Sequence[Comparison], output: Path) -> None:
    """Draw a line for each comparison: median and range of the ratios, `must` and `aim`."""
    with plot_style():
        figure = Figure(layout=ConstrainedLayoutEngine())
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for place, one in enumerate(comparisons):
            color, marker = STYLES[one.peer]
            middle = median(one.ratios)
            axes.plot([min(one.ratios), max(one.ratios)], [place] * 2, color=color, lw=2)
            axes.plot(middle, place, color=color, marker=marker, ms=6, linestyle="none")
            for target, (marker, size) in zip((one.must, one.aim), MARKS.values(), strict=True):
                if target is not None:
                    axes.plot(target, place, marker, color="k", mfc="none", ms=size, mew=1.4)
        axes.axvline(1, color="0.5", lw=1, zorder=0)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(TICKS))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("times as many steps per second")
        axes.set_yticks(range(len(comparisons)), labels_of(comparisons))
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(comparisons) - 0.5, -0.5)
        for place in range(1, len(comparisons)):
            if labels_of(comparisons)[place]:
                axes.axhline(place - 0.5, color="0.9", lw=0.8, zorder=0)
        entries = [
            Line2D([], [], color=color, marker=marker, label=f"to {NAMES[peer]}")
            for peer, (color, marker) in STYLES.items()
            if any(one.peer == peer for one in comparisons)
        ]
        for label, (marker, size) in MARKS.items():
            mark = Line2D([], [], color="k", marker=marker, mfc="none", ms=size, mew=1.4)
            mark.set(linestyle="none", label=label)
            entries.append(mark)
        figure.legend(handles=entries, loc="outside upper left", ncols=len(entries), frameon=False)
        figure.set_size_inches(9, 1.2 + ROW_INCHES * max(len(comparisons), 4))
        write_figure(figure, output)


def labels_of(comparisons: Sequence[Comparison]) -> list[str]:
    """The work and its threads, empty where they are those of the line above."""
    labels = [
        f"{one.work}, {one.threads} thread{'' if one.threads == '1' else 's'}"
        for one in comparisons
    ]
    return [
        "" if place and labels[place - 1] == label else label for place, label in enumerate(labels)
    ]
