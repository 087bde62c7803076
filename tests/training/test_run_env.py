"""The environment of a finished run: made again only if it is the same one."""

from pathlib import Path
from typing import Any

import faulty
import gymnasium
import pytest
from gymnasium.spaces import Box
from gymnasium.wrappers import NormalizeObservation

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


class Other(faulty.Walk):
    action_space = Box(-2, 2, (1,), "float32")


def test_environment_with_other_spaces_is_refused(folder: Path) -> None:
    with pytest.raises(
        UserError, match=r"Other has other spaces than the environment that .* was trained on"
    ):
        footlight.Run(folder, environment=Other).evaluate(1)


def test_folder_without_the_statistics_is_refused(folder: Path) -> None:
    run = footlight.Run(
        folder, environment=lambda: NormalizeObservation(gymnasium.make("Pendulum-v1"))
    )
    message = r"does not hold the running statistics of NormalizeObservation .* normalize_observa"
    with pytest.raises(UserError, match=message):
        run.evaluate()


def test_instance_of_a_run_has_its_render_mode(folder: Path) -> None:
    env = footlight.Run(folder).make_env("rgb_array")
    assert env.render_mode == "rgb_array"
    env.close()
