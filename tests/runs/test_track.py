"""The reader of a run folder for trackers: every row once, and what is rejected."""

import fcntl
import json
import os
import sys
from pathlib import Path

import pytest
from tracked_run import EPISODES, SMALL, append

import footlight
from footlight.cli.main import main
from footlight.errors import UserError
from footlight.runs.trackers.track import Reader, require_trackers, track


def test_reader_yields_each_complete_line_once(run_folder: Path) -> None:
    reader = Reader(run_folder)
    assert [record for log, record in reader.new_rows(ended=False) if log == "episodes"] == EPISODES
    assert list(reader.new_rows(ended=False)) == []
    with (run_folder / "episodes.jsonl").open("a") as file:
        file.write('{"step": 95, "ret')
        file.flush()
        assert list(reader.new_rows(ended=False)) == []
        file.write('urn": 1.0, "length": 3}\n')
    assert list(reader.new_rows(ended=False)) == [
        ("episodes", {"step": 95, "return": 1.0, "length": 3})
    ]
    assert [log for log, _ in reader.new_rows(ended=True)] == ["result"]


def test_invalid_line_is_named(run_folder: Path) -> None:
    append(run_folder, {"metrics": [{"step": 1}]})
    with (run_folder / "metrics.jsonl").open("a") as file:
        file.write("{\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 4, is invalid"):
        list(Reader(run_folder).new_rows(ended=False))


def test_unknown_tracker_is_rejected_before_anything_is_created(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"track is tensorbord - it must be any of tensorboard, wandb"
    ):
        footlight.train(
            "a2c", "CartPole-v1", track=["tensorbord"], run_dir=tmp_path / "run", **SMALL
        )
    with pytest.raises(UserError, match="did you mean 'tensorboard'"):
        track(tmp_path, ["tensorbord"])
    assert list(tmp_path.iterdir()) == []


def test_missing_package_is_reported_before_anything_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    arguments = [
        "train",
        "a2c",
        "CartPole-v1",
        "--track",
        "wandb",
        "--run-dir",
        str(tmp_path / "run"),
        "--quiet",
    ]
    assert main(arguments) == 2
    with pytest.raises(
        UserError,
        match=r'wandb needs the package wandb - it is not installed - pip install "footlight\[wan',
    ):
        require_trackers(["wandb"])
    assert list(tmp_path.iterdir()) == []


def test_folder_named_wandb_is_not_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(UserError, match="not installed"):
        require_trackers(["wandb"])


def test_second_writer_at_a_time_is_rejected(run_folder: Path) -> None:
    (run_folder / "tensorboard").mkdir()
    holder = os.open(run_folder / "tensorboard", os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(UserError, match="tensorboard is in use"):
        track(run_folder, ["tensorboard"])
    os.close(holder)
    track(run_folder, ["tensorboard"])


def test_folder_without_config_is_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["track", str(tmp_path), "--track", "tensorboard"]) == 2
    assert "config.json is missing" in capsys.readouterr().err


def test_run_from_before_trackers_can_be_resumed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    footlight.train("a2c", "CartPole-v1", steps=60, run_dir=folder, **SMALL)
    config = json.loads((folder / "config.json").read_text())
    old = {name: value for name, value in config.items() if not name.startswith(("track", "wandb"))}
    assert len(old) == len(config) - 6
    (folder / "config.json").write_text(json.dumps(old))
    result = footlight.resume(folder, steps=90, quiet=True).result
    assert result is not None
    assert result["status"] == "finished"


def test_tracker_does_not_follow_links(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (run_folder / "tensorboard").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(
        UserError,
        match="tensorboard is a link - a tracker writes into the run folder only - remove it",
    ):
        track(run_folder, ["tensorboard"])
