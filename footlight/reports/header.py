"""The top of a report: which runs these are, how they ended, and what the doctor found."""

from collections.abc import Sequence
from typing import get_args

from footlight.doctor import Finding
from footlight.doctor.findings import Severity
from footlight.errors import counted
from footlight.reports.charts import Mark
from footlight.reports.folders import ReportRun
from footlight.reports.markup import Html, capitalized, element, join, number, table

MAX_FINDINGS = 40  # checks with findings
MAX_EVIDENCE = 10  # findings of one check in the run that is shown
MAX_NAMED = 20  # runs with a finding
MAX_MARKED = 3  # runs whose findings are marked in charts; with more, lines would hide the curves


def title(runs: Sequence[ReportRun]) -> str:
    """The title of the page."""
    algorithms = [*dict.fromkeys(run.algorithm for run in runs)]
    environments = [*dict.fromkeys(run.environment for run in runs)]
    what = ", ".join(algorithms) if len(algorithms) <= 3 else f"{len(algorithms)} algorithms"
    where = environments[0] if len(environments) == 1 else f"{len(environments)} environments"
    return f"{what} on {where}" + (f", {len(runs)} runs" if len(runs) > 1 else "")


def header(runs: Sequence[ReportRun], titled: str) -> Html:
    """Title, the doctor's verdict, and the runs."""
    return element(
        "header",
        element("button", "light / dark", id="theme", type="button"),
        element("h1", titled),
        _verdict(runs),
        _runs(runs),
    )


def _verdict(runs: Sequence[ReportRun]) -> Html:
    examined = [run for run in runs if run.checkup is not None]
    if not examined:
        return element("p", "The doctor has not examined this.", class_="verdict note")
    if len(runs) == 1:
        checkup = examined[0].checkup
        assert checkup is not None
        state = _worst(checkup.findings)
        return element("p", "Doctor: ", checkup.verdict, class_=f"verdict {state}")
    every = [finding for run in examined if run.checkup for finding in run.checkup.findings]
    ill = sum(not run.checkup.is_healthy for run in examined if run.checkup)
    text = f"Doctor: {ill} of {counted(len(examined), 'examined run')} with findings" if ill else (
        f"Doctor: {counted(len(examined), 'run')} examined, no findings")  # fmt: skip
    return element("p", text, class_=f"verdict {_worst(every)}")


def _worst(findings: Sequence[Finding]) -> str:
    found = {finding.severity for finding in findings} - {"note"}
    return next((severity for severity in get_args(Severity) if severity in found), "healthy")


def swatch(color: int) -> Html:
    """The color of a group, as in the charts."""
    return element("span", class_=f"swatch c{color if color >= 0 else 'gray'}")


def _runs(runs: Sequence[ReportRun]) -> Html:
    if len(runs) == 1:
        run = runs[0]
        facts = [
            ("environment", run.environment),
            ("algorithm", run.algorithm),
            ("seed", run.config.get("seed", "–")),
            ("status", _state(run)),
            ("steps", _steps(run)),
            ("last return", number(run.last_return)),
            ("folder", run.name),
        ]
        rows = [element("div", element("dt", name), element("dd", text)) for name, text in facts]
        return element("dl", *rows)
    head = ["", "run", "environment", "configuration", "seed", "status", "steps", "last return",
            "doctor"]  # fmt: skip
    rows_ = [
        [swatch(run.color), run.name, run.environment, run.label, run.config.get("seed", "–"),
         _state(run), _steps(run), number(run.last_return),
         run.checkup.verdict if run.checkup is not None else "–"]
        for run in runs
    ]  # fmt: skip
    return element("div", table(list(head), rows_, class_="runs"), class_="tall")


def _state(run: ReportRun) -> Html:
    reason = run.result.get("stop_reason") if run.state == run.result.get("status") else None
    return join(
        element("span", run.state, class_=f"state {run.state if run.state.isalpha() else ''}"),
        f": {reason}" if isinstance(reason, str) and reason else None,
    )


def _steps(run: ReportRun) -> str:
    wanted = run.config.get("steps")
    whole = f" of {wanted:,}" if type(wanted) is int and abs(wanted) < 10**18 else ""
    return f"{run.step:,}{whole}"


def findings(runs: Sequence[ReportRun]) -> Html:
    """The doctor's findings, ranked; those of several runs together by check."""
    by_check: dict[str, list[tuple[ReportRun, Finding]]] = {}
    best: dict[
        str, tuple[bool, int]
    ] = {}  # in any run: the doctor's rank, notes of several runs last
    for run in runs:
        for rank, finding in enumerate(run.checkup.findings if run.checkup is not None else ()):
            by_check.setdefault(finding.check, []).append((run, finding))
            place = len(runs) > 1 and finding.severity == "note", rank
            best[finding.check] = min(best.get(finding.check, place), place)
    order = sorted(by_check, key=lambda check: (*best[check], -len(_distinct(by_check[check]))))
    cards = [_card(by_check[check], len(runs)) for check in order[:MAX_FINDINGS]]
    not_judged = dict.fromkeys(
        sentence for run in runs if run.checkup is not None for sentence in run.checkup.not_judged
    )
    if not cards:
        are_examined = any(run.checkup is not None for run in runs)
        cards = [element("p", "No findings." if are_examined else "Not examined: see the end.")]
    if not_judged:
        items = (element("li", sentence) for sentence in not_judged)
        summary = element("summary", f"{counted(len(not_judged), 'group')} of checks not judged")
        cards.append(element("details", summary, element("ul", *items)))
    return join(*cards)


def _card(own: Sequence[tuple[ReportRun, Finding]], num_runs: int) -> Html:
    """The findings of one check: what it means, and the numbers of the first run that has it."""
    run, finding = own[0]
    runs = _distinct(own)
    shown = [each for other, each in own if other is run]
    about = f"{run.name}: " if len(runs) > 1 else ""
    evidence = [
        element("p", f"{about}{each.evidence}", f" (since step {each.step:,})"
                if each.step is not None else None)
        for each in shown[:MAX_EVIDENCE]
    ]  # fmt: skip
    if len(shown) > MAX_EVIDENCE:
        evidence.append(element("p", f"and {len(shown) - MAX_EVIDENCE} more"))
    return element(
        "article",
        element(
            "h3", element("span", finding.severity, class_="badge"), " ", capitalized(finding.title)
        ),
        *evidence,
        element("p", capitalized(finding.meaning)),
        element("p", element("b", "What to do: "), finding.remedy),
        _having(runs, [each for _, each in own], num_runs) if num_runs > 1 else None,
        element("p", f"Source: {finding.source}. Check: {finding.check}.", class_="note"),
        class_=f"finding {finding.severity}",
    )


def _distinct(own: Sequence[tuple[ReportRun, Finding]]) -> list[ReportRun]:
    """The runs of findings, each once: a check may have several findings in a run."""
    return [*{id(run): run for run, _ in own}.values()]


def _having(runs: Sequence[ReportRun], found: Sequence[Finding], num_runs: int) -> Html:
    """Which of several runs have a finding, and since when."""
    begun = sorted(each.step for each in found if each.step is not None)
    since = ""
    if begun and len(runs) > 1:
        last = f" to {begun[-1]:,}" if begun[-1] > begun[0] else ""
        since = f", since step {begun[0]:,}{last}"
    names = [join(swatch(each.color), " ", each.name, " ") for each in runs[:MAX_NAMED]]
    more = f"and {len(runs) - MAX_NAMED} more" if len(runs) > MAX_NAMED else None
    text = join(f"In {len(runs)} of {num_runs} runs{since}: ", *names, more)
    return element("p", text, class_="note")


def marks_of(runs: Sequence[ReportRun]) -> list[tuple[str | None, Mark]]:
    """The findings that charts mark, each with the column that shows it; none of many runs."""
    if len(runs) > MAX_MARKED:
        return []
    found: dict[tuple[str, str | None, int], tuple[Finding, dict[str, None]]] = {}
    for run in runs:
        for finding in run.checkup.findings if run.checkup is not None else ():
            if finding.step is not None:
                place = finding.check, finding.quantity, finding.step
                found.setdefault(place, (finding, {}))[1][run.name] = None
    return [
        (finding.quantity, Mark(step, _marked(finding, [*names], len(runs)), finding.severity))
        for (_, _, step), (finding, names) in found.items()
    ]


def _marked(finding: Finding, names: Sequence[str], num_runs: int) -> str:
    if len(names) == num_runs:
        return finding.title
    return f"{', '.join(names)}: {finding.title}"
