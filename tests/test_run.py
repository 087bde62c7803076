"""A run folder as an object: its path, configuration, result and evaluation."""

from pathlib import Path

import pytest

import footlight


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
