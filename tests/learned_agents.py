"""A short training of each algorithm in a loop of its own, and everything that came of it."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from variants import VARIANTS, small

import footlight
from footlight.learning import saved_agent
from footlight.learning.agent import Agent

SEEN = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
ACTED = gymnasium.spaces.Box(-2, 2, (2,), np.float32)
FIELDS: dict[str, dict[str, Any]] = {
    **{name: {"learning_starts": 4, "batch_size": 8} for name in ("sac", "td3", "ddpg")},
    **{name: small(name) for name in VARIANTS},
    "replay-actor-critic": {"learning_starts": 4, "batch_size": 8, "n_steps": 4},
    "sac-discrete": {"learning_starts": 4, "batch_size": 8},
    "td7": {"learning_starts": 4, "batch_size": 8},
    "ppo": {"n_steps": 8, "minibatch_size": 8, "num_epochs": 2},
    "a2c": {"n_steps": 4},
    "impala": {"n_steps": 4, "num_epochs": 2},
    **{name: {} for name in ("actor-critic", "reinforce", "stream-ac")},
}


def learned(name: str, folder: Path) -> dict[str, bytes]:
    """Everything that an agent is after a few updates, and what it and its saved policy do."""
    chooses = name in ("replay-actor-critic", "sac-discrete")
    space = gymnasium.spaces.Discrete(3) if chooses else ACTED
    fields = {"hidden_sizes": (8, 8)} | FIELDS[name]
    agent = Agent(name, SEEN, space, seed=1, compile="off", **fields)
    stream = np.random.default_rng(0)
    seen = stream.uniform(-1, 1, 3).astype(np.float32)
    for step in range(24):
        action = agent.act(seen, explore=True)
        following = stream.uniform(-1, 1, 3).astype(np.float32)
        agent.observe(seen, action, float(stream.normal()), following, step % 8 == 7, False)
        seen = following
    agent.finish()
    assert agent.num_updates > 0
    agent.save(folder)
    acted = footlight.load(folder).act(stream.uniform(-1, 1, (100, 3)).astype(np.float32))
    module = agent.policy.module().state_dict()
    again = Agent.load(folder)
    arrays = {
        f"{group}.{key}": array
        for group, named in saved_agent.groups(again).items()
        for key, array in named.items()
    }
    return {
        key: np.asarray(array).tobytes()
        for key, array in {**arrays, **module, "acted": acted}.items()
    }
