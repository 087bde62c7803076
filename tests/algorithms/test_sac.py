"""Updates of SAC, computed by hand: entropy in targets, actor, temperature."""

import math

import pytest
import torch
from constant import Stochastic, named, off_policy, transitions

from footlight.types import Minibatch
from tolerance import close

LOG_PROB = -0.5 * math.log(2 * math.pi)  # of the action tanh(0), drawn with noise 0
NOISE = {"next_action": torch.zeros(2, 1), "action": torch.zeros(2, 1)}
TARGET = (1 + 0.5 * (2 - 0.2 * LOG_PROB) + 1) / 2


def test_critic_update_by_hand() -> None:
    agent = off_policy("sac", Stochastic, initial_alpha=0.2)
    metrics = agent.algorithm.update_critic(agent.state, transitions(), NOISE).metrics
    assert metrics["target_q_mean"].item() == close(TARGET, depth=4)
    q = named(agent.networks.critic, agent.state.critic)["q"]
    assert q == close([2 - 0.1 * 2 * (2 - TARGET)] * 2, depth=4)


@pytest.mark.parametrize("learn_alpha", [True, False])
def test_actor_and_temperature_by_hand(learn_alpha: bool) -> None:
    agent = off_policy("sac", Stochastic, initial_alpha=0.2, learn_alpha=learn_alpha)
    outcome = agent.algorithm.update_critic_and_actor(agent.state, transitions(), NOISE)
    assert outcome.metrics["entropy"].item() == close(-LOG_PROB, depth=4)
    assert outcome.metrics["alpha"].item() == close(0.2, depth=4)
    actor = named(agent.networks.actor, agent.state.actor)
    # d/d mean of alpha log pi - Q at 0 is -3; d/d log sigma is -alpha, as the noise is 0
    assert actor == {"mean": close([0.3], depth=4), "log_std": close([0.02], depth=4)}
    # The gradient of log alpha is -(log pi - 1): entropy above its target lowers alpha
    moved = 0.1 * (LOG_PROB - 1) if learn_alpha else 0.0
    assert agent.state.log_alpha.item() == close(math.log(0.2) + moved, depth=4, scale=2)


def test_target_actor_draws_the_next_actions() -> None:
    agent = off_policy("sac", Stochastic, initial_alpha=1e-6, target_actor=True)
    agent.networks.actor.unflatten(agent.state.target_actor)["mean"].fill_(0.5)
    metrics = agent.algorithm.update_critic(agent.state, transitions(), NOISE).metrics
    expected = (2 + 0.5 * (2 + 3 * math.tanh(0.5))) / 2
    assert metrics["target_q_mean"].item() == pytest.approx(expected, abs=1e-5)  # alpha is 1e-6


def test_one_update_without_a_delay() -> None:
    assert list(off_policy("sac", Stochastic).algorithm.updates) == ["critic_and_actor"]
    delayed = off_policy("sac", Stochastic, policy_delay=2).algorithm
    names = [delayed.update_for(Minibatch(number)) for number in (1, 2, 3, 4)]
    assert names == ["critic", "critic_and_actor"] * 2
