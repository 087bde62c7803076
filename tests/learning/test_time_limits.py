"""Every method's critic reaches the known values of worlds that end in every way: see docs/time-limits.md for the arithmetic.

Agents and environments are the real ones and the loop makes the same calls as `Training` does. Networks have no hidden layer, so
that each place of a world has a value of its own: what is wrong with a value then comes from its target. gamma is 0.9.
"""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from footlight.agent import Agent
from footlight.environments import probes
from footlight.environments.make import Environments, EnvironmentSource, make
from footlight.types import Transition

TOLERANCE = 0.03  # of the value

# Step sizes are large, since all targets are exact: at the known values no update has any noise. The actor hardly moves: no reward
# depends on it.
SLOW = {"actor_learning_rate": 1e-3, "hidden_sizes": ()}
REPLAY: dict[str, Any] = SLOW | {
    "critic_learning_rate": 0.05, "batch_size": 32, "buffer_size": 1_000, "learning_starts": 32, "tau": 0.2,
}  # fmt: skip
ROLLOUT: dict[str, Any] = SLOW | {"critic_learning_rate": 0.1, "max_grad_norm": None, "value_coef": 1.0}
FIELDS: dict[str, dict[str, Any]] = {
    "sac": REPLAY | {"learn_alpha": False, "initial_alpha": 1e-6},  # no bonus for entropy, which would be part of the value
    "td3": REPLAY | {"policy_delay": 1},
    "ddpg": REPLAY,
    "actor-critic": ROLLOUT,
    "a2c": ROLLOUT | {"n_steps": 5, "optimizer": "adam"},
    "ppo": ROLLOUT | {"n_steps": 16, "minibatch_size": 16, "num_epochs": 4},
    "reinforce": ROLLOUT,
    "replay-actor-critic": {
        "learning_rate": 0.05, "hidden_sizes": (), "batch_size": 32, "buffer_size": 1_000, "learning_starts": 32, "tau": 0.3,
        "n_steps": 5, "critic_updates_per_actor": 5,
    },
    "stream-ac": {"hidden_sizes": (), "normalize_observations": False, "normalize_rewards": False, "critic_kappa": 1.1},
}  # fmt: skip
UPDATES = {
    "sac": 400, "td3": 400, "ddpg": 400, "actor-critic": 500, "a2c": 250, "ppo": 300, "reinforce": 250,
    "replay-actor-critic": 400, "stream-ac": 800,
}  # fmt: skip
DISCRETE = {"actor-critic", "replay-actor-critic", "stream-ac"}  # the others act in a continuous space

RING = [4.0951, 3.439, 2.71, 1.9, 1]  # 1 + 0.9 + ... of 5, 4, 3, 2, 1 rewards
WORLDS: dict[type[probes._Places], list[float]] = {
    probes.OneStep: [1, 10, 1],
    probes.TerminatingRing: RING,
    probes.TruncatedRing: [10] * 5,
    probes.BothRing: RING,
    probes.TwoRooms: [10, 2],
    probes.LongEpisode: [(1 - 0.9**left) / 0.1 for left in range(12, 0, -1)],
    probes.Uneven: [3.439, 2.71, 1.9, 1],
}

Change = Callable[[Transition, Environments], Transition]


def trained(method: str, source: EnvironmentSource, num_envs: int | None = None, change: Change | None = None, **fields: Any) -> Agent:
    """The agent after its `UPDATES`; `change` falsifies what it is told."""
    environments = make(source, seed=1, num_envs=num_envs)
    spaces = environments.observation_space, environments.action_space
    agent = Agent(method, *spaces, seed=1, num_envs=environments.num_envs, compile="off", gamma=0.9, **FIELDS[method] | fields)
    environments.reset()
    while agent.num_updates < UPDATES[method]:
        transition = environments.step(agent.act(environments.observation, explore=True))
        agent.observe(*(transition if change is None else change(transition, environments)))
    return agent


def values(agent: Agent, num_places: int) -> np.ndarray[Any, Any]:
    """What each critic says of each place, in raw reward, [..., places]: V(s), or Q(s, .) of the policy's action or all choices."""
    seen = np.eye(num_places, dtype=np.float32)
    observation = torch.from_numpy(seen if agent.normaliser is None else agent.normaliser.observation(seen))
    with torch.no_grad():
        if hasattr(agent.state, "critic"):
            action = torch.as_tensor(agent.act(seen))
            return agent.networks.critic(agent.state.critic, observation, action).numpy()
        _, value = agent.networks.actor_critic(agent.state.actor_critic, observation)
    scale = 1 if agent.normaliser is None else agent.normaliser.reward_scale[0]
    return value.numpy().T / scale


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
@pytest.mark.parametrize("method", FIELDS)
def test_known_values(method: str, world: type[probes._Places]) -> None:
    num_envs = 3 if world is probes.Uneven and method != "stream-ac" else 1
    agent = trained(method, lambda: world(discrete=method in DISCRETE), num_envs)
    found = values(agent, len(WORLDS[world]))
    assert found == pytest.approx(np.broadcast_to(WORLDS[world], found.shape), rel=TOLERANCE)
