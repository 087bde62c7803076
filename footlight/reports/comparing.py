"""The comparison of algorithms: performance profiles and probabilities of improvement."""

from collections.abc import Sequence

import numpy as np

from footlight.reports.aggregates import (
    MIN_RUNS,
    THRESHOLDS,
    normalized,
    performance_profile,
    probability_of_improvement,
)
from footlight.reports.charts import Chart, Charts
from footlight.reports.grouping import Group, grouped_line
from footlight.reports.logs import Floats
from footlight.reports.markup import Html, element, join, table

MAX_COMPARED = 8  # configurations; more pairs than these make no readable table
_PAPER = "Agarwal et al. (2021), arxiv.org/abs/2108.13264"


def comparison(groups: Sequence[Group], charts: Charts) -> Html | None:
    """Compare groups over the environments that all of them have; None for one configuration."""
    labels = [*dict.fromkeys(each.label for each in groups)]
    if len(labels) < 2:
        return None
    raw, cut = _scores(groups)
    found = {label: own for label, own in raw.items() if own}
    shared = [name for name in dict.fromkeys(e.environment for e in groups)
              if all(name in own for own in found.values())]  # fmt: skip
    if len(found) < 2 or not shared:
        text = f"Performance profiles and probabilities of improvement need two configurations " \
            f"with at least {MIN_RUNS} evaluated runs each in one environment."  # fmt: skip
        return element("p", text)
    left_out = [label for label in labels if label not in found]
    note = f"{len(left_out)} with fewer than {MIN_RUNS} runs left out. " if left_out else ""
    if len(found) > MAX_COMPARED:
        note += f"Only the first {MAX_COMPARED} of {len(found)} are compared. "
        found = dict([*found.items()][:MAX_COMPARED])
    found = {label: {name: own[name] for name in shared} for label, own in found.items()}
    scores = normalized(found)
    where = shared[0] if len(shared) == 1 else f"{len(shared)} environments"
    about = f"Scores are mean returns of evaluations at step {cut:,} or just before, in {where}, " \
        "from 0 (the lowest of all runs in an environment) to 1 (the highest). " + note  # fmt: skip
    thresholds = np.linspace(0, 1, THRESHOLDS)
    groups_of = {each.label: each for each in groups}
    lines = [
        grouped_line(label, groups_of[label], performance_profile(own, thresholds))
        for label, own in scores.items()
    ]
    call = f"rliable.library.create_performance_profile(footlight.scores([...], at={cut}), tau)"
    figure = charts.figure(
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
    return join(figure, element("h3", "Probability of improvement"), _pairs(scores))


def _scores(groups: Sequence[Group]) -> tuple[dict[str, dict[str, Floats]], int]:
    """The scores of groups with enough runs, and the step that all of these runs have reached."""
    curves = [
        (each, [c for run in each.runs
                if (c := run.curve("evaluations", "mean_return")) is not None])
        for each in groups
    ]  # fmt: skip
    curves = [(each, own) for each, own in curves if len(own) >= MIN_RUNS]
    found: dict[str, dict[str, Floats]] = {each.label: {} for each in groups}
    if not curves:
        return found, 0
    cut = min(curve.x[-1] for _, own in curves for curve in own)
    for each, own in curves:
        scores = [curve.y[np.searchsorted(curve.x, cut, side="right") - 1]
                  for curve in own if curve.x[0] <= cut]  # fmt: skip
        if len(scores) >= MIN_RUNS:
            found[each.label][each.environment] = np.array(scores)
    return found, int(cut)


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
