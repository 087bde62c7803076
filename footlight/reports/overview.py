"""The page of all runs below a folder, from which the page of each is opened."""

import time
from collections.abc import Sequence
from functools import cache as once
from importlib.resources import files
from pathlib import Path

from footlight.errors import counted
from footlight.machine import format_bytes
from footlight.reports.markup import Html, content_hash, element, join, number, table
from footlight.runs.listing import RunInfo

HEAD = ["", "run", "algorithm", "environment", "seed", "steps", "state", "last", "best", "changed",
        "size", "note"]  # fmt: skip
MAX_LISTED = 2_000


def overview(
    top: Path, runs: Sequence[tuple[int | None, RunInfo]], script: str, note: str = ""
) -> str:
    """A page that lists runs, each with its number, and with links by these numbers.

    script: reloads the page. note: what is wrong, above the list.
    """
    style = _style()
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {content_hash(script)}",
            f"style-src {content_hash(style)}",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
        ]
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"Runs in {top}"),
        element("style", Html(style)),
    )
    listed = _listed(top, runs) if runs else element("p", "No runs yet.")
    body = element(
        "body",
        element("h1", "Runs in ", element("code", str(top))),
        element("p", note, class_="note") if note else listed,
        element("script", Html(script)),
    )
    return f'<!DOCTYPE html>\n<html lang="en">{head}{body}</html>\n'


def _listed(top: Path, runs: Sequence[tuple[int | None, RunInfo]]) -> Html:
    rows = [_row(top, name, run) for name, run in runs[:MAX_LISTED]]
    more = len(runs) - len(rows)
    size = format_bytes(sum(run.bytes for _, run in runs))
    return join(
        element("p", f"{counted(len(runs), 'run')}, {size}. ",
                element("a", "All of them on one page", href="all")),
        element(
            "form",
            table([*HEAD], [*map(list, rows)]),
            element("p", element("button", "Compare those that are checked", type="submit")),
            action="compare",
            method="get",
        ),
        element("p", f"{more} more runs are not listed.") if more else None,
    )  # fmt: skip


def _row(top: Path, name: int | None, run: RunInfo) -> Sequence[object]:
    path = run.path.relative_to(top).as_posix()
    steps = f"{run.step:,} / {run.steps:,}" if run.steps is not None else f"{run.step:,}"
    is_named = name is not None
    label = f"compare {path}"
    return [
        element("input", type="checkbox", name="run", value=name, aria_label=label)
        if is_named
        else "",
        element("a", path, href=f"run-{name}") if is_named else path,
        run.algorithm or "–",
        run.environment or "–",
        "–" if run.seed is None else run.seed,
        steps,
        element("span", run.state, class_=f"state {run.state}"),
        number(run.last_return),
        number(run.best_return),
        _changed(run.changed),
        format_bytes(run.bytes),
        run.note,
    ]


def _changed(seconds: float) -> str:
    """A time of day, with its date; no age, which would make a new page of each second."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else "–"


@once
def _style() -> str:
    return (files("footlight.reports") / "assets" / "overview.css").read_text("utf-8")
