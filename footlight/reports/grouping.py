"""Runs of a page in groups that differ in their seed only, each with a color of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from footlight.instruments.groups import Member, group
from footlight.reports.aggregates import Band, range_curve
from footlight.reports.charts import COLORED, Line
from footlight.reports.decimation import Points
from footlight.reports.folders import ReportRun
from footlight.reports.json_values import mapping
from footlight.runs.read import RunData

NUM_COLORS = 7
CurveOf = Callable[[ReportRun], Points | None]
MAX_SINGLE = 12  # runs of a chart that are drawn one by one; of more, only their groups


@dataclass(frozen=True)
class Group:
    """Runs in one environment whose configurations differ in nothing but the seed."""

    label: str
    environment: str
    runs: Sequence[ReportRun]
    color: int
    """Index of a color; -1: gray, as there are too many groups."""
    style: str

    @property
    def text(self) -> str:
        """The label, with the number of runs."""
        return self.label if len(self.runs) == 1 else f"{self.label} ({len(self.runs)} runs)"


def make_groups(runs: Sequence[ReportRun]) -> list[Group]:
    """Group runs as `footlight plot` does, and give each of them its group's label and color."""
    found: list[tuple[str, str, list[ReportRun]]] = []
    for environment in dict.fromkeys(run.environment for run in runs):
        own = [run for run in runs if run.environment == environment]
        by_folder = {run.folder: run for run in own}
        for label, members in group([_member(run) for run in own]).items():
            grouped = [by_folder[member.run.folder] for member in members]
            found.append((label, environment, grouped))
    labels = [*dict.fromkeys(label for label, _, _ in found)]
    if len(labels) > COLORED:  # the best ones are worth a color
        labels.sort(key=lambda label: -max(_score(each[2]) for each in found if each[0] == label))
    groups = []
    for label, environment, own in found:
        place = labels.index(label)
        color, style = place % NUM_COLORS, "dashed" if place >= NUM_COLORS else "line"
        if place >= COLORED:
            color, style = -1, "thin"
        groups.append(Group(label, environment, own, color, style))
        for run in own:
            run.label, run.color = label, color
    if len(groups) == 1 and 1 < len(runs) < NUM_COLORS:  # then colors can tell the runs apart
        for place, run in enumerate(groups[0].runs):
            run.color = place
        return [replace(groups[0], color=NUM_COLORS - 1)]
    return groups


def _score(runs: Sequence[ReportRun]) -> float:
    returns = [run.last_return for run in runs if run.last_return is not None]
    return float(np.mean(returns)) if returns else -np.inf


def _member(run: ReportRun) -> Member:
    """A run for `group`, which expects objects where a damaged file may have anything."""
    config = dict(run.config)
    for name in ("config", "environment_config", "env_kwargs"):
        config[name] = dict(mapping(config.get(name)))
    config |= {"algorithm": run.algorithm, "environment": run.environment}
    return Member(RunData(run.folder, config, [], [], [], None))


def lines_of(groups: Sequence[Group], curve_of: CurveOf) -> list[Line]:
    """The lines of a quantity: one for each run, or for each group if there are many runs."""
    lines: list[Line] = []
    are_single = sum(len(each.runs) for each in groups) <= MAX_SINGLE
    several = len({each.environment for each in groups}) > 1
    for each in groups:
        label = f"{each.label}, {each.environment}" if several else each.label
        curves = [(run, curve) for run in each.runs if (curve := curve_of(run)) is not None]
        if are_single or len(curves) == 1:
            lines += [
                Line(run_label(label, each, run), run.color, curve, each.style)
                for run, curve in curves
            ]
        elif curves and (band := range_curve([curve for _, curve in curves])) is not None:
            lines.append(grouped_line(f"{label}, mean of {len(curves)} runs", each, band))
    return sorted(lines, key=lambda line: line.color >= 0)  # gray ones lie below


def column(log: str, name: str) -> CurveOf:
    """The function from a run to a column of one of its logs."""
    return lambda run: run.curve(log, name)


def grouped_line(label: str, group: Group, band: Band) -> Line:
    """The line of a group's band."""
    return Line(label, group.color, Points(band.x, band.mean), group.style, band)


def run_label(label: str, group: Group, run: ReportRun) -> str:
    """A label for one of a group's runs."""
    if len(group.runs) == 1:
        return label
    seeds = [each.config.get("seed") for each in group.runs]
    seed = run.config.get("seed")
    return f"{label}, seed {seed}" if seeds.count(seed) == 1 else f"{label}, {run.name}"
