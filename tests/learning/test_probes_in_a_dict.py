"""Every algorithm learns from each part of an observation that is a Dict: values and actions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from footlight.environments import dict_probes
from footlight.environments.serial import SerialEnvironments
from footlight.instruments.critic_probe import CriticProbe
from footlight.learning.agent import Agent

REPLAY: dict[str, Any] = {
    "learning_rate": 2e-3,
    "hidden_sizes": (16, 16),
    "batch_size": 64,
    "buffer_size": 2_000,
    "learning_starts": 64,
    "tau": 0.1,
}
ROLLOUT: dict[str, Any] = {"learning_rate": 1e-2, "hidden_sizes": (16, 16)}
FIELDS: dict[str, dict[str, Any]] = {
    "sac": REPLAY | {"learn_alpha": False, "initial_alpha": 1e-3},
    "td3": REPLAY | {"exploration_noise": 0.5},
    "ddpg": REPLAY | {"exploration_noise": 0.5},
    "td7": {name: value for name, value in REPLAY.items() if name != "tau"}
    | {
        "exploration_noise": 0.5,
        "embedding_size": 16,
        "copy_interval": 20,
        "use_checkpoints": False,
    },
    "actor-critic": ROLLOUT | {"learning_rate": 5e-3},
    "a2c": ROLLOUT | {"n_steps": 8},
    "ppo": ROLLOUT | {"n_steps": 32, "minibatch_size": 32, "num_epochs": 4},
    "reinforce": ROLLOUT,
    "replay-actor-critic": {
        "learning_rate": 5e-3,
        "hidden_sizes": (16, 16),
        "batch_size": 64,
        "buffer_size": 2_000,
        "learning_starts": 64,
        "tau": 0.1,
        "n_steps": 4,
        "critic_updates_per_actor": 4,
    },
    "sac-discrete": REPLAY | {"learn_alpha": False, "initial_alpha": 1e-3, "learning_rate": 5e-3},
    "stream-ac": {
        "hidden_sizes": (32,),
        "normalize_observations": False,
        "normalize_rewards": False,
        "initialization": "pytorch",  # with fewer than 10 inputs, sparse weights would all be 0
    },
}
LONG: dict[str, Any] = {"learning_rate": 1e-3, "hidden_sizes": (32, 32)}
CONTINUOUS = {"sac", "td3", "ddpg", "td7"}
STEPS = {
    "sac": 500, "td3": 500, "ddpg": 500, "replay-actor-critic": 1_000, "sac-discrete": 1_000,
    "td7": 800,
}  # fmt: skip
MORE_STEPS = 2_500  # of the others


class Trained:
    """An agent after its steps in a world, and what it says of numbers."""

    def __init__(self, algorithm: str, make: Callable[[bool], Any], is_long: bool = False) -> None:
        """is_long: whether the actor has to learn, too, which takes longer with replay."""
        environments = SerialEnvironments([make(algorithm not in CONTINUOUS)], 1, "episode")
        spaces = environments.observation_space, environments.action_space
        settings = FIELDS[algorithm] | (LONG if is_long and algorithm in CONTINUOUS else {})
        self.agent = Agent(algorithm, *spaces, seed=1, compile="off", gamma=0.9, **settings)
        environments.reset()
        steps = STEPS.get(algorithm, MORE_STEPS)
        for _ in range(2 * steps if is_long and algorithm in CONTINUOUS else steps):
            action = self.agent.act(environments.observation, explore=True)
            self.agent.observe(*environments.step(action))

    def values(self, *numbers: float) -> list[float]:
        agent = self.agent
        probe = CriticProbe(agent.algorithm, agent.spaces, agent.state, agent.normalizer)
        return [float(probe(seen(number)).value) for number in numbers]

    def actions(self, *numbers: float) -> list[float]:
        return [float(np.squeeze(self.agent.act(seen(number)))) for number in numbers]


def seen(number: float) -> dict[str, Any]:
    return dict_probes.as_dict(np.array([number], np.float32))


@pytest.mark.parametrize("algorithm", list(FIELDS))
class TestDictProbes:
    def test_observed_reward(self, algorithm: str) -> None:
        trained = Trained(algorithm, dict_probes.observed_reward)
        assert trained.values(-1, 1) == pytest.approx([-1, 1], abs=0.15)

    def test_follows_the_observation(self, algorithm: str) -> None:
        trained = Trained(algorithm, dict_probes.follow_observation, is_long=True)
        wanted = [-0.48, 0.48] if algorithm in CONTINUOUS else [0, 1]
        assert trained.actions(-0.8, 0.8) == pytest.approx(wanted, abs=0.15)
