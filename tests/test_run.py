"""A run folder as an object: its path, configuration, result and evaluation."""

from pathlib import Path
from typing import Any

import pytest

import footlight


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
