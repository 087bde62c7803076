"""A run in a notebook: what is shown of it, and that nothing of it can run."""

import base64
import json
import re
from pathlib import Path

import pytest
from run_folders import evaluation, write_run

from footlight.doctor import Checkup, Finding
from footlight.reports import folders
from footlight.reports.notebook_view import BLUE, notebook_view

HOSTILE = "<script>alert(1)</script>"


def image_in(shown: str) -> str:
    """The SVG in an image of the page."""
    found = re.search(r"data:image/svg\+xml;base64,([\w+/=]+)", shown)
    return "" if found is None else base64.b64decode(found[1]).decode()


def test_facts_and_curve(tmp_path: Path) -> None:
    run = write_run(tmp_path / "one", means=(-2.0, -1.5, 3.0))
    shown = notebook_view(run)
    assert "sac on Pendulum-v1" in shown
    svg = image_in(shown)
    assert "mean return of evaluations" in svg
    assert svg.count("<polyline") == 2  # the curve, and the axes
    (curve,) = re.findall(rf'points="([^"]*)" fill="none" stroke="{BLUE}"', svg)
    assert curve.startswith("64.0,166.0 ")  # from the lowest to the highest corner
    assert curve.endswith("548.0,12.0")
    assert "run.report()" in shown


def test_a_long_curve_is_not_cut_off(tmp_path: Path) -> None:
    run = write_run(tmp_path / "one", means=tuple(float(n % 7) for n in range(400)))
    svg = image_in(notebook_view(run))
    assert "…" not in svg
    assert svg.endswith("</svg>")
    assert max(each.count(",") for each in re.findall(r'points="([^"]*)"', svg)) > 250


def test_a_report_is_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = write_run(Path("runs & more"))
    (run / "report.html").write_text("a page")
    shown = notebook_view(run)
    assert 'href="runs%20%26%20more/report.html"' in shown


def test_the_verdict_of_the_doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = Finding(
        check="a", severity="critical", title=HOSTILE, evidence="", step=None, meaning="",
        remedy="", source="", confidence=1.0,
    )  # fmt: skip
    checkup = Checkup((finding, finding), (), 2)
    monkeypatch.setattr(folders, "examine", lambda folder: checkup)
    shown = notebook_view(write_run(tmp_path / "one"))
    assert "critical: &lt;script&gt;" in shown
    assert "1 more finding" in shown
    assert "<script" not in shown


def test_hostile_folders_are_text(tmp_path: Path) -> None:
    run = write_run(tmp_path / "<b>&'one", algorithm=HOSTILE, environment=f"'\"{HOSTILE}")
    row = {**evaluation(50, 1.0), "mean_return": 2.0}
    (run / "evaluations.jsonl").write_text(f"{json.dumps(row)}\n{HOSTILE}\n{json.dumps(row)}\n")
    (run / "report.html").write_text("")
    shown = notebook_view(run)
    assert "<script" not in shown + image_in(shown)
    assert "<b>" not in shown


@pytest.mark.parametrize("content", ["", "nonsense", '{"step": 1}\n', '{"step": 1e400}\n' * 3])
def test_damaged_folders_are_shown(tmp_path: Path, content: str) -> None:
    run = write_run(tmp_path / "one")
    for name in ("config.json", "evaluations.jsonl", "episodes.jsonl", "result.json"):
        (run / name).write_text(content)
    assert str(run) in notebook_view(run)
    assert str(tmp_path / "none") in notebook_view(tmp_path / "none")


def test_equal_returns_have_a_flat_curve(tmp_path: Path) -> None:
    svg = image_in(notebook_view(write_run(tmp_path / "one", means=(1.0, 1.0))))
    assert "nan" not in svg
    assert "64.0,89.0 548.0,89.0" in svg
