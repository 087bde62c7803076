"""Updates of TD3, computed by hand: smoothed targets, the smaller critic, delayed actors."""

import pytest
import torch
from constant import Deterministic, named, off_policy, transitions

from footlight.types import Minibatch
from tolerance import close


@pytest.mark.parametrize(("noise", "next_action"), [(1.0, 0.45), (10.0, 0.75), (-10.0, -0.25)])
def test_targets_are_smoothed_within_the_clip(noise: float, next_action: float) -> None:
    agent = off_policy("td3", Deterministic)  # noise of standard deviation 0.2, clipped at 0.5
    draws = {"next_action": torch.full((2, 1), noise)}
    metrics = agent.algorithm.update_critic(agent.state, transitions(), draws).metrics
    target = 1 + 0.5 * (2 + 3 * next_action)
    assert metrics["target_q_mean"].item() == close((target + 1) / 2, depth=4, scale=4)


def test_target_is_the_smaller_critics_and_each_critic_learns() -> None:
    agent = off_policy("td3", Deterministic, target_policy_noise=0.0)
    agent.networks.critic.unflatten(agent.state.target_critic)["q"][1] = 1.0
    draws = {"next_action": torch.zeros(2, 1)}
    metrics = agent.algorithm.update_critic(agent.state, transitions(), draws).metrics
    target = (1 + 0.5 * 1.75 + 1) / 2
    assert metrics["target_q_mean"].item() == close(target)
    q = named(agent.networks.critic, agent.state.critic)["q"]
    assert q == close([2 - 0.1 * 2 * (2 - target)] * 2, depth=4)


def test_actor_follows_the_first_critic() -> None:
    agent = off_policy("td3", Deterministic)
    agent.networks.critic.unflatten(agent.state.critic)["slope"][1] = -100.0
    draws = {"next_action": torch.zeros(2, 1)}
    agent.algorithm.update_critic_and_actor(agent.state, transitions(), draws)
    assert agent.state.actor.tolist() == close([0.25 + 0.1 * 3])
    assert agent.state.target_actor.tolist() == close([0.25 + 0.15])


def test_critic_update_leaves_actor_and_targets_alone() -> None:
    agent = off_policy("td3", Deterministic)
    before = agent.state.target_critic.clone()
    draws = {"next_action": torch.zeros(2, 1)}
    agent.algorithm.update_critic(agent.state, transitions(), draws)
    assert agent.state.actor.tolist() == agent.state.target_actor.tolist() == [0.25]
    assert torch.equal(agent.state.target_critic, before)


def test_actor_is_updated_every_policy_delay() -> None:
    algorithm = off_policy("td3", Deterministic, policy_delay=3).algorithm
    names = [algorithm.update_for(Minibatch(number)) for number in range(1, 7)]
    assert names == ["critic", "critic", "critic_and_actor"] * 2
