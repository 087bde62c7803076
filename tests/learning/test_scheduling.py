"""Config fields that change during a run: updates are those of an agent that was made with them."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.learning.scheduling import scheduled, with_values
from tolerance import assert_close

SEEN = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
ACTED = gymnasium.spaces.Box(-2, 2, (2,), np.float32)
CHOICE = gymnasium.spaces.Discrete(3)
CHOICES = gymnasium.spaces.MultiDiscrete([2, 3])
OFF: dict[str, Any] = {"learning_starts": 4, "batch_size": 8, "hidden_sizes": (8,)}
CASES: list[tuple[str, Any, dict[str, Any], dict[str, float]]] = [
    ("sac", ACTED, OFF, {"learning_rate": 2e-3}),
    ("sac", ACTED, OFF, {"critic_learning_rate": 2e-3, "alpha_learning_rate": 5e-3}),
    ("td3", ACTED, OFF, {"actor_learning_rate": 2e-3, "exploration_noise": 0.4}),
    ("ddpg", ACTED, OFF, {"learning_rate": 2e-3}),
    ("a2c", ACTED, {"hidden_sizes": (8,)}, {"learning_rate": 2e-3, "entropy_coef": 0.3}),
    ("a2c", ACTED, {"hidden_sizes": (8,)}, {"actor_learning_rate": 2e-3}),
    (
        "ppo", CHOICES, {"hidden_sizes": (8,), "n_steps": 8, "minibatch_size": 4},
        {"clip_range": 0.05, "learning_rate": 2e-3},
    ),
    (
        "impala", CHOICE, {"hidden_sizes": (8,), "n_steps": 8, "num_epochs": 2},
        {"learning_rate": 2e-3, "entropy_coef": 0.3},
    ),
    ("actor-critic", CHOICE, {"hidden_sizes": (8,)}, {"entropy_coef": 0.3}),
    ("reinforce", CHOICE, {"hidden_sizes": (8,)}, {"learning_rate": 2e-2}),
    ("stream-ac", CHOICE, {"hidden_sizes": (8,)}, {"entropy_coef": 0.3}),
    (
        "replay-actor-critic", CHOICE, {**OFF, "actor_signal": "advantage"},
        {"exploration_epsilon": 0.5, "learning_rate": 2e-3},
    ),
]  # fmt: skip


COMPILED = CASES[1], CASES[6]


def learn(agent: Agent, steps: int = 24, begin: int = 0) -> None:
    rng = np.random.default_rng(begin)
    seen = rng.uniform(-1, 1, 3).astype(np.float32)
    for step in range(begin, begin + steps):
        action = agent.act(seen, explore=True)
        following = rng.uniform(-1, 1, 3).astype(np.float32)
        agent.observe(seen, action, float(rng.normal()), following, step % 8 == 7, False)
        seen = following


def weights(agent: Agent) -> np.ndarray:
    return np.concatenate([array.ravel() for array in agent.policy.arrays().values()])


@pytest.mark.parametrize(
    ("name", "acted", "fields", "changes", "compile"),
    [(*case, "off") for case in CASES] + [(*case, "on") for case in COMPILED],
)
def test_set_at_the_start_equals_the_config(
    name: str, acted: Any, fields: dict[str, Any], changes: dict[str, float], compile: Any
) -> None:
    made = Agent(name, SEEN, acted, seed=1, compile="off", **{**fields, **changes})
    changed = Agent(name, SEEN, acted, seed=1, compile=compile, **fields)
    plain = Agent(name, SEEN, acted, seed=1, compile="off", **fields)
    changed.set(**changes)
    for agent in (made, changed, plain):
        learn(agent)
    assert changed.num_updates > 0
    assert_close(weights(changed), weights(made), terms=64, depth=64)
    assert not np.array_equal(weights(changed), weights(plain))
    assert changed.config == plain.config
    assert changed.scheduled == changes


@pytest.mark.parametrize("compile", ["off", "on"])
def test_values_change_again_and_again_without_compiling_again(compile: Any) -> None:
    agent = Agent("a2c", SEEN, ACTED, hidden_sizes=(8,), compile=compile)
    agent.set(learning_rate=1e-3)
    learn(agent, 10)
    before, steps = weights(agent), dict(agent.learner.compilation.steps)
    agent.set(learning_rate=1e-30)
    learn(agent, 10, begin=10)
    assert np.allclose(weights(agent), before, atol=1e-20, rtol=0)
    agent.set(learning_rate=1e-2)
    learn(agent, 10, begin=20)
    assert not np.allclose(weights(agent), before, atol=1e-4)
    assert dict(agent.learner.compilation.steps) == steps


def test_saved_agents_keep_their_changes(tmp_path: Path) -> None:
    straight = Agent("td3", SEEN, ACTED, seed=2, compile="off", **OFF)
    learn(straight, 12)
    straight.set(critic_learning_rate=1e-2, exploration_noise=0.5)
    straight.save(tmp_path / "agent")
    resumed = Agent.load(tmp_path / "agent")
    assert resumed.scheduled == straight.scheduled
    assert resumed.config == straight.config
    for agent in (straight, resumed):
        learn(agent, 20, begin=12)
    assert np.array_equal(weights(straight), weights(resumed))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gamma": 0.9}, "gamma cannot change during a run of sac - fields that can change: "),
        ({"gama": 0.9}, "gama is not a field of sac"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": "fast"}, "learning_rate"),
        ({"actor_learning_rate": None}, "cannot become none"),
    ],
)
def test_other_fields_and_bad_values_are_refused(values: dict[str, Any], message: str) -> None:
    agent = Agent("sac", SEEN, ACTED, compile="off", **OFF)
    with pytest.raises(UserError, match=message):
        agent.set(**values)
    assert agent.scheduled == {}


def test_values_are_numbers_of_the_fields_types() -> None:
    config = Agent("sac", SEEN, ACTED, compile="off", **OFF).config
    assert scheduled(config, {"learning_rate": np.float64(0.5)}, "sac") == {"learning_rate": 0.5}


def test_algorithm_with_other_values_leaves_the_first_as_it_was() -> None:
    algorithm = Agent("sac", SEEN, ACTED, compile="off", **OFF).algorithm
    before = algorithm.config
    assert with_values(algorithm, {"tau": 0.5}).config.tau == 0.5
    assert algorithm.config is before
    assert before.tau == 0.005
