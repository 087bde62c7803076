"""The environment of a finished run: made again only if it is the same one."""

from pathlib import Path

import faulty
import gymnasium
import pytest
from gymnasium.spaces import Box
from gymnasium.wrappers import NormalizeObservation

import footlight
from footlight.errors import UserError


class Other(faulty.Walk):
    action_space = Box(-2, 2, (1,), "float32")


def test_environment_with_other_spaces_is_refused(finished_run: Path) -> None:
    with pytest.raises(
        UserError, match=r"Other has other spaces than the environment that .* was trained on"
    ):
        footlight.Run(finished_run, environment=Other).evaluate(1)


def test_folder_without_the_statistics_is_refused(finished_run: Path) -> None:
    run = footlight.Run(
        finished_run, environment=lambda: NormalizeObservation(gymnasium.make("Pendulum-v1"))
    )
    message = r"does not hold the running statistics of NormalizeObservation .* normalize_observa"
    with pytest.raises(UserError, match=message):
        run.evaluate()


def test_instance_of_a_run_has_its_render_mode(finished_run: Path) -> None:
    env = footlight.Run(finished_run).make_env("rgb_array")
    assert env.render_mode == "rgb_array"
    env.close()
