"""Every algorithm learns the known values of the probe environments, and the best actions."""

from typing import Any

import numpy as np
import pytest
import torch

from footlight.environments import probes
from footlight.environments.serial import SerialEnvironments
from footlight.learning.agent import Agent

pytestmark = pytest.mark.usefixtures("replayed_updates")

FAST: dict[str, Any] = {
    "gamma": 0.9,
    "learning_rate": 2e-3,
    "hidden_sizes": (16, 16),
    "batch_size": 64,
    "buffer_size": 2_000,
    "learning_starts": 64,
    "tau": 0.1,
}
OF_METHOD: dict[str, dict[str, Any]] = {
    "sac": {
        "learn_alpha": False,
        "initial_alpha": 1e-3,
    },  # next to no entropy bonus: values are those of the table
    "td3": {"exploration_noise": 0.5},
    "ddpg": {"exploration_noise": 0.5},
    "td7": {  # each episode is one step, whose luck says little of a policy
        "exploration_noise": 0.5,
        "embedding_size": 16,
        "copy_interval": 20,
        "use_checkpoints": False,
    },
}


def trained(algorithm: str, world: type[probes._Probe], steps: int, **fields: Any) -> Agent:
    environments = SerialEnvironments([world()], seed=1, stream="episode")
    settings = FAST | OF_METHOD[algorithm] | fields
    if algorithm == "td7":
        del settings["tau"]
    spaces = environments.observation_space, environments.action_space
    agent = Agent(algorithm, *spaces, seed=1, compile="on", **settings)
    environments.reset()
    for _ in range(steps):
        agent.observe(*environments.step(agent.act(environments.observation, explore=True)))
    return agent


def values(agent: Agent, *observations: Any) -> list[float]:
    """Q(s, actor(s)) of the first critic."""
    observation = np.array(observations, np.float32)
    action = torch.as_tensor(agent.act(observation))
    if agent.name == "td7":  # whose critics see embeddings, too
        with torch.no_grad():
            return agent.algorithm.diagnose(
                agent.state, torch.from_numpy(observation)
            ).value.tolist()
    with torch.no_grad():
        return agent.networks.critic(agent.state.critic, torch.from_numpy(observation), action)[
            0
        ].tolist()


@pytest.mark.parametrize("algorithm", OF_METHOD)
def test_delayed_reward(algorithm: str) -> None:
    agent = trained(algorithm, probes.DelayedReward, 500)
    assert values(agent, [0], [1]) == pytest.approx([0.9, 1], abs=0.1)


@pytest.mark.parametrize("algorithm", OF_METHOD)
def test_follows_the_observation(algorithm: str) -> None:
    agent = trained(algorithm, probes.FollowObservation, 800, updates_per_step=0.5)
    actions = agent.act(np.array([[-0.8], [0.8]], np.float32))[:, 0]
    assert actions == pytest.approx([-0.48, 0.48], abs=0.15)


def test_ends_and_time_limits() -> None:
    """Of the others test_time_limits.py has the values at all kinds of ends."""
    agent = trained("td7", probes.Uneven, 900, n_steps=3)
    known = [3.439, 2.71, 1.9, 1]  # with limits that count as ends 2.65 at the start
    assert values(agent, *np.eye(4)) == pytest.approx(known, abs=0.3)
