"""Sizes of parameters and updates beside steps that are really made."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from footlight.diagnostics.parameters import initial_parameters, parameter_sizes
from footlight.equations.optimizers import Optimizer
from footlight.learning.agent import Agent
from tolerance import assert_close

SEEN, ACT = gymnasium.spaces.Box(-1, 1, (3,)), gymnasium.spaces.Box(-1, 1, (1,))


def trained(algorithm: str, steps: int, **fields: Any) -> Agent:
    if algorithm == "td3":
        fields = {"buffer_size": 100, "batch_size": 8, "learning_starts": 10, **fields}
    agent = Agent(
        algorithm, SEEN, ACT, compile="off", hidden_sizes=(8, 8), total_steps=100, **fields
    )
    stream = np.random.default_rng(0)
    for _ in range(steps):
        state, following = stream.uniform(-1, 1, (2, 3)).astype(np.float32)
        action = agent.act(state, explore=True)
        agent.observe(state, action, float(state[0]), following, False, False)
    return agent


def test_growth_and_distance_of_copies() -> None:
    agent = trained("td3", 0)
    first = initial_parameters(agent)
    agent.state.critic.mul_(3)
    found = parameter_sizes(agent, first)
    assert_close(found["critic.weight_growth"], 3.0, terms=16, dtype=np.float32)
    # The target is where the critic began
    assert_close(found["critic.target_distance"], 1.0, terms=16, dtype=np.float32)
    assert found["actor.weight_growth"] == 1
    assert "actor.target_distance" not in found  # which has not moved
    agent.state.target_critic.copy_(agent.state.critic)
    assert parameter_sizes(agent, first)["critic.target_distance"] == 0


def test_update_size_is_that_of_the_last_step_with_adam() -> None:
    agent = trained("td3", 40)
    state, before = agent.state, agent.state.critic.clone()
    found = parameter_sizes(agent, initial_parameters(agent))
    # A gradient that leaves both moments unchanged repeats the step they describe
    optimizer, memory = agent.config.make_optimizer(), state.critic_optimizer
    first = memory.first_moment / (1 - memory.first_bias)
    second = memory.second_moment / (1 - memory.second_bias)
    step = agent.config.rate_of_critic * first / (second.sqrt() + optimizer.epsilon)
    assert step.norm() > 0
    assert_close(
        found["critic.update_size"], float(step.norm() / before.norm()), terms=64, dtype=np.float32
    )
    moved = trained("td3", 41).state.critic - before
    assert 0.3 < float(moved.norm() / step.norm()) < 3


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_update_size_with_rmsprop_follows_the_schedule(schedule: str) -> None:
    agent = trained("a2c", 60, n_steps=5, learning_rate_schedule=schedule, learning_rate=0.01)
    found = parameter_sizes(agent, initial_parameters(agent))["actor_critic.update_size"]
    parameters = agent.state.actor_critic
    left = 1 - float(agent.state.progress) if schedule == "linear" else 1
    count = int((agent.state.optimizer.second_moment > 1e-6).sum())
    most = 0.01 * left * np.sqrt(len(parameters)) / float(parameters.norm())
    assert 0.5 * most * np.sqrt(count / len(parameters)) < found <= most * 1.0001


def test_scheduled_learning_rates_count() -> None:
    agent = trained("td3", 40)
    first = initial_parameters(agent)
    before = parameter_sizes(agent, first)["critic.update_size"]
    agent.set(learning_rate=2 * agent.config.learning_rate)
    assert_close(
        parameter_sizes(agent, first)["critic.update_size"], 2 * before, terms=16, dtype=np.float32
    )


def test_nothing_is_said_of_updates_before_the_first() -> None:
    agent = trained("td3", 0)
    found = parameter_sizes(agent, initial_parameters(agent))
    assert "critic.update_size" not in found
    assert Optimizer().init(torch.zeros(2)).first_bias == 1
