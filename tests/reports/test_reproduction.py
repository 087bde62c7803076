"""Exactness, machines and commands."""

from reported_runs import HOSTILE, Page, reported

from footlight.reports.reproduction import reproduction


def test_what_repeats_a_run() -> None:
    run = reported("run", resume="exact")
    run.machine = {"commit": "abc123", "versions": {"torch": "2.8"}, "threads": 4,
                   "command": ["train", "sac", "Pendulum-v1", "--run-dir", "my runs"]}  # fmt: skip
    text = Page(reproduction([run])).text
    for part in ("exact: continues", "commit abc123", "torch 2.8", "threads 4",
                 "footlight train sac Pendulum-v1 --run-dir 'my runs'"):  # fmt: skip
        assert part in text


def test_equal_machines_are_named_once_and_inexact_runs_apart() -> None:
    runs = [reported(f"seed-{n}", resume="exact") for n in range(3)]
    runs[1].config["resume"] = "the environment draws its own numbers"
    for run in runs:
        run.machine = {"commit": "abc123"}
    text = Page(reproduction(runs)).text
    assert text.count("abc123") == 1
    assert "2 runs: seed-0, seed-2" in text
    assert "not exact: the environment draws its own numbers" in text


def test_wrong_types_and_hostile_texts() -> None:
    run = reported("run", resume=HOSTILE)
    run.machine = {"versions": [HOSTILE], "command": [HOSTILE, 3], "commit": {"a": HOSTILE}}
    page = Page(reproduction([run]))
    assert "script" not in page.tags
    assert "No command is recorded" in page.text
