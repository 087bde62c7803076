"""A run folder as an object: its path, configuration, result and evaluation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import footlight
from footlight.errors import UserError


def test_run_is_taken_in_place_of_its_folder(finished_run: Path) -> None:
    run = footlight.Run(finished_run)
    assert footlight.Run(run).folder == finished_run  # type: ignore[arg-type]
    assert footlight.load(run).act(np.zeros(3)).shape == (1,)
    assert footlight.evaluate(run, 1).lengths == (200,)


@pytest.mark.parametrize("path", [None, b"run", 3])
def test_something_else_is_not_a_path(path: Any) -> None:
    with pytest.raises(UserError, match=r"is not a path - give a string or a pathlib\.Path"):
        footlight.Run(path)


def test_folder_may_be_a_string_or_start_with_the_home_directory(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(finished_run.parent))
    for given in (finished_run, str(finished_run), "~/run", Path("~/run")):
        run = footlight.Run(given)  # type: ignore[arg-type]
        assert run.folder == finished_run
        assert run.config["environment"] == "Pendulum-v1"
        assert run.result is not None
        assert run.result["steps"] == 30
        assert run.make_env().observation_space.shape == (3,)
    assert footlight.Run(str(finished_run)).evaluate(1).lengths == (200,)
