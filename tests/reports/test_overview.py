"""The list of runs: everything in it is escaped, and nothing is loaded."""

from pathlib import Path

from footlight.reports.overview import overview
from footlight.runs.listing import RunInfo

HOSTILE = "<script>alert(1)</script>"


def test_hostile_names_are_text() -> None:
    top = Path("/runs") / HOSTILE
    run = RunInfo(top / HOSTILE, algorithm=HOSTILE, environment=HOSTILE, note=HOSTILE, step=5)
    page = overview(top, [(0, run)], "look();", HOSTILE)
    listed = overview(top, [(0, run)], "look();")
    for each in (page, listed):
        assert "<script>alert" not in each
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in each
        assert each.count("<script>") == 1  # the page's own


def test_only_its_own_script_runs() -> None:
    page = overview(Path("/runs"), [], "look();")
    assert "default-src &#x27;none&#x27;" in page
    assert "sha256-" in page
    assert "No runs yet" in page


def test_runs_are_links_by_number() -> None:
    runs = [(3, RunInfo(Path("/runs/a"), steps=100, step=50)), (None, RunInfo(Path("/runs/b")))]
    page = overview(Path("/runs"), runs, "")
    assert 'href="run-3"' in page
    assert "50 / 100" in page
    assert page.count("href=") == 2  # that run, and all of them
    assert page.count("checkbox") == 1
