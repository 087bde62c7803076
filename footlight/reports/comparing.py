"""The comparison of algorithms: performance profiles and probabilities of improvement."""

from collections.abc import Mapping, Sequence

import numpy as np

from footlight.errors import counted
from footlight.reports.aggregates import (
    MIN_RUNS,
    THRESHOLDS,
    normalized,
    performance_profile,
    probability_of_improvement,
)
from footlight.reports.charts import Chart, Charts
from footlight.reports.decimation import Points
from footlight.reports.folders import ReportRun
from footlight.reports.grouping import Group, grouped_line
from footlight.reports.logs import Floats
from footlight.reports.markup import Html, element, join, table

MAX_COMPARED = 8  # configurations; more pairs than these make no readable table
MAX_NAMED = 6  # environments with their steps, and runs that are left out
EARLY = 0.5  # of the median last step of a configuration; runs that end before it are left out
_PAPER = "Agarwal et al. (2021), arxiv.org/abs/2108.13264"


def comparison(groups: Sequence[Group], charts: Charts) -> Html | None:
    """Compare groups over the environments that all of them have; None for one configuration."""
    labels = [*dict.fromkeys(each.label for each in groups)]
    if len(labels) < 2:
        return None
    raw, cuts, early = _scores(groups)
    found = {label: own for label, own in raw.items() if own}
    shared = [name for name in dict.fromkeys(e.environment for e in groups)
              if all(name in own for own in found.values())]  # fmt: skip
    note = _early(early)
    if len(found) < 2 or not shared:
        text = f"Performance profiles and probabilities of improvement need two configurations " \
            f"with at least {MIN_RUNS} evaluated runs each in one environment. {note}"  # fmt: skip
        return element("p", text)
    left_out = [label for label in labels if label not in found]
    note += f"{len(left_out)} with fewer than {MIN_RUNS} runs left out. " if left_out else ""
    if len(found) > MAX_COMPARED:
        note += f"Only the first {MAX_COMPARED} of {len(found)} are compared. "
        found = dict([*found.items()][:MAX_COMPARED])
    found = {label: {name: own[name] for name in shared} for label, own in found.items()}
    scores = normalized(found)
    figure = _profiles(scores, {name: cuts[name] for name in shared}, note, groups, charts)
    return join(figure, element("h3", "Probability of improvement"), _pairs(scores))


def _profiles(
    scores: dict[str, dict[str, Floats]], cuts: Mapping[str, int], note: str,
    groups: Sequence[Group], charts: Charts,
) -> Html:  # fmt: skip
    thresholds = np.linspace(0, 1, THRESHOLDS)
    groups_of = {each.label: each for each in groups}
    lines = [
        grouped_line(label, groups_of[label], performance_profile(own, thresholds))
        for label, own in scores.items()
    ]
    about = f"Scores are mean returns of evaluations {_where(cuts)}, from 0 (the lowest of all " \
        f"runs in an environment) to 1 (the highest). {note}"  # fmt: skip
    steps = {*cuts.values()}
    at = f"{min(steps)}" if len(steps) == 1 else "STEP"
    each = "" if len(steps) == 1 else "  # for each environment, at its step"
    call = (
        f"rliable.library.create_performance_profile(footlight.scores([...], at={at}), tau){each}"
    )
    return charts.figure(
        Chart(
            "Performance profiles",
            lines,
            meaning="Share of runs with a score above τ; higher is better. The band is the 95 % "
            f"interval of a stratified bootstrap. {about}Source: {_PAPER}.",
            how=call,
            x="score τ",
            y="share of runs",
            is_large=True,
        )
    )


def _where(cuts: Mapping[str, int]) -> str:
    """The steps of the evaluations that are compared, in words."""
    if len(cuts) == 1 or len({*cuts.values()}) == 1:
        name, cut = next(iter(cuts.items()))
        where = name if len(cuts) == 1 else f"{len(cuts)} environments"
        return f"at step {cut:,} or just before, in {where}"
    named = [f"{name}: {cut:,}" for name, cut in [*cuts.items()][:MAX_NAMED]]
    more = [f"{len(cuts) - MAX_NAMED} more"] if len(cuts) > MAX_NAMED else []
    return f"at the last step that all runs in an environment have reached, or just before " \
        f"({', '.join(named + more)})"  # fmt: skip


def _early(runs: Sequence[ReportRun]) -> str:
    """A sentence about runs that are left out, as they ended early."""
    if not runs:
        return ""
    names = [run.name for run in runs[:MAX_NAMED]]
    more = [f"{len(runs) - MAX_NAMED} more"] if len(runs) > MAX_NAMED else []
    return f"{counted(len(runs), 'run')} left out, whose last evaluation is before half of the " \
        f"median last step of the configuration: {', '.join(names + more)}. "  # fmt: skip


def _scores(
    groups: Sequence[Group],
) -> tuple[dict[str, dict[str, Floats]], dict[str, int], list[ReportRun]]:
    """The scores of groups with enough runs, the step of each environment that all of these runs
    have reached, and the runs that are left out as they ended early."""
    found: dict[str, dict[str, Floats]] = {each.label: {} for each in groups}
    cuts: dict[str, int] = {}
    early: list[ReportRun] = []
    for environment in dict.fromkeys(each.environment for each in groups):
        curves: dict[str, list[Points]] = {}
        for each in groups:
            if each.environment == environment:
                own, left_out = _long_enough(each)
                early += left_out
                if len(own) >= MIN_RUNS:
                    curves[each.label] = own
        cut = min((curve.x[-1] for own in curves.values() for curve in own), default=0)
        cuts[environment] = int(cut)
        for label, own in curves.items():
            scores = [curve.y[np.searchsorted(curve.x, cut, side="right") - 1]
                      for curve in own if curve.x[0] <= cut]  # fmt: skip
            if len(scores) >= MIN_RUNS:
                found[label][environment] = np.array(scores)
    return found, cuts, early


def _long_enough(group: Group) -> tuple[list[Points], list[ReportRun]]:
    """The evaluations of a group's runs, and the runs that ended too early to be compared."""
    pairs = [(run, curve) for run in group.runs
             if (curve := run.curve("evaluations", "mean_return")) is not None]  # fmt: skip
    if not pairs:
        return [], []
    least = EARLY * float(np.median([curve.x[-1] for _, curve in pairs]))
    kept = [curve for _, curve in pairs if curve.x[-1] >= least]
    return kept, [run for run, curve in pairs if curve.x[-1] < least]


def _pairs(scores: dict[str, dict[str, Floats]]) -> Html:
    rows = []
    for one, ours in scores.items():
        row: list[object] = [element("b", one)]
        for other, theirs in scores.items():
            if one == other:
                row.append("")
                continue
            found = probability_of_improvement(ours, theirs)
            text = f"{found.mean:.0%} ({found.low:.0%} to {found.high:.0%})"
            is_clear = found.low > 0.5 or found.high < 0.5
            row.append(element("b", text) if is_clear else text)
        rows.append(row)
    text = "How probably a run of the row's configuration has a higher score than one of the " \
        "column's, with the 95 % interval of a stratified bootstrap; bold where the interval " \
        f"leaves out 50 %. Source: {_PAPER}."  # fmt: skip
    return join(table(["", *scores], rows), element("p", text, class_="note"))
