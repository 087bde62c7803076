"""The curriculum of docs/hooks.md: its level rises, and a resumed run equals a straight one."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from documentation.pages import ROOT, blocks

import footlight
from footlight.storage import checkpoint

SMALL: dict[str, Any] = {
    "hidden_sizes": (8,), "compile": "off", "quiet": True, "threads": 1, "seed": 1,
    "eval_episodes": 1, "n_steps": 5, "learning_rate": 0.01, "preset": False,
}  # fmt: skip


@pytest.fixture
def parts(tmp_path: Path) -> Callable[[], dict[str, Any]]:
    """The function of that name in the page, without the runs below it."""
    block = next(each for each in blocks(ROOT / "docs" / "hooks.md") if "Curriculum:" in each.text)
    definitions, _, runs = block.text.partition("\nrun = ")
    assert "footlight.resume(" in runs
    (tmp_path / "curriculum.py").write_text(definitions + "\n")
    found: Callable[[], dict[str, Any]]
    found = runpy.run_path(str(tmp_path / "curriculum.py"))["parts"]
    return found


@pytest.mark.parametrize("num_envs", [1, 3])
def test_resumed_curriculum_equals_a_straight_one(
    num_envs: int, parts: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    def train(name: str, stop_at: int | None = None) -> footlight.Run:
        given = parts()
        curriculum = given["hooks"][0].hook
        if stop_at is not None:
            raised = type(curriculum).__call__

            class Curriculum(type(curriculum)):  # type: ignore[misc]
                def __call__(self, training: Any, episode: Any) -> None:
                    raised(self, training, episode)
                    if training.step >= stop_at:
                        training.stop("half-way")

            curriculum.__class__ = Curriculum
        return footlight.train(
            "a2c", steps=1_500, run_dir=tmp_path / name, num_envs=num_envs,
            vectorization="sync", **given, **SMALL,
        )  # fmt: skip

    straight, stopped = train("straight"), train("two", stop_at=700)
    assert stopped.result is not None
    assert stopped.result["status"] == "stopped"
    resumed = footlight.resume(stopped.folder, quiet=True, **parts())
    assert straight.config["resume"] == resumed.config["resume"] == "exact"
    levels = [
        [(row["step"], row["level"]) for row in run.metrics() if "level" in row]
        for run in (straight, resumed)
    ]
    assert levels[0] == levels[1]
    assert levels[0][-1][1] > 2, "the level has not risen"
    for group in ("agent", "environments"):
        one, two = (
            checkpoint.read_arrays(checkpoint.find(run.folder), group)
            for run in (straight, resumed)
        )
        for name in one:
            assert np.array_equal(one[name], two[name]), name
