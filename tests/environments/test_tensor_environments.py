"""The CartPole and Pendulum in torch (`tensor_environments`) beside Gymnasium's, and training on
both."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from tensor_environments import CartPole, Pendulum, TensorSimulation
from torch import Tensor

import footlight
from footlight.types import Array
from tolerance import assert_close

STARTS = {"CartPole-v1": (0.05, 0.05, 0.05, 0.05), "Pendulum-v1": (np.pi, 1.0)}
TORCH: dict[str, type[TensorSimulation]] = {"CartPole-v1": CartPole, "Pendulum-v1": Pendulum}


def start_of(env: int, episode: int, high: tuple[float, ...]) -> Array:
    """Where an episode begins, in both versions."""
    return np.random.default_rng((env, episode)).uniform(-1, 1, len(high)) * high


class Starting(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Gymnasium's environment, whose episodes begin at given states."""

    def __init__(self, name: str, env: int) -> None:
        super().__init__(gymnasium.make(name))
        self.number, self.episode, self.high = env, 0, STARTS[name]

    def reset(self, **named: Any) -> Any:
        super().reset(**named)
        plain: Any = self.unwrapped
        plain.state = start_of(self.number, self.episode, self.high)
        self.episode += 1
        if len(self.high) == 2:
            return plain._get_obs(), {}
        return np.array(plain.state, np.float32), {}


def by_gymnasium(name: str, num_envs: int) -> SyncVectorEnv:
    makes = [lambda env=env: Starting(name, env) for env in range(num_envs)]
    return SyncVectorEnv(makes, autoreset_mode=AutoresetMode.SAME_STEP)


def by_torch(name: str, num_envs: int) -> TensorSimulation:
    class Same(TORCH[name]):  # type: ignore[misc, valid-type]
        """Begins episodes where `Starting` does."""

        def __init__(self, num_envs: int) -> None:
            super().__init__(num_envs)
            self.episode = np.full(num_envs, -1)

        def uniform(self, *high: float) -> Tensor:
            # Called once for each step, and used where an episode has ended
            ended = (self.elapsed >= self.time_limit) | self.fallen
            self.episode += ended.numpy()
            pairs = enumerate(self.episode.tolist())
            return torch.from_numpy(np.stack([start_of(*pair, high) for pair in pairs]))

        def move(self, *state_and_action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            state, reward, self.fallen = super().move(*state_and_action)
            return state, reward, self.fallen

        def reset(self, **named: Any) -> Any:
            self.fallen = torch.ones(self.num_envs, dtype=torch.bool)
            return super().reset(**named)

    return Same(num_envs)


@pytest.mark.parametrize("name", TORCH)
def test_every_step_is_that_of_gymnasium(name: str) -> None:
    """Two episodes' worth of steps: each rounds a few times, and the errors of all add up."""
    num_envs, num_steps = 6, 420
    theirs, ours = by_gymnasium(name, num_envs), by_torch(name, num_envs)
    generator, space = np.random.default_rng(3), theirs.single_action_space
    first, _ = theirs.reset()
    assert_close(ours.reset()[0].numpy(), first)
    num_ends = 0
    for _ in range(num_steps):
        if isinstance(space, gymnasium.spaces.Discrete):
            action = generator.integers(0, 2, num_envs)
        else:
            action = generator.uniform(-2, 2, (num_envs, 1)).astype(np.float32)
        observation, reward, terminated, truncated, info = theirs.step(action)
        answer = ours.step(torch.from_numpy(action))
        # The states are float64, whose errors do not reach the digits of float32
        assert_close(answer[0].numpy(), observation)
        assert_close(answer[1].numpy(), np.asarray(reward, np.float32))
        assert answer[2].tolist() == terminated.tolist()
        assert answer[3].tolist() == truncated.tolist()
        ended = terminated | truncated
        num_ends += ended.sum()
        if ended.any():
            final = answer[4]["final_obs"].numpy()[ended]
            assert_close(final, np.stack(info["final_obs"][ended].tolist()))
    assert num_ends >= 2 * num_envs


@pytest.mark.parametrize(("algorithm", "name"), [("ppo", "CartPole-v1"), ("sac", "Pendulum-v1")])
def test_training_is_that_on_gymnasiums_vector_environment(
    tmp_path: Path, algorithm: str, name: str
) -> None:
    """The same episodes and updates: after these, numbers differ by the rounding of observations
    alone."""
    values: dict[str, Any] = {
        "ppo": {"n_steps": 25, "minibatch_size": 50, "num_epochs": 2},
        "sac": {
            "learning_starts": 100,
            "batch_size": 16,
            "updates_per_step": 0.1,
            "hidden_sizes": (16,),
        },
    }[algorithm]
    runs = [
        footlight.train(
            algorithm, make(name, 4), steps=1000, seed=5, compile="off", quiet=True,
            eval_episodes=0, probe="off", run_dir=tmp_path / make.__name__, **values,
        )
        for make in (by_torch, by_gymnasium)
    ]  # fmt: skip
    ours, theirs = (run.episodes() for run in runs)
    assert len(theirs) >= 4
    for row, wanted in zip(ours, theirs, strict=True):
        assert {**row, "return": 0} == {**wanted, "return": 0}
        assert_close(row["return"], wanted["return"], terms=200, dtype=np.float32)
    ours, theirs = (run.metrics() for run in runs)
    for row, wanted in zip(ours, theirs, strict=True):
        numbers = {key: value for key, value in wanted.items() if key != "time_s"}
        assert_close({key: row[key] for key in numbers}, numbers, terms=1000, dtype=np.float32)
    one, other = (footlight.load(run.folder).arrays() for run in runs)
    assert_close(one, other, terms=1000)


@pytest.mark.parametrize("env_class", TORCH.values())
def test_seeds_determine_the_episodes(env_class: type[TensorSimulation]) -> None:
    first, again, other = (env_class(5).reset(seed=seed)[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(first.unique(dim=0)) == 5
