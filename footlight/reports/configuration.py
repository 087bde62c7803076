"""The configuration of runs as a table, what differs between them first."""

import json
from collections.abc import Sequence
from typing import Any

from footlight.reports.folders import ReportRun
from footlight.reports.grouping import Group
from footlight.reports.header import swatch
from footlight.reports.json_values import mapping
from footlight.reports.markup import Html, element, join, table

MAX_COLUMNS = 6  # groups with a column of their own
MAX_VALUES = 12  # of a field, where groups have no columns
_NESTED = ("config", "env_kwargs", "environment_config")
_MISSING = "–"


def configuration(groups: Sequence[Group]) -> Html:
    """What differs between groups, and then what is the same in all runs."""
    runs = [run for each in groups for run in each.runs]
    values = {run.folder: _flat(run) for run in runs}
    names = [*dict.fromkeys(name for flat in values.values() for name in flat)]
    if not names:
        return element("p", "No configuration is known.")
    texts = {
        name: {run.folder: values[run.folder].get(name, _MISSING) for run in runs} for name in names
    }
    differing = [name for name in names if len({*texts[name].values()}) > 1]
    same = [[name, texts[name][runs[0].folder]] for name in names if name not in differing]
    parts: list[Html | None] = []
    if len(runs) > 1:
        parts.append(element("h3", "What differs between these runs"))
        parts.append(_differences(groups, differing, texts) if differing
                     else element("p", "Nothing."))  # fmt: skip
        summary = element("summary", f"The same in all runs: {len(same)} values")
        parts.append(element("details", summary, table(["field", "value"], same)))
    else:
        parts.append(element("div", table(["field", "value"], same), class_="tall"))
    return join(*parts)


def _differences(
    groups: Sequence[Group], names: Sequence[str], texts: dict[str, dict[Any, str]]
) -> Html:  # fmt: skip
    rows: list[list[object]] = []
    if len(groups) <= MAX_COLUMNS:
        several = len({each.environment for each in groups}) > 1
        head: list[object] = ["field"]
        for each in groups:
            label = f"{each.label}, {each.environment}" if several else each.label
            head.append(join(swatch(each.color), " ", label))
        for name in names:
            cells = [_several([texts[name][run.folder] for run in each.runs]) for each in groups]
            rows.append([name, *cells])
        return table(head, rows, class_="differs")
    for name in names:
        counts: dict[str, int] = {}
        for text in texts[name].values():
            counts[text] = counts.get(text, 0) + 1
        shown = [f"{text} ({count})" for text, count in [*counts.items()][:MAX_VALUES]]
        more = [f"{len(counts) - MAX_VALUES} more"] if len(counts) > MAX_VALUES else []
        rows.append([name, ", ".join(shown + more)])
    return table(["field", "values (runs)"], rows, class_="differs")


def _several(texts: Sequence[str]) -> str:
    different = [*dict.fromkeys(texts)]
    more = f", {len(different) - MAX_VALUES} more" if len(different) > MAX_VALUES else ""
    return ", ".join(different[:MAX_VALUES]) + more


def _flat(run: ReportRun) -> dict[str, str]:
    """The values of a configuration by name, as texts; those of the algorithm first."""
    found = {}
    for nested in _NESTED:
        for name, value in mapping(run.config.get(nested)).items():
            found[name] = _text(value)
    for name, value in run.config.items():
        if name not in _NESTED or not isinstance(value, dict):
            found.setdefault(name, _text(value))
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
