"""Choices outside their space are refused like NaN, however environments are stepped."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import footlight
from footlight.environments.make import make
from footlight.environments.source import EnvironmentSource
from footlight.errors import EnvironmentFault

CASES: dict[str, tuple[spaces.Space[Any], Any, str]] = {
    "choice": (spaces.Discrete(3, start=-2), np.int64(1), "observation is 1, its space says -2 to"),
    "choices": (
        spaces.MultiDiscrete([3, 2], start=[1, 0]), np.array([1, 2]),
        r"observation\[1\] is 2, its space says 0 to 1",
    ),
    "many": (
        spaces.MultiDiscrete([2] * 40), np.full(40, -1), r"observation\[0\] is -1, its space says 0"
    ),
    "dict": (
        spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Box(0, 1, (2,))}),
        {"a": 2, "b": np.zeros(2, np.float32)},
        r"observation\.a is 2, its space says 0 to 1",
    ),
    "nested": (
        spaces.Tuple([spaces.Tuple([spaces.Discrete(2), spaces.MultiDiscrete([2, 4], np.uint8)])]),
        ((0, np.array([1, 4], np.uint8)),),
        r"observation\.0\.1\[1\] is 4, its space says 0 to 3",
    ),
}  # fmt: skip
WAYS = ["sync", "async", *AutoresetMode]


class Straying(gymnasium.Env[Any, Any]):
    """Leaves its space in the second step of its second episode."""

    def __init__(self, name: str) -> None:
        self.observation_space, self.stray, _ = CASES[name]
        self.action_space = spaces.Discrete(2)
        self.episode = self.clock = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.episode, self.clock = self.episode + 1, 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        self.clock += 1
        strays = self.episode % 2 == 0 and self.clock == 2
        seen = self.stray if strays else self.observation_space.sample()
        return seen, 1.0, False, self.clock == 3, {}


def steps(environments: Any, count: int) -> None:
    for _ in range(count):
        environments.step(np.zeros(2, np.int64))


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("name", list(CASES))
def test_stray_choice_is_a_fault(name: str, way: Any) -> None:
    def made() -> Straying:
        return Straying(name)

    if isinstance(way, AutoresetMode):
        vector = SyncVectorEnv([made, made], autoreset_mode=way)
        environments = make(EnvironmentSource.of(vector), 0, None)
    else:
        environments = make(EnvironmentSource.of(made), 0, 2, vectorization=way)
    try:
        environments.reset()
        steps(environments, 5 if way == AutoresetMode.NEXT_STEP else 4)  # one of which only resets
        with pytest.raises(EnvironmentFault, match=CASES[name][2]):
            steps(environments, 1)
    finally:
        environments.close()


@pytest.mark.parametrize("name", ["choice", "choices", "dict"])
def test_new_episode_begins_after_a_stray_choice(name: str, tmp_path: Any) -> None:
    run = footlight.train(
        "a2c", lambda: Straying(name), steps=40, num_envs=2, on_env_fault="new-episode",
        probe="off", eval_episodes=0, compile="off", hidden_sizes=(8,), quiet=True, threads=1,
        run_dir=tmp_path / "run",
    )  # fmt: skip
    assert (run.folder / "result.json").exists()
