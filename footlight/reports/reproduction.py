"""How exactly runs can be repeated, and with what: exactness, versions, commit and command."""

from collections.abc import Sequence
from typing import Any

from footlight.errors import counted, quoted
from footlight.reports.folders import ReportRun
from footlight.reports.json_values import mapping
from footlight.reports.markup import Html, element, join, table

MAX_COMMANDS = 60


def reproduction(runs: Sequence[ReportRun]) -> Html:
    """Exactness, machine and command of each run; runs of which all is the same together."""
    parts: list[Html] = []
    exact: dict[str, list[str]] = {}
    for run in runs:
        exact.setdefault(str(run.config.get("resume", "not recorded")), []).append(run.name)
    rows = [
        [_names(names, len(runs)), _exactness(text)] for text, names in exact.items()
    ]  # fmt: skip
    parts += [element("h3", "Exactness"), table(["runs", "a resumed run"], rows)]
    machines: dict[str, tuple[list[str], list[list[Any]]]] = {}
    for run in runs:
        facts = _machine(run)
        machines.setdefault(str(facts), ([], facts))[0].append(run.name)
    parts.append(element("h3", "Versions and machine"))
    for names, facts in machines.values():
        head = ["", _names(names, len(runs))] if len(machines) > 1 else ["", ""]
        parts.append(table(list(head), facts) if facts else element("p", "not recorded"))
    commands = dict.fromkeys(filter(None, map(_command, runs)))
    parts.append(element("h3", "Commands"))
    shown = [element("pre", command) for command in [*commands][:MAX_COMMANDS]]
    if len(commands) > MAX_COMMANDS:
        shown.append(element("p", f"{len(commands) - MAX_COMMANDS} more"))
    if not shown:
        shown = [element("p", "No command is recorded: trained from Python, or not by `train`.")]
    return join(*parts, *shown)


def _exactness(text: str) -> str:
    if text == "exact":
        return "exact: continues with the numbers of a run that was never interrupted"
    return text if text == "not recorded" else f"not exact: {text}"


def _machine(run: ReportRun) -> list[list[Any]]:
    machine = run.machine
    facts = [["commit", machine.get("commit")]]
    facts += [[name, version] for name, version in mapping(machine.get("versions")).items()]
    facts += [[name, machine.get(name)] for name in ("system", "cpu", "device", "compiled",
                                                     "threads")]  # fmt: skip
    return [[name, value] for name, value in facts if value is not None]


def _command(run: ReportRun) -> str:
    words = run.machine.get("command")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return ""
    return " ".join(["footlight", *map(quoted, words)])


def _names(names: Sequence[str], total: int) -> str:
    if len(names) == total:
        return "all runs" if total > 1 else names[0]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{counted(len(names), 'run')}: {', '.join(names[:5])}{more}"
