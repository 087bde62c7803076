"""The page of a report: everything in one string, and nothing from anywhere else."""

from collections.abc import Callable, Sequence
from functools import cache as once
from importlib.resources import files
from pathlib import Path

from footlight.errors import quoted
from footlight.reports.charts import Charts
from footlight.reports.comparing import comparison
from footlight.reports.configuration import configuration
from footlight.reports.embedded_videos import Link, videos
from footlight.reports.folders import Cache, ReportRun, find_runs, read_runs
from footlight.reports.grouping import Group, make_groups
from footlight.reports.header import findings, header, marks_of, title
from footlight.reports.learning_curves import episodes, learning_curves
from footlight.reports.markup import Html, content_hash, element, embedded_json, join
from footlight.reports.measures import diagnostics, metrics
from footlight.reports.reproduction import reproduction
from footlight.reports.timing import timing

MAX_GIVEN = 6  # folders in the commands below charts
MAX_NOTES = 100
MAX_ENVIRONMENTS = 4  # whose episodes and metrics are drawn

Section = tuple[str, str, Html | None]  # anchor, title and content


def render(
    folders: Sequence[Path],
    *,
    link: Link | None = None,
    cache: Cache | None = None,
    script: str = "",
) -> str:
    """A page about runs, as HTML that loads nothing and that opens from a file.

    folders: run folders, and folders of runs.
    link: the address of a video that is too large for the page; None: it is only named.
    cache: what earlier calls have read; with it, only what has been added to logs is read.
    script: one more script of the page, which may then send requests to where the page is from.

    Only files of the runs are read, also while they are in progress; what is invalid in them is
    skipped, and the page says so. Raises `UserError` for a folder that is not a run and has none.
    """
    paths, notes = find_runs(folders)
    runs = read_runs(paths, cache)
    charts, titled = Charts(), title(runs)
    sections = _sections(runs, charts, _given(folders), notes)
    body = _body(sections, header(runs, titled))
    data = embedded_json(charts.data)
    clips = videos(runs, len(body) + len(data) + len("".join(_assets())) + len(script), link)
    if clips is not None:
        place = next(i for i, (anchor, _, _) in enumerate(sections) if anchor == "metrics") + 1
        sections.insert(place, ("videos", "Videos", clips))
        body = _body(sections, header(runs, titled))
    return _document(titled, body, data, script)


def _sections(
    runs: Sequence[ReportRun], charts: Charts, given: str, notes: Sequence[str]
) -> list[Section]:
    groups = make_groups(runs)
    marks = marks_of(runs)
    every = [each for _, each in marks]
    folder = repr(str(runs[0].folder))
    notes = [*notes, *(f"{run.name}: {note}" for run in runs for note in run.notes)]
    charts.max_numbers //= len(_environments(groups)[:MAX_ENVIRONMENTS])

    def by_environment(section: Callable[[Sequence[Group]], Html]) -> Html:
        """A section for the runs of each environment, as numbers of several ones do not mix."""
        names = _environments(groups)
        if len(names) == 1:
            return section(groups)
        parts = []
        for name in names[:MAX_ENVIRONMENTS]:
            own = [each for each in groups if each.environment == name]
            parts += [element("h3", name, class_="environment"), section(own)]
        if len(names) > MAX_ENVIRONMENTS:
            text = f"{len(names) - MAX_ENVIRONMENTS} more environments: make a page of each."
            parts.append(element("p", text))
        return join(*parts)

    return [
        ("findings", "Findings", findings(runs)),
        ("returns", "Returns", learning_curves(groups, charts, every, given)),
        ("comparison", "Comparison", comparison(groups, charts)),
        ("episodes", "Episodes",
         by_environment(lambda own: episodes(own, charts, every, given, folder))),
        ("diagnostics", "Diagnostics",
         by_environment(lambda own: diagnostics(own, charts, marks, given))),
        ("metrics", "Losses and metrics",
         by_environment(lambda own: metrics(own, charts, marks, given))),
        ("timing", "Timing", timing(groups, charts, folder)),
        ("configuration", "Configuration", configuration(groups)),
        ("reproduction", "Reproduction", reproduction(runs)),
        ("notes", "What this page leaves out", _notes(notes)),
    ]  # fmt: skip


def _environments(groups: Sequence[Group]) -> list[str]:
    return [*dict.fromkeys(each.environment for each in groups)]


def _notes(notes: Sequence[str]) -> Html | None:
    if not notes:
        return None
    items = [element("li", note) for note in notes[:MAX_NOTES]]
    if len(notes) > MAX_NOTES:
        items.append(element("li", f"{len(notes) - MAX_NOTES} more"))
    return element("ul", *items)


def _body(sections: Sequence[Section], top: Html) -> Html:
    shown = [each for each in sections if each[2]]
    links = (element("a", name, href=f"#{anchor}") for anchor, name, _ in shown)
    parts = (
        element("section", element("h2", name), content, id=anchor)
        for anchor, name, content in shown
    )
    about = "Drag across a chart to zoom, double-click to see all of it; click a name below a " \
        "chart to hide its curve."  # fmt: skip
    hint = element("p", about, class_="note hint")
    missing = element("noscript", element("p", "Charts need JavaScript; tables do not."))
    return join(top, element("nav", *links), hint, missing, element("main", *parts))


def _document(titled: str, body: Html, data: Html, extra: str) -> str:
    style, library, own = _assets()
    scripts = [library, own, *([extra] if extra else [])]
    policy = [
        "default-src 'none'",
        f"script-src {' '.join(map(content_hash, scripts))}",
        f"style-src {content_hash(style)}",
        "img-src data:",
        "media-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        *(["connect-src 'self'"] if extra else []),
    ]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content="; ".join(policy)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", titled),
        element("style", Html(style)),
    )
    page = element(
        "body",
        body,
        element("script", data, type="application/json", id="data"),
        *(element("script", Html(script)) for script in scripts),
    )
    return f'<!DOCTYPE html>\n<html lang="en">{head}{page}</html>\n'


@once
def _assets() -> tuple[str, str, str]:
    """The style, the chart library with its license, and the script of the page."""
    folder = files("footlight.reports") / "assets"
    css, style, library, license_text, own = (
        (folder / name).read_text("utf-8")
        for name in ("uplot.css", "style.css", "uplot.js", "uplot-license.txt", "page.js")
    )
    return css + style, f"/*\n{license_text}*/\n{library}", own


def _given(folders: Sequence[Path]) -> str:
    """The folders as in a command."""
    more = " ..." if len(folders) > MAX_GIVEN else ""
    return " ".join(map(quoted, folders[:MAX_GIVEN])) + more
