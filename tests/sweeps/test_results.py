"""What a sweep prints and writes at its end."""

import csv
from pathlib import Path
from typing import Any

import pytest
from sweep_specs import GRID

from footlight.errors import UserError
from footlight.sweeps.results import (
    draw,
    require_new_preset,
    summary,
    write_preset,
    write_table,
)
from footlight.sweeps.spec import read_spec
from footlight.sweeps.trials import SweepFolder, Trial
from footlight.training.values import read_toml

VALUES = [1.0, 5.0, None, 3.0, 2.0]


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    """Five trials, of which the third has failed."""
    search = {"batch_size": [4, 8, 16, 32, 64], "hidden_sizes": [[4, 4]]}
    values = {key: x for key, x in GRID["values"].items() if key != "hidden_sizes"}
    values["env_kwargs"] = {"g": 9.0}
    spec = read_spec({**GRID, "search": search, "values": values}, "FILE")
    found = SweepFolder(tmp_path / "sweep", spec)
    found.open()
    grid = [*spec.grid()]
    for value in VALUES:
        held = found.claim(lambda count: (count, grid[count]))
        assert held is not None
        with held as trial:
            state: Any = "failed" if value is None else "finished"
            reason = "seed 0: diverged" if value is None else ""
            Trial(trial.path, trial.number, trial.chosen, state, value, reason).write()
    return found


def test_table_has_the_best_first(folder: SweepFolder) -> None:
    write_table(folder)
    with (folder.path / "trials.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert [row["trial"] for row in rows] == ["1", "3", "4", "0", "2"]
    assert rows[0]["hidden_sizes"] == "[4, 4]"
    assert rows[-1]["reason"] == "seed 0: diverged"
    lines = summary(folder, Path("sweep")).splitlines()
    assert lines[1].split()[:2] == ["1", "5"]
    assert "4 finished, 1 failed | folder sweep" in lines
    assert lines[-1] == "next: footlight plot sweep/trial-1"


def test_best_values_can_be_trained_with(folder: SweepFolder, tmp_path: Path) -> None:
    path = tmp_path / "best.toml"
    require_new_preset(path)
    line = write_preset(folder, path, path, Path("sweep"))
    assert line.endswith(f"footlight train ddpg Pendulum-v1 --config {path} --no-preset")
    found = read_toml(path)
    assert found["batch_size"] == 8
    assert found["hidden_sizes"] == [4, 4]
    assert found["env_kwargs"] == {"g": 9.0}
    assert {*found} == {*folder.spec.values, "batch_size", "hidden_sizes"}
    with pytest.raises(UserError, match="never overwritten"):
        require_new_preset(path)
    with pytest.raises(UserError, match="there is no folder"):
        require_new_preset(tmp_path / "none" / "best.toml")


def test_pictures_are_optunas(folder: SweepFolder) -> None:
    pytest.importorskip("optuna")
    assert draw(folder, print) == ["importances.png", "slices.png"]
    for name in ("importances.png", "slices.png"):
        assert (folder.path / name).read_bytes().startswith(b"\x89PNG")
