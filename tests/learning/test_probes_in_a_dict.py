"""Every algorithm learns from each part of an observation that is a Dict."""

from typing import Any

import numpy as np
import pytest

from footlight.environments import dict_probes
from footlight.environments.serial import SerialEnvironments
from footlight.learning.agent import Agent

pytestmark = pytest.mark.usefixtures("replayed_updates")

REPLAY: dict[str, Any] = {
    "learning_rate": 1e-3,
    "hidden_sizes": (32, 32),
    "batch_size": 64,
    "buffer_size": 2_000,
    "learning_starts": 64,
    "tau": 0.1,
}
CONTINUOUS_REPLAY = REPLAY | {"learning_rate": 2e-3, "updates_per_step": 0.5}
DISCRETE_REPLAY = REPLAY | {"learning_rate": 5e-3, "hidden_sizes": (16, 16)}
ROLLOUT: dict[str, Any] = {"learning_rate": 1e-2, "hidden_sizes": (16, 16)}
FIELDS: dict[str, dict[str, Any]] = {
    "sac": CONTINUOUS_REPLAY | {"learn_alpha": False, "initial_alpha": 1e-3},
    "td3": CONTINUOUS_REPLAY | {"exploration_noise": 0.5},
    "ddpg": CONTINUOUS_REPLAY | {"exploration_noise": 0.5},
    "td7": {name: value for name, value in REPLAY.items() if name != "tau"}
    | {
        "exploration_noise": 0.5,
        "embedding_size": 16,
        "copy_interval": 20,
        "use_checkpoints": False,
    },
    "actor-critic": ROLLOUT | {"learning_rate": 5e-3},
    "a2c": ROLLOUT | {"n_steps": 8},
    "impala": ROLLOUT | {"n_steps": 16, "num_epochs": 2},
    "ppo": ROLLOUT | {"n_steps": 32, "minibatch_size": 32, "num_epochs": 4},
    "reinforce": ROLLOUT,
    "replay-actor-critic": DISCRETE_REPLAY | {"n_steps": 4, "critic_updates_per_actor": 4},
    "sac-discrete": DISCRETE_REPLAY | {"learn_alpha": False, "initial_alpha": 1e-3},
    "stream-ac": {
        "hidden_sizes": (32,),
        "normalize_observations": False,
        "normalize_rewards": False,
        "initialization": "pytorch",  # with fewer than 10 inputs, sparse weights would all be 0
    },
}
CONTINUOUS = {"sac", "td3", "ddpg", "td7"}
STEPS = {
    "a2c": 2_500,
    "impala": 2_500,
    "ppo": 2_500,
    "sac-discrete": 700,
    "replay-actor-critic": 700,
}
STEPS["actor-critic"] = 1_500
STEPS |= dict.fromkeys(CONTINUOUS, 1_000)
MORE_STEPS = 1_000  # of those that learn from each step once


def trained(algorithm: str) -> Agent:
    """An agent after its steps in the world whose best action is 0.6 of what it sees, or its sign
    if actions are discrete."""
    environments = SerialEnvironments(
        [dict_probes.follow_observation(algorithm not in CONTINUOUS)], 1, "episode"
    )
    spaces = environments.observation_space, environments.action_space
    agent = Agent(algorithm, *spaces, seed=1, compile="on", gamma=0.9, **FIELDS[algorithm])
    environments.reset()
    for _ in range(STEPS.get(algorithm, MORE_STEPS)):
        action = agent.act(environments.observation, explore=True)
        agent.observe(*environments.step(action))
    return agent


def seen(number: float) -> dict[str, Any]:
    return dict_probes.as_dict(np.array([number], np.float32))


@pytest.mark.parametrize("algorithm", list(FIELDS))
def test_follows_the_observation(algorithm: str) -> None:
    agent = trained(algorithm)
    actions = [float(np.squeeze(agent.act(seen(number)))) for number in (-0.8, 0.8)]
    wanted = [-0.48, 0.48] if algorithm in CONTINUOUS else [0, 1]
    assert actions == pytest.approx(wanted, abs=0.15)
