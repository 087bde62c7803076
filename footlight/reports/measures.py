"""Losses, metrics and diagnostics as small charts, with what the doctor found in them."""

from collections.abc import Sequence

from footlight.errors import quoted
from footlight.reports.charts import Chart, Charts, Line, Mark
from footlight.reports.grouping import Group, column, lines_of
from footlight.reports.markup import Html, element, join
from footlight.runs.quantities import describe

MAX_CHARTS = 48
_TITLES = {
    "value": "Value against return",
    "policy": "Policy and actions",
    "optimization": "Optimization",
    "data": "Data",
    "other": "Other diagnostics",
}
_NOT_SHOWN = {"update", "time_s", "step"}


def diagnostics(
    groups: Sequence[Group], charts: Charts, marks: Sequence[tuple[str | None, Mark]], given: str
) -> Html:  # fmt: skip
    """Charts of `diagnostics.jsonl`, by group. marks: each with the column that shows it."""
    names = _columns(groups, "diagnostics")
    if not names:
        text = "These runs have no diagnostics.jsonl, which the training writes at each " \
            "evaluation: action distributions and value against return are not known."  # fmt: skip
        return element("p", text)
    by_group: dict[str, list[str]] = {group: [] for group in _TITLES}
    for name in names:
        known = describe(name)
        by_group["other" if known is None else known.group].append(name)
    parts: list[Html] = []
    for group, own in by_group.items():
        if not own:
            continue
        figures = []
        if {"critic_value", "critic_return"} <= {*own}:
            figures.append(charts.figure(_value_and_return(groups, marks, given)))
            own = [name for name in own if name not in ("critic_value", "critic_return")]
        figures += _figures(groups, charts, "diagnostics", own, marks, given)
        parts += [element("h3", _TITLES[group]), element("div", *figures, class_="charts")]
    return join(*parts)


def metrics(
    groups: Sequence[Group], charts: Charts, marks: Sequence[tuple[str | None, Mark]], given: str
) -> Html:  # fmt: skip
    """Charts of `metrics.jsonl`: losses first."""
    names = sorted(_columns(groups, "metrics"), key=lambda name: ("loss" not in name, name))
    if not names:
        return element("p", "No metrics have been logged yet.")
    figures = _figures(groups, charts, "metrics", names, marks, given)
    return element("div", *figures, class_="charts")


def _columns(groups: Sequence[Group], log: str) -> list[str]:
    found = {name for each in groups for run in each.runs for name in run.curves.get(log, {})}
    return sorted(found - _NOT_SHOWN)


def _figures(
    groups: Sequence[Group], charts: Charts, log: str, names: Sequence[str],
    marks: Sequence[tuple[str | None, Mark]], given: str,
) -> list[Html]:  # fmt: skip
    figures = []
    for name in names[:MAX_CHARTS]:
        known = describe(name) if log == "diagnostics" else None
        title = name.replace("_", " ") if known is None else known.label
        if known is not None and "." in name:
            title = f"{name.partition('.')[0].replace('_', ' ')}: {title}"
        chart = Chart(
            title,
            lines_of(groups, column(log, name)),
            meaning="" if known is None else f"{known.meaning}.",
            how=f"footlight plot {given} --metric {quoted(name)}",
            marks=[mark for shown, mark in marks if shown == name],
        )
        figures.append(charts.figure(chart))
    if len(names) > MAX_CHARTS:
        figures.append(element("p", f"{len(names) - MAX_CHARTS} more columns are not drawn."))
    return figures


def _value_and_return(
    groups: Sequence[Group], marks: Sequence[tuple[str | None, Mark]], given: str
) -> Chart:
    value = lines_of(groups, column("diagnostics", "critic_value"))
    followed = lines_of(groups, column("diagnostics", "critic_return"))
    lines = [Line(f"{line.label}: value", line.color, line.points, "line") for line in value]
    lines += [Line(f"{line.label}: return", line.color, line.points, "dashed") for line in followed]
    return Chart(
        "critic's value, and the return that followed",
        lines,
        meaning="Mean over the states of evaluation episodes, in units of discounted return. Solid:"
        " what the critic predicts; dashed: what followed.",
        how=f"footlight plot {given} --metric critic_value",
        marks=[mark for shown, mark in marks if shown in ("critic_bias", "critic_value")],
    )
