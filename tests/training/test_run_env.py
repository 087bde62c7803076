"""The environment of a finished run: made again only if it is the same one."""

from pathlib import Path
from typing import Any

import faulty
import gymnasium
import pytest
from gymnasium.spaces import Box
from gymnasium.wrappers import NormalizeObservation

import footlight
from footlight.environments.running_statistics import read_statistics
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


def test_saved_agent_has_the_statistics_of_the_object_that_it_was_saved_with(
    tmp_path: Path,
) -> None:
    def source() -> Any:
        return NormalizeObservation(faulty.Walk())

    env = source()
    for seed in range(3):
        env.reset(seed=seed)
    agent = footlight.Agent("a2c", env.observation_space, env.action_space, hidden_sizes=(8,))
    agent.save(tmp_path / "agent", environment=env)
    run = footlight.Run(tmp_path / "agent", environment=source)
    assert (
        read_statistics(run.make_env())["0.obs_rms.count"]
        == read_statistics(env)["0.obs_rms.count"]
    )
    assert run.evaluate(2, seed=1).returns == agent.evaluate(env, 2, seed=1).returns
    agent.save(tmp_path / "agent", environment=source)
    with pytest.raises(UserError, match=r"statistics of NormalizeObservation .* agent\.save\(fold"):
        run.make_env()


def test_instance_of_a_run_has_its_render_mode(finished_run: Path) -> None:
    env = footlight.Run(finished_run).make_env("rgb_array")
    assert env.render_mode == "rgb_array"
    env.close()
