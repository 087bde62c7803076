"""Draw the learning curves of the documentation from the reports in `benchmarks/results`:
`python docs/curves.py` writes `docs/images/*.svg`.

A report holds the mean return of several seeds at each step, with its 95 % interval, and the
command that measured it. Same report, same file: nothing in an image depends on when it was drawn.
"""

import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt

from footlight.instruments.colors import COLORS

FOLDER = Path(__file__).parent
RESULTS = FOLDER.parent / "benchmarks" / "results"
ROW = re.compile(r"^([\d,]+) +(-?[\d.]+) \[(-?[\d.]+), (-?[\d.]+)\]$", re.MULTILINE)
RANGES = {"CartPole-v1": (0, 510), "Pendulum-v1": (-1700, 0)}

ALGORITHMS = {
    "sac": ["pendulum-sac"],
    "td3": ["pendulum-td3"],
    "ddpg": ["pendulum-ddpg"],
    "ppo": ["cartpole-ppo", "pendulum-ppo"],
    "a2c": ["cartpole-a2c", "pendulum-a2c"],
    "impala": ["cartpole-impala"],
    "actor-critic": ["cartpole-actor-critic"],
    "reinforce": ["cartpole-reinforce"],
    "replay-actor-critic": ["cartpole-replay-actor-critic-300k"],
    "stream-ac": ["cartpole-stream-ac"],
}
"""The reports of each algorithm's figure, one panel each."""

PENDULUM = ["sac", "td3", "ddpg", "ppo", "a2c"]
CARTPOLE = ["ppo", "replay-actor-critic-300k", "reinforce", "actor-critic", "a2c", "stream-ac"]


class Report(NamedTuple):
    """A learning curve: mean and interval of the return over seeds, at each step."""

    algorithm: str
    environment: str
    seeds: int
    steps: list[int]
    means: list[float]
    lows: list[float]
    highs: list[float]


def read(name: str) -> Report:
    """The curve in a report of `benchmarks/learning.py`."""
    text = (RESULTS / f"{name}.txt").read_text(encoding="utf-8")
    head = re.match(r"(\S+) on (\S+), [\d,]+ steps, .*?(\d+) seeds", text)
    assert head is not None, name
    rows = ROW.findall(text)
    columns: list[Any] = [
        [float(cell.replace(",", "")) for cell in column] for column in zip(*rows, strict=True)
    ]
    steps = [int(step) for step in columns[0]]
    return Report(head[1], head[2], int(head[3]), steps, *columns[1:])


def draw(axes: Any, report: Report, color: str, label: str, alpha: float = 0.2) -> None:
    """One curve with its interval."""
    axes.plot(report.steps, report.means, color=color, label=label, linewidth=1.8)
    axes.fill_between(
        report.steps, report.lows, report.highs, color=color, alpha=alpha, linewidth=0
    )


def decorate(axes: Any, environment: str, title: str) -> None:
    """Labels, range and grid of a panel."""
    axes.set(title=title, xlabel="environment steps", ylabel="return of an evaluation")
    axes.set_ylim(*RANGES[environment])
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: Any, name: str) -> None:
    """Write an image, with text as text and nothing that changes from one drawing to the next."""
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        path = FOLDER / "images" / f"{name}.svg"
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    print(path.relative_to(FOLDER))


def algorithm_figure(algorithm: str) -> None:
    """The figure of one algorithm's page."""
    names = ALGORITHMS[algorithm]
    figure, panels = plt.subplots(
        1, len(names), figsize=(5.2 * len(names), 3.2), squeeze=False, layout="constrained"
    )
    for axes, name in zip(panels[0], names, strict=True):
        report = read(name)
        draw(axes, report, COLORS[0], algorithm)
        title = f"{algorithm}, {report.environment}, {report.seeds} seeds"
        decorate(axes, report.environment, title)
        axes.ticklabel_format(axis="x", style="plain")
        axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
        axes.xaxis.set_major_locator(plt.MaxNLocator(5))
    save(figure, algorithm)


def comparison_figure(environment: str, prefix: str, names: list[str]) -> None:
    """All algorithms in one environment, over the logarithm of the steps."""
    figure, axes = plt.subplots(figsize=(7, 3.8), layout="constrained")
    for color, name in zip(COLORS, names, strict=False):
        report = read(f"{prefix}-{name}")
        draw(axes, report, color, report.algorithm, alpha=0.1)
    decorate(axes, environment, f"{environment}, mean and 95 % interval of 5 seeds")
    axes.set_xscale("log")
    axes.legend(frameon=False, fontsize="small")
    save(figure, prefix)


def main() -> int:
    """Draw all figures."""
    for algorithm in ALGORITHMS:
        algorithm_figure(algorithm)
    comparison_figure("Pendulum-v1", "pendulum", PENDULUM)
    comparison_figure("CartPole-v1", "cartpole", CARTPOLE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
