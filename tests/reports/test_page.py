"""The whole page."""

import json
import os
import tracemalloc
from pathlib import Path

import pytest
from reported_runs import HOSTILE, Page, checkup, finding, write_log, write_run
from setuptools import Distribution
from setuptools.config.pyprojecttoml import apply_configuration

from footlight.errors import UserError
from footlight.reports import folders
from footlight.reports.folders import Cache
from footlight.reports.markup import content_hash
from footlight.reports.page import render

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_page_has_all_sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "examine", lambda _: checkup(finding()))
    rows = [{"step": 500, "critic_bias": 0.9}, {"step": 1000, "critic_bias": 0.5}]
    page = Page(render([write_run(tmp_path / "run", diagnostics=rows)]))
    assert [value for tag, name, value in page.attributes if (tag, name) == ("section", "id")] == [
        "findings", "returns", "episodes", "diagnostics", "metrics", "timing", "configuration",
        "reproduction",
    ]  # fmt: skip
    assert all(chart["x"] for chart in page.charts)
    titles = [mark["text"] for chart in page.charts for mark in chart["marks"]]
    assert titles == ["The critic is wrong"] * 3  # learning curve, returns, the critic's bias


def test_the_page_loads_nothing_and_runs_nothing_but_its_own_scripts(tmp_path: Path) -> None:
    html = render([write_run(tmp_path / "run")])
    page = Page(html)
    policy = dict.fromkeys(
        value for tag, name, value in page.attributes if (tag, name) == ("meta", "content")
    )
    content = next(value for value in policy if value and value.startswith("default-src"))
    assert content.startswith("default-src 'none';")
    assert "unsafe" not in content
    assert "http" not in content
    style, _, *scripts = page.scripts
    assert content_hash(style) in content
    assert len(scripts) == 2
    assert all(content_hash(script) in content for script in scripts)
    loading = [(tag, value) for tag, name, value in page.attributes if name in ("src", "href")]
    assert all(tag == "a" and value and value.startswith("#") for tag, value in loading)
    assert "@import" not in style
    assert "url(" not in style
    assert "\r" not in html  # a browser would change it, and the hashes
    assert not {"iframe", "object", "embed", "base", "link", "form"} & {*page.tags}


def test_an_extra_script_is_allowed_by_its_hash(tmp_path: Path) -> None:
    html = render([write_run(tmp_path / "run")], script="let live = 1;")
    assert content_hash("let live = 1;").replace("'", "&#x27;") in html
    assert "connect-src &#x27;self&#x27;" in html


def test_a_page_is_made_whatever_number_of_environments_a_file_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "examine", lambda _: checkup())  # which has tests of its own
    several = [
        write_run(tmp_path / name, num_envs=10**9, algorithm=name) for name in ("sac", "td3")
    ]
    tracemalloc.start()
    try:
        assert "1000000000" in Page(render(several)).text
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_a_hostile_folder_is_shown_as_text(tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "_")
    folder = write_run(
        tmp_path / name, environment=HOSTILE, algorithm=HOSTILE, seed={"a": HOSTILE},
        fields={HOSTILE: HOSTILE}, resume=HOSTILE, environment_config=[1], code={"a": 1},
        metrics=[{"step": 1, HOSTILE: 1.0, "__proto__": 2}],
        diagnostics=[{"step": 1, HOSTILE: 1.0, f"critic.{HOSTILE}": 1.0}],
        result={"status": HOSTILE, "steps": "many", "stop_reason": HOSTILE},
    )  # fmt: skip
    (folder / "machine.json").write_text(json.dumps({"versions": {HOSTILE: HOSTILE},
                                                     "command": [HOSTILE]}))  # fmt: skip
    (folder / "profile.json").write_text("[")
    os.mkfifo(folder / "histograms.jsonl")
    (folder / "evaluations.jsonl").unlink()
    os.mkfifo(folder / "evaluations.jsonl")
    (folder / "videos").mkdir()
    (folder / "videos" / f"{name}.gif").write_bytes(b"GIF89a")
    other = write_run(tmp_path / "other")
    for given in ([folder], [folder, other]):
        page = Page(render(given))
        assert page.tags.count("script") == 3
        assert page.tags.count("img") == 1
        assert not [name for _, name, _ in page.attributes if name.startswith("on")]
        assert "evaluations.jsonl was skipped" in page.text
        assert "profile.json was skipped" in page.text


def test_everything_damaged_is_still_a_page(tmp_path: Path) -> None:
    for name in ("config", "machine", "result"):
        (tmp_path / f"{name}.json").write_text("{")
    for name in folders.LOGS:
        (tmp_path / f"{name}.jsonl").write_bytes(b"\xff\xfe\n" * 10)
    page = Page(render([tmp_path]))
    assert "unknown algorithm on unknown environment" in page.text
    assert page.text.count("10 invalid rows skipped") == 4


def test_a_folder_that_is_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        render([tmp_path])


def test_values_that_are_not_finite_are_strict_json(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    text = '{"step": 1, "a": NaN}\n{"step": 2, "a": 1e308}\n{"step": 3, "a": -Infinity}\n'
    (folder / "metrics.jsonl").write_text(text)
    page = Page(render([folder]))
    assert all(chart["x"] for chart in page.charts)
    assert "metrics.jsonl: 2 values of a not finite" in page.text


def test_with_a_cache_the_page_is_the_same(tmp_path: Path) -> None:
    folder, cache = write_run(tmp_path / "run"), Cache()
    assert render([folder], cache=cache) == render([folder]) == render([folder], cache=cache)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 900, "critic_loss": 0.125}\n')
    assert render([folder], cache=cache) == render([folder])


def test_three_runs_of_a_million_steps_are_a_small_page(tmp_path: Path) -> None:
    names = [f"metric_{n}" for n in range(30)]
    for seed in range(3):
        folder = write_run(tmp_path / f"seed-{seed}", seed=seed)
        rows = [{"step": n * 500, **dict.fromkeys(names, n * 7919 % 1013 / 3)}
                for n in range(2_000)]  # fmt: skip
        write_log(folder, "metrics", rows)
    html = render([tmp_path])
    assert len(Page(html).charts) > 30
    assert len(html) < 3_000_000


def test_runs_of_many_environments_have_their_charts_apart(tmp_path: Path) -> None:
    for env in "ABCDEF":
        write_run(tmp_path / env, environment=env)
    page = Page(render([tmp_path]))
    assert "2 more environments: make a page of each." in page.text
    losses = [chart for chart in page.charts if chart["series"][0]["y"] == [0.5]]
    assert len(losses) == 4
    assert all(len(chart["series"]) == 1 for chart in losses)


def test_the_library_of_the_charts_is_shipped_with_its_license(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assets = REPOSITORY / "footlight" / "reports" / "assets"
    assert "MIT License" in (assets / "uplot-license.txt").read_text("utf-8")
    monkeypatch.chdir(REPOSITORY)
    wheel = Distribution()
    apply_configuration(wheel, "pyproject.toml")
    build = wheel.get_command_obj("build_py")
    build.ensure_finalized()
    build.manifest_files = {}  # of version control, which setuptools does not ask here
    packaged = {Path(name).name for name in build.find_data_files("footlight", "footlight")}
    assert {path.name for path in assets.iterdir()} <= packaged
    assert "The MIT License" in render.__globals__["_assets"]()[1]
