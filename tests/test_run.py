"""A run folder as an object: its path, configuration, result and evaluation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import footlight
from footlight.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("home")
    settings: dict[str, Any] = {
        "hidden_sizes": (8,),
        "learning_starts": 20,
        "compile": "off",
        "threads": 1,
        "eval_episodes": 0,
    }
    footlight.train("sac", "Pendulum-v1", steps=30, run_dir=path / "run", quiet=True, **settings)
    return path / "run"


def test_run_is_taken_in_place_of_its_folder(folder: Path) -> None:
    run = footlight.Run(folder)
    assert footlight.Run(run).folder == folder  # type: ignore[arg-type]
    assert footlight.load(run).act(np.zeros(3)).shape == (1,)
    assert footlight.evaluate(run, 1).lengths == (200,)


@pytest.mark.parametrize("path", [None, b"run", 3])
def test_something_else_is_not_a_path(path: Any) -> None:
    with pytest.raises(UserError, match=r"is not a path - give a string or a pathlib\.Path"):
        footlight.Run(path)


def test_folder_may_be_a_string_or_start_with_the_home_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    for given in (folder, str(folder), "~/run", Path("~/run")):
        run = footlight.Run(given)  # type: ignore[arg-type]
        assert run.folder == folder
        assert run.config["environment"] == "Pendulum-v1"
        assert run.result is not None
        assert run.result["steps"] == 30
        assert run.make_env().observation_space.shape == (3,)
    assert footlight.Run(str(folder)).evaluate(1).lengths == (200,)
