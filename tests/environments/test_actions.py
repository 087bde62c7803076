"""Actions reach an environment in the type, dtype and shape of its space's own samples."""

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import footlight
from footlight.environments.serial import SerialEnvironments
from footlight.environments.vector import VectorEnvironments
from footlight.environments.workers import AsyncEnvironments

SPACES = [
    Discrete(3),
    Discrete(3, start=-1, dtype=np.int32),
    MultiDiscrete([2, 3], dtype=np.int16),
    MultiBinary(2),
    Box(-2, 2, (1,), np.float32),
    Box(-2, 2, (2, 1), np.float64),
]


class Strict(gymnasium.Env[Any, Any]):
    """Fails on actions that are not what its space samples, and changes those that it can."""

    observation_space = Box(-1, 1, (2,), np.float32)

    def __init__(self, action_space: Any) -> None:
        self.action_space, self.sample = action_space, action_space.sample()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        assert type(seed) is int
        assert 0 <= seed < 2**31
        self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        assert type(action) is type(self.sample), type(action)
        assert action.dtype == self.sample.dtype
        assert action.shape == self.sample.shape
        assert self.action_space.contains(action)
        if action.shape:
            action[:] = 0
        self.steps += 1
        return np.full(2, self.steps / 10, np.float32), 1.0, False, self.steps == 10, {}


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("kind", ["sync", "async", "vector"])
def test_environments_receive_actions_in_the_type_that_the_space_samples(
    space: Any, kind: str
) -> None:
    make = partial(Strict, space)
    environments: Any
    if kind == "vector":
        environments = VectorEnvironments(
            SyncVectorEnv([make] * 2, autoreset_mode=AutoresetMode.DISABLED), 7, "episode"
        )
    elif kind == "async":
        environments = AsyncEnvironments(make, 2, 7, "episode")
    else:
        environments = SerialEnvironments([make(), make()], 7, "episode")
    environments.reset()
    wide = np.float64 if isinstance(space, Box) else np.int64
    action = np.stack([space.sample(), space.sample()]).astype(wide)
    for _ in range(3):
        assert np.array_equal(
            environments.step(action).action, action
        )  # not what the environment has made of it
    if kind == "sync":
        assert (
            SerialEnvironments([make(), make()], 7, "episode").restore(environments.arrays()) == []
        )
    environments.close()


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_policies_return_actions_in_the_type_of_the_space(space: Any) -> None:
    agent = footlight.Agent(
        "a2c", Strict.observation_space, space, seed=0, hidden_sizes=(4,), compile="off"
    )
    observation, sample = np.zeros(2, np.float32), space.sample()
    for deterministic in (True, False):
        action = agent.policy.act(observation, deterministic)
        assert type(action) is type(sample)
        assert action.dtype == sample.dtype
        assert action.shape == sample.shape
        assert space.contains(action)
        assert agent.policy.act(np.zeros((3, 2), np.float32), deterministic).dtype == sample.dtype
    assert type(agent.act(observation, explore=True)) is type(sample)


@pytest.mark.parametrize("space", [SPACES[1], SPACES[2], SPACES[5]], ids=str)
def test_training_evaluation_and_probe_pass_the_same_type(space: Any, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "steps": 40,
        "num_envs": 2,
        "eval_episodes": 1,
        "compile": "off",
        "quiet": True,
    }
    run = footlight.train("a2c", lambda: Strict(space), run_dir=tmp_path / "run", **settings)
    assert run.config["resume"] == "exact"
    assert run.evaluate(episodes=2, seed=2**40).lengths == (10, 10)
