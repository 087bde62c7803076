"""Vector environments of SuperSuit and Stable-Baselines3, by small stand-ins of both.

tests/walls/test_real_packages.py tries the packages themselves, where they are installed.
"""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

import footlight
from footlight.environments.foreign import Agents, BaselinesEnvironments, Translated, translated
from footlight.environments.vector import VectorEnvironments
from footlight.errors import UserError

ALL, LENGTH = 3, 5


class Markov(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """As SuperSuit's: 3 agents, spaces of one agent, a list as info, a reset at the end of all."""

    metadata = {"name": "crossing_v0"}  # noqa: RUF012
    num_envs = ALL
    observation_space = gymnasium.spaces.Box(-5, 5, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(4)

    def reset(self, seed: Any = None, options: Any = None) -> Any:
        self.steps = 0
        return self.observe(), [{} for _ in range(ALL)]

    def step(self, actions: Any) -> Any:
        assert actions.shape == (ALL,)
        assert actions.dtype == np.int64
        self.steps += 1
        observation, infos = self.observe(), [{"at": self.steps} for _ in range(ALL)]
        if self.steps == LENGTH:
            infos = [{"terminal_observation": row, "at": self.steps} for row in observation]
            observation, _ = self.reset()
        ended = np.full(ALL, self.steps == 0, np.uint8)
        reward = np.arange(ALL, dtype=np.float32)
        return observation, reward, np.zeros(ALL, np.uint8), ended, infos

    def observe(self) -> Any:
        return np.stack([np.arange(ALL), np.full(ALL, self.steps)], 1).astype(np.float32)


class VecEnv:
    """As Stable-Baselines3's, whose class has this name: one flag, and a list as info."""

    __module__ = "stable_baselines3.common.vec_env.base_vec_env"
    num_envs = 2
    observation_space = Markov.observation_space
    action_space = Markov.action_space
    seeds: list[int]

    def __init__(self) -> None:
        self.seeds, self.closed = [], False

    def get_attr(self, name: str, indices: Any = None) -> Any:
        assert (name, indices) == ("spec", [0])
        return [EnvSpec("Crossing-v1", "nowhere:Nothing")]

    def seed(self, seed: int) -> None:
        self.seeds.append(seed)

    def reset(self) -> Any:
        self.time = np.zeros(2, int)
        return self.observe()

    def observe(self) -> Any:
        return np.stack([self.time, self.time], 1).astype(np.float32)

    def step(self, actions: Any) -> Any:
        """The first is cut off after three steps, the second terminates after four."""
        self.time += 1
        ended, infos = self.time >= [3, 4], [{}, {}]  # type: list[bool], list[dict[str, Any]]
        for env in np.flatnonzero(ended):
            infos[env] = {
                "terminal_observation": self.observe()[env],
                "TimeLimit.truncated": env == 0,
                "is_success": env == 1,
            }
        self.time[ended] = 0
        return self.observe(), np.ones(2, np.float32), np.array(ended), infos

    def close(self) -> None:
        self.closed = True


def stepped(env: Any, steps: int) -> tuple[VectorEnvironments, list[Any]]:
    environments = VectorEnvironments(env, 7, "episode")
    environments.reset()
    actions = np.zeros(environments.num_envs, np.int64)
    return environments, [environments.step(actions) for _ in range(steps)]


def test_agents_of_supersuit_become_a_vector_environment() -> None:
    environments, steps = stepped(translated(Markov()), 6)
    assert [s.next_observation[0, 1] for s in steps] == [1, 2, 3, 4, 5, 1]
    assert [s.observation[0, 1] for s in steps] == [0, 1, 2, 3, 4, 0]
    assert [s.truncated.all() for s in steps] == [False, False, False, False, True, False]
    assert not any(s.terminated.any() for s in steps)
    assert environments.tracker.index.tolist() == [1, 1, 1]
    assert environments.tracker.total.tolist() == [0, 1, 2]


def test_time_limits_and_terminations_of_stable_baselines3_are_told_apart() -> None:
    vec_env = VecEnv()
    environments, steps = stepped(translated(vec_env), 4)
    assert [s.truncated.tolist() for s in steps[2:]] == [[True, False], [False, False]]
    assert [s.terminated.tolist() for s in steps[2:]] == [[False, False], [False, True]]
    assert steps[2].next_observation[:, 0].tolist() == [3, 3]
    assert steps[3].observation[:, 0].tolist() == [0, 3]
    assert environments.finished[0].info == {"TimeLimit.truncated": False, "is_success": True}
    assert len(vec_env.seeds) == 1
    environments.close()
    assert vec_env.closed


def test_run_is_named_after_the_environment_and_needs_another_one_for_evaluations(
    tmp_path: Path,
) -> None:
    settings: dict[str, Any] = {"steps": 60, "compile": "off", "quiet": True}
    run = footlight.train("a2c", Markov(), run_dir=tmp_path / "agents", **settings)
    assert run.config["environment"] == "crossing_v0"
    reason = "a Markov cannot be made again, so evaluations need an eval_environment"
    assert run.config["no_evaluations"] == reason
    assert {row["return"] for row in run.episodes()} == {0.0, 5.0, 10.0}
    run = footlight.train(
        "a2c", VecEnv(), eval_environment=VecEnv(), log_info=("is_success",),
        run_dir=tmp_path / "baselines", eval_episodes=2, **settings,
    )  # fmt: skip
    assert run.config["environment"] == "Crossing-v1"
    assert run.result["final_evaluation"]["returns"] == [3.0, 4.0]  # type: ignore[index]
    assert {row["info"]["is_success"] for row in run.episodes()} == {False, True}


def test_end_without_the_last_observation_is_a_fault() -> None:
    class Silent(Markov):
        def step(self, actions: Any) -> Any:
            *rest, infos = super().step(actions)
            return *rest, [{} for _ in infos]

    with pytest.raises(footlight.EnvironmentFault, match="has no 'terminal_observation'"):
        stepped(translated(Silent()), LENGTH)


class VecNormalize(VecEnv):
    """As Stable-Baselines3's, which wraps another."""

    def __init__(self, venv: Any) -> None:
        self.venv = venv


class SB3VecEnvWrapper(VecNormalize):
    """As SuperSuit's, around its own agents."""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (VecNormalize(VecEnv()), r"VecNormalize cannot be trained in .* normalize_observations"),
        (SB3VecEnvWrapper(Markov()), 'base_class="gymnasium"'),
    ],
)
def test_environment_that_hides_something_is_refused(given: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        translated(given)


def test_anything_else_is_left_alone() -> None:
    own = Agents(Markov())
    assert translated(own) is None  # one of Gymnasium's already
    assert translated(gymnasium.make("CartPole-v1")) is None
    assert translated("CartPole-v1") is None
    assert isinstance(translated(VecEnv()), BaselinesEnvironments)
    assert isinstance(own, Translated)


def test_environment_without_a_name_gets_that_of_its_class() -> None:
    class Nameless(Markov):
        metadata = {}  # noqa: RUF012

    class Unknown(VecEnv):
        def get_attr(self, name: str, indices: Any = None) -> Any:
            raise AttributeError(name)

    assert Agents(Nameless()).spec is None
    assert BaselinesEnvironments(Unknown()).spec is None
