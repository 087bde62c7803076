"""Learning curves from run folders: single runs, or the mean over seeds with a 95 % interval."""

import contextlib
import io
import itertools
import os
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from footlight.errors import StorageFault, UserError, counted, warn
from footlight.instruments.colors import COLORS
from footlight.instruments.curves import AXES
from footlight.instruments.groups import Member, find_members, group
from footlight.instruments.panels import INTERVAL, SINGLE_RUNS, Style, draw_panel
from footlight.storage.files import user_path

SUFFIXES = (".png", ".svg", ".pdf")
DASHES = ("-", "--", ":", "-.")  # one for each round through the colors
RESOLUTION = 150  # dots per inch
LEGEND_LETTERS, TITLE_LETTERS = 13, 8  # to the inch


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
    label: str | Sequence[str] | None = None,
    metric: str | None = None,
    x: str | None = None,
    notify: Callable[[str], None] = warn,
) -> Figure:
    """Plot learning curves, one panel per environment; `footlight.plot` describes the parameters.

    metric: of metrics.jsonl, episodes.jsonl or evaluations.jsonl; None: the mean return of
    evaluations, or the return of training episodes if a run has no evaluation.
    notify: receives messages about runs that are skipped.

    A single run is drawn with its training episodes behind its evaluations; a group of fewer than
    five runs as mean and single runs, a larger one as mean and 95 % interval (Student t). The
    caller's figures, style and backend are not touched.
    Raises `UserError`, and `StorageFault` if `output` cannot be written.
    """
    output = None if output is None else user_path(output)
    if x not in (None, *AXES):
        raise UserError(f"x is {x!r} - it must be one of {', '.join(AXES)}")
    labels = [label] if isinstance(label, str) else label
    members, group_labels = find_members(runs, labels, notify)
    if output is not None:
        require_writable(output)
    if not members:
        raise UserError(
            "there is nothing to plot - no run has logged anything yet - train one of them further"
        )
    with plot_style():
        figure = _draw_figure(members, group_labels, metric, x)
        if output is not None:
            write_figure(figure, output)
    return figure


def require_writable(output: Path) -> None:
    """Raise `UserError` where no figure can be written: a wrong suffix, or no such folder."""
    if output.suffix.lower() not in SUFFIXES:
        raise UserError(
            f"{output} cannot be written - its suffix is not one of {', '.join(SUFFIXES)} - "
            "choose one of them"
        )
    if not output.absolute().parent.is_dir():
        raise UserError(
            f"{output} cannot be written - the folder {output.parent} does not exist - "
            "create it first"
        )


def write_figure(figure: Figure, output: Path) -> None:
    """Write the figure in the format of the suffix. Raises `StorageFault`."""
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
def plot_style() -> Iterator[None]:
    """Use Matplotlib's defaults with a few changes; restore the caller's style afterwards."""
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
        entries |= draw_panel(axes, groups, styles, metric, x or _default_axis(members), is_single)
        _set_title(axes, environment, groups, width)
    entries |= {
        text: entries.pop(text) for text in (SINGLE_RUNS, INTERVAL) if text in entries
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
    """Group runs by environment and label; `labels` replace the automatic ones."""
    environments: dict[str, list[Member]] = {}
    for member in members:
        environments.setdefault(str(member.run.config["environment"]), []).append(member)
    if len(environments) == 2 and "" in environments:
        # Sequences of returns have no environment; they are compared with the runs.
        environments = {next(filter(None, environments)): list(members)}
    panels = {environment: group(own) for environment, own in environments.items()}
    if labels is None:
        return panels
    names = list(dict.fromkeys(label for groups in panels.values() for label in groups))
    if len(labels) != len(names):
        found = "; ".join(names)
        raise UserError(
            f"{counted(len(labels), 'label')} for {counted(len(names), 'group')} ({found}) - "
            "give one for each, or for each run"
        )
    chosen = dict(zip(names, labels, strict=True))
    renamed: dict[str, dict[str, list[Member]]] = {}
    for environment, groups in panels.items():
        for name, own in groups.items():
            renamed.setdefault(environment, {}).setdefault(chosen[name], []).extend(own)
    return renamed


def _default_axis(members: Sequence[Member]) -> str:
    return (
        "episodes" if any(not member.run.config["environment"] for member in members) else "steps"
    )


def _set_title(
    axes: Axes, environment: str, groups: Mapping[str, Sequence[Member]], width: float
) -> None:
    algorithms = dict.fromkeys(
        member.algorithm
        for own in groups.values()
        for member in own
        if member.run.config["environment"]
    )
    names = ", ".join(algorithms) if 0 < len(algorithms) <= 3 else ""
    title = f"{names} on {environment}" if names and environment else environment or "returns"
    if environment and all(len(own) == 1 for own in groups.values()):
        title += " (1 seed each)" if len(groups) > 1 else " (1 seed)"
    axes.set_title(
        textwrap.fill(title, int(TITLE_LETTERS * width), break_on_hyphens=False), loc="left"
    )
