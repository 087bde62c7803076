"""`footlight doctor`: text, JSON and exit codes."""

import json
from pathlib import Path

import pytest
from doctor_runs import STEPS, run

from footlight.cli.main import main
from footlight.run import Run


def write(folder: Path, **changes: object) -> Path:
    content = run(**changes)  # type: ignore[arg-type]
    config = {"format_version": 1, "algorithm": "sac", "environment": "E", "seed": 0}
    (folder / "config.json").write_text(json.dumps({**config, "steps": STEPS, **content.config}))
    for log in ("episodes", "evaluations", "metrics", "diagnostics"):
        lines = "".join(json.dumps(row) + "\n" for row in vars(content)[log])
        (folder / f"{log}.jsonl").write_text(lines)
    return folder


def test_healthy_run_exits_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(write(tmp_path))]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("healthy: ")


def test_findings_exit_with_6(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path, reward_std=1e4)
    assert main(["doctor", str(folder)]) == 6
    printed = capsys.readouterr().out
    assert printed.startswith("critical: rewards have an unusual scale")
    assert printed == f"{Run(folder).doctor()}\n"


def test_json_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(write(tmp_path, reward_std=1e4)), "--json"]) == 6
    content = json.loads(capsys.readouterr().out)
    assert content["run_dir"] == str(tmp_path)
    assert content["findings"][0]["check"] == "reward-scale"


def test_other_folders_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(tmp_path)]) == 2
    assert "is not a run folder" in capsys.readouterr().err
