"""Updates of PPO, computed by hand: the first minibatch, clipping, and the limit of divergence."""

import math
from typing import Any

import pytest
import torch
from constant import named, on_policy, rollout

from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.types import Minibatch
from tolerance import close

NOISE = {"entropy": torch.zeros(2, 0)}


def agent_of(**fields: Any) -> Agent:
    shape = {"n_steps": 2, "minibatch_size": 2, "num_epochs": 1, "normalize_advantage": False}
    return on_policy("ppo", gae_lambda=0.0, value_coef=0.5, **(shape | fields))


def test_first_minibatch_by_hand() -> None:
    agent = agent_of()
    outcome = agent.algorithm.update_first_minibatch(agent.state, rollout(2, 1), NOISE)
    metrics = {name: value.item() for name, value in outcome.metrics.items()}
    # TD errors 1 + 0.5 * 2 - 2 = 0 and 1 - 2 = -1: the targets are 2 and 1
    assert agent.state.advantage.tolist() == close([0.0, -1.0])
    assert metrics["policy_loss"] == close(0.5)
    assert metrics["value_loss"] == close(0.5)
    assert metrics["approx_kl"] == close(0.0, scale=1)
    assert metrics["clip_fraction"] == 0
    after = named(agent.networks.actor_critic, agent.state.actor_critic)
    assert after["value"] == close([2 - 0.1 * 0.5 * 1], depth=4)
    # The gradient of the logits is 0.5 (onehot - p)
    before = torch.tensor([2.0, 1.0, 1.0]).log()
    expected = before - 0.1 * 0.5 * torch.tensor([0.5, -0.25, -0.25])
    assert after["logits"] == close(expected.tolist(), depth=8)


@pytest.mark.parametrize(("advantage", "moves"), [(1.0, False), (-1.0, True)])
def test_ratio_beyond_the_clip_range_has_a_gradient_only_back(
    advantage: float, moves: bool
) -> None:
    agent = agent_of()
    agent.algorithm.compute_advantages(agent.state, rollout(2, 1))
    agent.state.log_prob.sub_(1)  # the ratio is e
    agent.state.advantage.fill_(advantage)
    before = named(agent.networks.actor_critic, agent.state.actor_critic)["logits"]
    outcome = agent.algorithm.update_minibatch(agent.state, rollout(2, 1), NOISE)
    after = named(agent.networks.actor_critic, agent.state.actor_critic)["logits"]
    assert outcome.metrics["clip_fraction"] == 1
    assert outcome.metrics["approx_kl"].item() == close(math.e - 2, depth=4, scale=3)
    assert (after != before) == moves


def test_steps_are_undone_beyond_the_target_kl_until_the_next_rollout() -> None:
    agent = agent_of(target_kl=0.1)
    agent.algorithm.compute_advantages(agent.state, rollout(2, 1))
    agent.state.log_prob.sub_(1)
    before = agent.state.actor_critic.clone()
    agent.algorithm.update_minibatch(agent.state, rollout(2, 1), NOISE)
    assert agent.state.kl_exceeded.item() == 1
    agent.state.log_prob.add_(1)  # the policy is where it was: still the same rollout
    agent.algorithm.update_minibatch(agent.state, rollout(2, 1), NOISE)
    assert torch.equal(agent.state.actor_critic, before)
    agent.algorithm.update_first_minibatch(agent.state, rollout(2, 1), NOISE)
    assert agent.state.kl_exceeded.item() == 0
    assert not torch.equal(agent.state.actor_critic, before)


def test_first_minibatch_of_a_rollout_has_an_update_of_its_own() -> None:
    algorithm = agent_of().algorithm
    names = [algorithm.update_for(Minibatch(number)) for number in (0, 1, 2)]
    assert names == ["first_minibatch", "minibatch", "minibatch"]


def test_one_advantage_cannot_be_normalized() -> None:
    with pytest.raises(UserError, match="minibatch_size is 1 with normalize_advantage"):
        agent_of(minibatch_size=1, normalize_advantage=True)
