"""Updates of PPO, computed by hand: the first minibatch, clipping, and the limit of divergence."""

import math
from typing import Any

import pytest
import torch
from constant import BOX, OBSERVATIONS, PLAIN, named, on_policy, rollout

from footlight.equations.draws import Uniform
from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.types import Minibatch
from tolerance import close

NOISE = {"entropy": torch.zeros(2, 0)}


def agent_of(**fields: Any) -> Agent:
    shape = {"n_steps": 2, "minibatch_size": 2, "num_epochs": 1, "normalize_advantage": False}
    return on_policy("ppo", **({"gae_lambda": 0.0, "value_coef": 0.5} | shape | fields))


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


@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_ratio_beyond_the_range_is_led_back_by_spo(advantage: float) -> None:
    agent = agent_of(objective="spo", value_coef=0.0)
    agent.algorithm.compute_advantages(agent.state, rollout(2, 1))
    ratio = 1.5 if advantage > 0 else 0.5
    agent.state.log_prob.sub_(math.log(ratio))
    agent.state.advantage.fill_(advantage)
    outcome = agent.algorithm.update_minibatch(agent.state, rollout(2, 1), NOISE)
    # r A - |A| (r - 1)^2 / 0.4 = 1.5 - 0.625 or -0.5 - 0.625
    loss = -(ratio * advantage - 0.625)
    assert outcome.metrics["policy_loss"].item() == close(loss, depth=8)
    # d/dr: A - |A| (r - 1) / 0.2 = 1 - 2.5 or -1 + 2.5; dr / d logits = r (onehot - p)
    slope = (advantage - (ratio - 1) / 0.2) * ratio
    expected = torch.tensor([2.0, 1.0, 1.0]).log() + 0.1 * slope * torch.tensor([0.5, -0.25, -0.25])
    after = named(agent.networks.actor_critic, agent.state.actor_critic)["logits"]
    assert after == close(expected.tolist(), depth=16)
    assert (after[0] > math.log(2)) == (advantage < 0)  # back to where it was


class Moving(torch.nn.Module):
    """Mean 0.5, log standard deviation 0 and V(s) = 2."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.mean = torch.nn.Parameter(torch.tensor([0.5]))
        self.value = torch.nn.Parameter(torch.tensor([2.0]))

    def forward(self, observation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = self.mean.expand(len(observation), 1)
        return torch.cat([mean, 0 * mean], 1), self.value.expand(len(observation))


def continuous(**fields: Any) -> Agent:
    shape = {"n_steps": 2, "minibatch_size": 2, "num_epochs": 1, "normalize_advantage": False}
    return Agent(
        "ppo", OBSERVATIONS, BOX, network=Moving, action_head="state-dependent-gaussian",
        max_grad_norm=None, **PLAIN, **shape, **fields,
    )  # fmt: skip


def test_shifted_means_by_hand() -> None:
    agent = continuous(rpo_alpha=0.4)
    batch = rollout(2, 1)._replace(action=torch.tensor([[[1.0]], [[0.0]]]))
    agent.algorithm.compute_advantages(agent.state, batch)
    agent.state.advantage.copy_(torch.tensor([1.0, 3.0]))
    noise = {**NOISE, "shift": torch.tensor([[1.0], [0.25]])}
    outcome = agent.algorithm.update_minibatch(agent.state, batch, noise)
    # Means 0.5 + 0.4 and 0.5 - 0.2; the probabilities compared with are those of 0.5
    log_ratios = [(0.5**2 - 0.1**2) / 2, (0.5**2 - 0.3**2) / 2]
    ratios = [math.exp(log_ratio) for log_ratio in log_ratios]
    assert outcome.metrics["policy_loss"].item() == close(-(ratios[0] + 3 * ratios[1]) / 2, depth=8)
    # d log N / d mean = action - mean: 0.1 and -0.3; neither ratio is clipped
    moved = 0.1 * (ratios[0] * 0.1 - 3 * ratios[1] * 0.3) / 2
    after = named(agent.networks.actor_critic, agent.state.actor_critic)["mean"]
    assert after == close([0.5 + moved], depth=16)


def test_shifts_are_drawn_for_each_row_and_action_only_where_they_are_wanted() -> None:
    batch = rollout(2, 1)
    assert "shift" not in continuous().algorithm.draws(batch)
    drawn = continuous(rpo_alpha=0.5).algorithm.draws(batch)
    assert drawn["shift"] == Uniform((2, 1))
    assert list(drawn) == ["entropy", "shift"]  # the former's numbers stay what they were


def test_means_of_choices_cannot_be_shifted() -> None:
    with pytest.raises(UserError, match=r"rpo_alpha is 0\.5 with discrete actions - .* - leave"):
        agent_of(rpo_alpha=0.5)


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
