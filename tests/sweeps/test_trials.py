"""The trials of a sweep on disk: who may train which, and what a kill leaves behind."""

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from sweep_specs import GRID

from footlight.errors import UserError
from footlight.sweeps.spec import read_spec
from footlight.sweeps.trials import SweepFolder, sweep_path


def opened(path: Path, **changes: Any) -> SweepFolder:
    folder = SweepFolder(path, read_spec({**GRID, **changes}, "FILE"))
    folder.open()
    return folder


def listed(folder: SweepFolder) -> Any:
    grid = [*folder.spec.grid()]
    return lambda number: (number, grid[number])


def test_each_trial_is_given_to_one_and_a_left_one_again(tmp_path: Path) -> None:
    folder = opened(tmp_path / "sweep")
    first, second = folder.claim(listed(folder)), folder.claim(listed(folder))
    assert first is not None
    assert second is not None
    assert [first.trial.number, second.trial.number] == [0, 1]
    assert folder.claim(listed(folder)) is None
    with first:
        pass
    again = folder.claim(listed(folder))
    assert again is not None
    assert again.trial == first.trial
    with again as trial:
        dataclasses.replace(trial, state="finished", value=1.5).write()
    assert folder.claim(listed(folder)) is None
    assert [(each.state, each.value) for each in folder.trials()] == [
        ("finished", 1.5), ("running", None)
    ]  # fmt: skip
    with second:
        pass


def test_trial_is_a_folder_of_seeds(tmp_path: Path) -> None:
    folder = opened(tmp_path / "sweep", seeds=[3, 5])
    held = folder.claim(listed(folder))
    assert held is not None
    with held as trial:
        assert trial.runs.seeds == (3, 5)
        assert trial.runs.arguments["algorithm"] == "ddpg"
        assert trial.runs.arguments["values"]["batch_size"] == 4


def test_combination_that_cannot_be_trained_is_a_failed_trial(tmp_path: Path) -> None:
    folder = opened(tmp_path / "sweep")
    suggested = iter([{"algorithm": "ddpg", "batch_size": -1}, {"algorithm": "ddpg"}])
    held = folder.claim(lambda count: (count, next(suggested)))
    assert held is not None
    with held as trial:
        assert trial.number == 1
    failed = folder.read(0)
    assert failed.state == "failed"
    assert "batch_size is -1" in failed.reason


def test_trial_that_was_removed_is_made_again(tmp_path: Path) -> None:
    folder = opened(tmp_path / "sweep")
    for _ in range(2):
        held = folder.claim(listed(folder))
        assert held is not None
        with held as trial:
            dataclasses.replace(trial, state="finished", value=1.0).write()
    shutil.rmtree(folder.path / "trial-0")
    held = SweepFolder(folder.path, folder.spec).claim(listed(folder))
    assert held is not None
    with held as trial:
        assert (trial.number, trial.chosen["batch_size"]) == (0, 4)


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path: Path) -> None:
    folder = opened(tmp_path / "sweep")
    (folder.path / ".trial-0.tmp").mkdir()
    (folder.path / ".trial-0.tmp" / "seeds.json").write_text("{")
    held = folder.claim(listed(folder))
    assert held is not None
    with held as trial:
        assert trial.number == 0
        assert trial.runs.seeds == (0,)
    assert not (folder.path / ".trial-0.tmp").exists()


@pytest.mark.parametrize(
    "changes", [{"search": {"batch_size": [4, 16]}}, {"seeds": 2}, {"objective": "median"}]
)
def test_folder_of_another_sweep_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    opened(tmp_path / "sweep")
    opened(tmp_path / "sweep", trials=1)  # which may grow, and shrink
    with pytest.raises(UserError, match="the sweep of another search"):
        opened(tmp_path / "sweep", **changes)


def test_folder_that_is_no_sweeps_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "mine").touch()
    with pytest.raises(UserError, match="is not a sweep folder"):
        opened(tmp_path / "sweep")
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "sweep"):
        with pytest.raises(UserError):
            opened(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    with pytest.raises(UserError, match="choose another --run-dir"):
        opened(tmp_path / "closed" / "sweep")
    assert not [*(tmp_path / "closed").iterdir()]


def test_damaged_trial_is_said(tmp_path: Path) -> None:
    folder = opened(tmp_path / "sweep")
    held = folder.claim(listed(folder))
    assert held is not None
    with held as trial:
        path = trial.path / "trial.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "state": "done"}))
    with pytest.raises(UserError, match=r"trial\.json is invalid"):
        folder.trials()


def test_where_a_sweep_lies(tmp_path: Path) -> None:
    assert sweep_path(None, "name", tmp_path) == tmp_path / "runs" / "sweeps" / "name"
    assert sweep_path("mine", "name", tmp_path) == tmp_path / "mine"
