"""Actor-critic with replay: targets and penalties by hand, and how experience is collected."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.types import MixedBatch

OBSERVATIONS, CHOICES = gymnasium.spaces.Box(-1, 1, (1,), np.float32), gymnasium.spaces.Discrete(3)


class Fixed(torch.nn.Module):
    """Constant logits and Q(s, .): p = (0.5, 0.25, 0.25), Q = (1, 5, -2)."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor([2.0, 1.0, 1.0]).log())
        self.q = torch.nn.Parameter(torch.tensor([1.0, 5.0, -2.0]))

    def forward(self, observation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple(part.expand(len(observation), 3) for part in (self.logits, self.q))


def agent_of(**fields: Any) -> Agent:
    settings: dict[str, Any] = {
        "gamma": 0.5,
        "tau": None,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "max_grad_norm": None,
    }
    return Agent(
        "replay-actor-critic",
        OBSERVATIONS,
        CHOICES,
        network=Fixed,
        compile="off",
        **(settings | fields),
    )


def critic_step(**fields: Any) -> tuple[list[float], dict[str, float]]:
    """Q and metrics after one step on two transitions of action 0 with reward 1.

    The second one terminates.
    """
    agent = agent_of(**fields)
    zeros = torch.zeros(2, 1)
    batch = MixedBatch(
        zeros, torch.zeros(2, 1, dtype=torch.int64), torch.ones(2), zeros, torch.tensor([0.5, 0.0]),
        zeros[None], torch.zeros(1, 2, 1, dtype=torch.int64), torch.ones(1, 2),
    )  # fmt: skip
    metrics = agent.algorithm.update_critic(agent.state, batch, {}).metrics
    q = agent.networks.actor_critic.unflatten(agent.state.actor_critic)["network.q"]
    return q.tolist(), {name: value.item() for name, value in metrics.items()}


@pytest.mark.parametrize(
    ("fields", "target", "q"),
    [
        # V = 0.5 * 1 + 0.25 * 5 - 0.25 * 2 = 1.25: targets 1 + 0.5 * 1.25 and 1; gradient of the
        # mean square 2 (1 - 1.3125)
        ({}, 1.3125, 1 + 0.1 * 0.625),
        # V = 5: targets 3.5 and 1; gradient 2 (1 - 2.25)
        ({"bootstrap": "max"}, 2.25, 1 + 0.1 * 2.5),
        # besides 0.3 Q, whose gradient is 0.3 whatever Q is
        ({"q_mean_coef": 0.3}, 1.3125, 1 + 0.1 * (0.625 - 0.3)),
        # besides 0.3 Q^2, whose gradient is 0.6 Q
        ({"q_regularizer": 0.3}, 1.3125, 1 + 0.1 * (0.625 - 0.6)),
    ],
)
def test_critic_step_by_hand(fields: dict[str, Any], target: float, q: float) -> None:
    after, metrics = critic_step(**fields)
    assert metrics["target_q_mean"] == pytest.approx(target)
    assert metrics["critic_loss"] == pytest.approx(((1 - (2 * target - 1)) ** 2 + (1 - 1) ** 2) / 2)
    assert after == pytest.approx([q, 5, -2])


def test_largest_value_under_symlog_is_that_of_q_itself() -> None:
    # The network's outputs are symlog(Q): the targets are symlog(1 + 0.5 * (e^5 - 1)) and
    # symlog(1) = log 2
    _, metrics = critic_step(bootstrap="max", symlog_values=True)
    assert metrics["target_q_mean"] == pytest.approx(
        (np.log1p(1 + 0.5 * (np.exp(5) - 1)) + np.log(2)) / 2, rel=1e-5
    )


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_epsilon_greedy_exploration_follows_the_critic(epsilon: float) -> None:
    agent = agent_of(exploration_epsilon=epsilon, num_envs=1000)
    actions = agent.act(np.zeros((1000, 1), np.float32), explore=True)
    # The greedy action 1 in 1 - epsilon + epsilon / 3 of all cases, within four standard deviations
    expected = 1 - epsilon + epsilon / 3
    spread = 4 * (expected * (1 - expected) / 1000) ** 0.5
    assert np.mean(actions == 1) == pytest.approx(expected, abs=spread + 1e-12)
    greedy = agent.act(np.zeros((1000, 1), np.float32))
    assert set(greedy.tolist()) == {0}  # without exploration the policy acts, and its mode is 0


def test_policy_explores_by_default() -> None:
    actions = agent_of(num_envs=1000).act(np.zeros((1000, 1), np.float32), explore=True)
    shares = np.bincount(actions, minlength=3) / 1000
    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=4 * (0.25 / 1000) ** 0.5)


def test_epsilon_greedy_exploration_refuses_the_signal_of_the_action_taken() -> None:
    with pytest.raises(
        UserError,
        match=r"exploration_epsilon is 0\.1 with actor_signal q - .* - use actor_signal advantage",
    ):
        agent_of(exploration_epsilon=0.1, actor_signal="q")


def test_actions_of_the_critic_are_chosen_in_float32_under_autocast() -> None:
    seen, spaces = gymnasium.spaces.Box(-1, 1, (3,), np.float32), gymnasium.spaces.Discrete(5)
    agent = Agent(
        "replay-actor-critic",
        seen,
        spaces,
        num_envs=2_000,
        seed=1,
        compile="off",
        exploration_epsilon=0.0,
        hidden_sizes=(16,),
    )
    observation = np.random.default_rng(0).uniform(-1, 1, (2_000, 3)).astype(np.float32)
    expected = agent.act(observation, explore=True)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(agent.act(observation, explore=True), expected)
