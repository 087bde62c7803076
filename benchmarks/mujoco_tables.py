"""The table of `mujoco_suite.py`, and what is made of it: report and images."""

import csv
import io
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator
from mujoco_runs import EPISODES, Job, Row, version, write_atomically
from report import provenance, publish
from report import table as text_table

from footlight.instruments.colors import COLORS
from footlight.instruments.panels import step_label
from footlight.instruments.plot import DASHES, LEGEND_LETTERS, plot_style, write_figure
from footlight.instruments.scores import Floats, Interval, Scores

GRID = 200  # points of a curve over CPU time
ROWS = ("environment", "method", "seed", "step", "return", "cpu_seconds")
RUNS = ("environment", "method", "seed", "steps", "commit", "machine", "date", "values")


class Key(NamedTuple):
    """Names a run in the table."""

    environment: str
    method: str
    seed: int


class Table:
    """The evaluations of all finished runs, in two CSV files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[Key, list[Row]] = {}
        """The evaluations of each run, by step."""
        self.runs: dict[Key, dict[str, Any]] = {}
        """What made each run: the columns `RUNS`."""
        for line in _read(folder / "mujoco.csv"):
            row = (int(line["step"]), float(line["return"]), float(line["cpu_seconds"]))
            self.rows.setdefault(_key(line), []).append(row)
        for rows in self.rows.values():
            rows.sort()
        for line in _read(folder / "mujoco-runs.csv"):
            self.runs[_key(line)] = dict(line)

    def steps(self, key: Key) -> int:
        """The last step of a run; 0 if the table does not have it."""
        return self.rows[key][-1][0] if self.rows.get(key) else 0

    def has(self, job: Job) -> bool:
        """Whether the table has this run, to these steps or more."""
        return self.steps(Key(job.environment, job.method, job.seed)) >= job.steps

    def final(self, job: Job) -> float:
        """The final return of a run."""
        return self.rows[Key(job.environment, job.method, job.seed)][-1][1]

    def collect(self, work: Path) -> None:
        """Add the finished runs in `work`. A run to more steps replaces a shorter one."""
        for path in work.glob("*/*/*/finished.json"):
            found = json.loads(path.read_text(encoding="utf-8"))
            key = _key(found["run"])
            if found["rows"] and found["run"]["steps"] > self.steps(key):
                self.rows[key] = sorted(tuple(row) for row in found["rows"])
                self.runs[key] = found["run"]

    def write(self) -> None:
        """Write both files, sorted."""
        lines = [
            (*key, step, f"{mean:.3f}", f"{seconds:.1f}")
            for key in sorted(self.rows)
            for step, mean, seconds in self.rows[key]
        ]
        _write(self.folder / "mujoco.csv", ROWS, lines)
        runs = [[self.runs[key].get(name, "") for name in RUNS] for key in sorted(self.runs)]
        _write(self.folder / "mujoco-runs.csv", RUNS, runs)


def _key(line: Mapping[str, Any]) -> Key:
    return Key(line["environment"], line["method"], int(line["seed"]))


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


def _write(path: Path, header: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    write_atomically(path, text.getvalue())


class Group(NamedTuple):
    """The runs of a method in an environment, up to the same number of steps."""

    steps: int
    seeds: tuple[int, ...]
    runs: list[list[Row]]
    """The evaluations of each seed."""


class Curve(NamedTuple):
    """Interquartile mean over seeds, with its 95 % interval unless there is one seed only."""

    x: Floats
    mean: Floats
    low: Floats | None
    high: Floats | None


def groups_of(table: Table) -> dict[str, dict[str, Group]]:
    """The groups by environment and label, which is the method's name.

    Where a method has runs of several lengths, its labels say of how many steps. A longer run that
    was evaluated after as many steps as shorter ones is among them, too, up to there.
    """
    kinds = {(key.environment, key.method, table.steps(key)) for key in table.rows}
    lengths: dict[str, set[int]] = {}
    for _, method, steps in kinds:
        lengths.setdefault(method, set()).add(steps)
    found: dict[str, dict[str, Group]] = {}
    for environment, method, steps in sorted(kinds):
        runs = {
            key.seed: [row for row in rows if row[0] <= steps]
            for key, rows in sorted(table.rows.items())
            if (key.environment, key.method) == (environment, method)
            and any(row[0] == steps for row in rows)
        }
        label = method if len(lengths[method]) == 1 else f"{method}, {step_label(steps)} steps"
        found.setdefault(environment, {})[label] = Group(steps, tuple(runs), [*runs.values()])
    return found


def curve_over_steps(runs: Sequence[Sequence[Row]]) -> Curve:
    """The curve over environment steps, at those where all runs were evaluated."""
    returns = [{step: mean for step, mean, _ in run} for run in runs]
    steps = sorted(set.intersection(*map(set, returns)))
    return _curve(np.array(steps, np.float64), [[run[step] for step in steps] for run in returns])


def curve_over_cpu(runs: Sequence[Sequence[Row]]) -> Curve:
    """The curve over CPU minutes, from the first to the last that all runs have reached."""
    minutes = [np.array([seconds for _, _, seconds in run]) / 60 for run in runs]
    low, high = max(each[0] for each in minutes), min(each[-1] for each in minutes)
    grid = np.linspace(low, max(low, high), GRID)
    means = [[mean for _, mean, _ in run] for run in runs]
    pairs = zip(minutes, means, strict=True)
    return _curve(grid, [np.interp(grid, each, mean) for each, mean in pairs])


def _curve(x: Floats, returns_RC: Sequence[Any]) -> Curve:
    values_RC = np.array(returns_RC, np.float64)
    if len(values_RC) == 1:
        return Curve(x, values_RC[0], None, None)
    return Curve(x, *interquartile_mean(values_RC))


def interquartile_mean(values_RC: Floats) -> Interval:
    """The interquartile mean over runs at each of C points, with its 95 % bootstrap interval."""
    scores = Scores({"": values_RC[:, None, :]}, ("",), {"": tuple(range(len(values_RC)))}, None)
    return scores.interquartile_mean()[""]


def draw(groups: Mapping[str, Mapping[str, Group]], is_over_cpu: bool, output: Path) -> None:
    """Draw a panel for each environment, with a line for each group."""
    labels = sorted({label for own in groups.values() for label in own})
    styles = dict(
        zip(labels, itertools.cycle((c, d) for d in DASHES for c in COLORS), strict=False)
    )
    columns = 2 if len(groups) == 4 else min(len(groups), 3)
    lines = -(-len(groups) // columns)
    with plot_style():
        figure = Figure(layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
        FigureCanvasAgg(figure)
        entries: dict[str, Artist] = {}
        for index, (environment, own) in enumerate(groups.items()):
            axes = figure.add_subplot(lines, columns, index + 1)
            for label, group in own.items():
                entries[label] = _draw_line(axes, group, styles[label], is_over_cpu)
            axes.set_title(environment, loc="left")
            axes.set_xlabel("CPU time (minutes)" if is_over_cpu else "environment steps")
            axes.set_ylabel("return (IQM over seeds)" if index % columns == 0 else "")
            axes.set_xlim(left=0)
            if not is_over_cpu:
                axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
                axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: step_label(value)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        width = max(4.4 * columns, 6.4)
        across = max(
            min(len(labels), int(width * LEGEND_LETTERS) // (max(map(len, labels)) + 8)), 1
        )
        ordered = [entries[label] for label in labels]
        figure.legend(ordered, labels, loc="outside lower left", ncols=across)
        figure.set_size_inches(width, 3.6 * lines + 0.25 * -(-len(labels) // across))
        write_figure(figure, output)


def _draw_line(axes: Axes, group: Group, style: tuple[str, str], is_over_cpu: bool) -> Artist:
    curve = (curve_over_cpu if is_over_cpu else curve_over_steps)(group.runs)
    color, dashes = style
    if curve.low is not None and curve.high is not None:
        axes.fill_between(curve.x, curve.low, curve.high, color=color, alpha=0.18, linewidth=0)
    return axes.plot(curve.x, curve.mean, color=color, linestyle=dashes, lw=2)[0]


def report(table: Table, groups: Mapping[str, Mapping[str, Group]]) -> list[str]:
    """The lines of the report: final returns of all seeds, and what made them."""
    lines = [
        f"Mean return of {EPISODES} deterministic episodes after the last step, by seed; mean and",
        "interquartile mean (IQM) over seeds, with the 95 % stratified bootstrap interval of the",
        "latter; environment steps per CPU second. Fields of each run are in mujoco-runs.csv.",
    ]
    for environment, own in groups.items():
        seeds = sorted({seed for group in own.values() for seed in group.seeds})
        rows = [[environment, "steps", *map(str, seeds), "mean", "IQM", "interval", "steps/CPU s"]]
        for label, group in own.items():
            finals = {seed: run[-1][1] for seed, run in zip(group.seeds, group.runs, strict=True)}
            values = np.array([*finals.values()])
            cells = [f"{finals[seed]:.0f}" if seed in finals else "-" for seed in seeds]
            middle = [f"{values[0]:.1f}", "-"]
            if len(values) > 1:
                mean, low, high = (float(each[0]) for each in interquartile_mean(values[:, None]))
                middle = [f"{mean:.1f}", f"[{low:.1f}, {high:.1f}]"]
            speed = len(values) * group.steps / max(sum(run[-1][2] for run in group.runs), 1e-9)
            steps = step_label(group.steps)
            rows.append([label, steps, *cells, f"{values.mean():.1f}", *middle, f"{speed:.0f}"])
        lines += ["", *text_table(rows)]
    names = {"runs at": "commit", "runs on": "machine", "runs of": "date"}
    packages = ("torch", "gymnasium", "mujoco", "numpy")
    counts = {title: Counter(run.get(name, "") for run in table.runs.values())
              for title, name in names.items()}  # fmt: skip
    lines += ["", *provenance({"versions": {name: version(name) for name in packages}})]
    for title, count in counts.items():
        lines.append(
            f"{title:<9} {', '.join(f'{each} ({n})' for each, n in sorted(count.items()))}"
        )
    return lines


def publish_all(table: Table) -> None:
    """Print and write the report, and write the images."""
    groups = groups_of(table)
    publish(report(table, groups), table.folder / "mujoco.txt")
    if groups:
        draw(groups, False, table.folder / "mujoco-steps.png")
        draw(groups, True, table.folder / "mujoco-cpu.png")
