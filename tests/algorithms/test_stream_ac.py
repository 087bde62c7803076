"""The streaming update against algorithms 2 and 3 of Elsayed et al. 2024, written out as a slow loop: two traces, two steps."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor

from footlight.agent import Agent
from tolerance import assert_close

OBSERVATIONS = gymnasium.spaces.Box(-1, 1, (3,), np.float32)


def slow_step(agent: Agent, weights: Tensor, traces: list[Tensor], seen: Tensor, action: Tensor, reward: float, after: Tensor,
              terminated: bool, ended: bool) -> tuple[Tensor, list[Tensor]]:  # fmt: skip
    """New weights and traces of actor and critic after one transition."""
    config, networks = agent.config, agent.networks
    is_critic = networks.actor_critic.marked("critic") > 0
    value_of = lambda w, observation: networks.actor_critic(w, observation)[1][0]  # noqa: E731
    bootstrap = 0.0 if terminated else config.gamma * float(value_of(weights, after))
    delta = reward + bootstrap - float(value_of(weights, seen))

    leaf = weights.clone().requires_grad_()
    output = networks.actor_critic(leaf, seen)[0]
    log_prob, entropy = networks.head.log_prob(output, action)[0], networks.head.entropy(output, torch.zeros(1, 0))[0]
    (actor_gradient,) = torch.autograd.grad(log_prob + config.entropy_coef * np.sign(delta) * entropy, leaf)
    (critic_gradient,) = torch.autograd.grad(value_of(leaf, seen), leaf)
    actor_gradient, critic_gradient = actor_gradient * ~is_critic, critic_gradient * is_critic

    weights, following = weights.clone(), []
    for trace, gradient, step_size, kappa in (
        (traces[0], actor_gradient, config.actor_step_size, config.actor_kappa),
        (traces[1], critic_gradient, config.critic_step_size, config.critic_kappa),
    ):
        trace = config.gamma * config.trace_lambda * trace + gradient
        overshoot = step_size * kappa * max(abs(delta), 1.0) * float(trace.abs().sum())
        weights += min(step_size / overshoot, step_size) * delta * trace
        following.append(torch.zeros_like(trace) if ended else trace)
    return weights, following


@pytest.mark.parametrize("actions", [gymnasium.spaces.Discrete(3), gymnasium.spaces.Box(-2, 2, (2,), np.float32)])
def test_equals_a_slow_loop(actions: gymnasium.Space[Any]) -> None:
    plain = {"normalize_observations": False, "normalize_rewards": False, "hidden_sizes": (16, 16), "entropy_coef": 0.1}
    agent = Agent("stream-ac", OBSERVATIONS, actions, seed=1, compile="off", **plain)
    weights = agent.state.actor_critic.clone()
    traces = [torch.zeros_like(weights)] * 2
    world = np.random.default_rng(0)
    for step in range(40):
        seen, after = world.uniform(-1, 1, (2, 1, 3)).astype(np.float32)
        reward, terminated, truncated = float(world.normal(0, 3)), step % 9 == 8, step % 7 == 6
        given = agent.act(seen, explore=True)
        drawn = torch.as_tensor(agent._drawn(given))
        agent.observe(seen, given, reward, after, terminated, truncated)
        before, behind = torch.as_tensor(seen), torch.as_tensor(after)
        ended = terminated or truncated
        weights, traces = slow_step(agent, weights, traces, before, drawn, reward, behind, terminated, ended)
        assert_close(agent.state.actor_critic, weights, terms=16, depth=36)
        assert_close(agent.state.trace, traces[0] + traces[1], terms=16, depth=36)  # three layers, there and back
    assert not weights.equal(agent.networks.actor_critic.initial)
