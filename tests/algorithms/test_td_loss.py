"""Losses and priorities of the critics by hand, for each algorithm that learns from replay."""

from typing import Any

import pytest
import torch
from constant import Deterministic, Stochastic, off_policy, transitions

from footlight.algorithms.prioritized import new_priorities, td_loss
from footlight.algorithms.settings import Priorities
from footlight.buffers.prioritized import PrioritizedBatch
from footlight.errors import UserError
from tolerance import close

# Two critics, three transitions
ERROR_NB = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.0, -0.5]])
UNIFORM, HALF = torch.zeros(1), torch.tensor([0.5])


def drawn(*relative_probability: float) -> PrioritizedBatch:
    batch = transitions()
    return PrioritizedBatch(*batch, torch.tensor(relative_probability))


def test_loss_without_priorities_is_the_squared_error() -> None:
    config = Priorities()
    # (1 + 4 + 1/4) / 3 + (9 + 0 + 1/4) / 3
    assert td_loss(config, transitions(), UNIFORM, ERROR_NB).item() == close(14.5 / 3, depth=3)
    assert new_priorities(config, ERROR_NB) is None


def test_proportional_by_hand() -> None:
    config = Priorities(
        prioritization="proportional", priority_exponent=1.0, importance_exponent=0.5
    )
    batch = drawn(1.0, 4.0, 16.0)
    # Weights 1, 1/2, 1/4 at the start of the run: (1 + 2 + 1/16 + 9 + 0 + 1/16) / 3
    assert td_loss(config, batch, UNIFORM, ERROR_NB).item() == close(12.125 / 3, depth=4)
    # beta is 3/4 after half of it: 1, 4^-0.75 = 0.3535534, 16^-0.75 = 1/8
    wanted = (1 + 4 * 0.3535534 + 0.25 / 8 + 9 + 0.25 / 8) / 3
    assert td_loss(config, batch, HALF, ERROR_NB).item() == close(wanted, depth=4)
    # and 1 at its end: 1, 1/4, 1/16
    wanted = (1 + 1 + 0.25 / 16 + 9 + 0.25 / 16) / 3
    assert td_loss(config, batch, torch.ones(1), ERROR_NB).item() == close(wanted, depth=4)
    # The mean of the critics' errors
    found = new_priorities(config, ERROR_NB)
    assert found is not None
    assert found.tolist() == close([2, 1, 0.5], depth=40)  # plus 1e-6


def test_lap_by_hand() -> None:
    config = Priorities(prioritization="lap", priority_exponent=0.5)
    # (1/2 + 3/2 + 1/8) / 3 + (5/2 + 0 + 1/8) / 3
    assert td_loss(config, transitions(), UNIFORM, ERROR_NB).item() == close(4.75 / 3, depth=4)
    # The largest error is 3, 2, 1/2
    found = new_priorities(config, ERROR_NB)
    assert found is not None
    assert found.tolist() == close([3**0.5, 2**0.5, 1.0], depth=2)


@pytest.mark.parametrize(
    ("prioritization", "exponent"), [("none", 0.6), ("proportional", 0.6), ("lap", 0.4)]
)
def test_default_exponents_are_the_papers(prioritization: Any, exponent: float) -> None:
    assert Priorities(prioritization=prioritization).exponent_of_priority == exponent
    assert Priorities(prioritization=prioritization, priority_exponent=0).exponent_of_priority == 0


@pytest.mark.parametrize("algorithm", ["sac", "td3", "ddpg"])
def test_updates_return_priorities(algorithm: str) -> None:
    network = Stochastic if algorithm == "sac" else Deterministic
    fields: dict[str, Any] = {"prioritization": "proportional", "priority_exponent": 1.0}
    if algorithm == "td3":
        fields["target_policy_noise"] = 0.0
    agent = off_policy(algorithm, network, **fields)
    # The second one, where the target is 1: Q(s, 0) = 2
    noise = {name: torch.zeros(2, 1) for name in ("next_action", "action")}
    outcome = agent.algorithm.updates["critic_and_actor"](agent.state, drawn(1.0, 1.0), noise)
    assert outcome.priorities is not None
    assert outcome.priorities.shape == (2,)
    assert outcome.priorities[1].item() == pytest.approx(1.0, abs=2e-6)
    plain = off_policy(algorithm, network)
    outcome = plain.algorithm.updates["critic_and_actor"](plain.state, transitions(), noise)
    assert outcome.priorities is None


def test_weights_change_the_step() -> None:
    """Plain gradient descent, rate 0.1, on (Q - 1)^2 with Q = 2 for the terminal transition."""
    agent = off_policy("ddpg", Deterministic, prioritization="proportional")
    before = agent.networks.critic.unflatten(agent.state.critic)["q"].item()
    # Of the other one the target is 1 + 0.5 (2 + 3/4) = 2.375. beta is 0.4: weights 1 and 1/2.
    batch = drawn(1.0, 2 ** (1 / 0.4))
    agent.algorithm.updates["critic_and_actor"](agent.state, batch, {})
    after = agent.networks.critic.unflatten(agent.state.critic)["q"].item()
    assert after - before == close(-0.1 * (2 * (2 - 2.375) + 0.5 * 2 * 1) / 2, depth=8, scale=2)


def test_priorities_and_sampling_without_replacement_exclude_each_other() -> None:
    with pytest.raises(UserError, match="sample_with_replacement is false - with priorities"):
        off_policy("ddpg", Deterministic, prioritization="lap", sample_with_replacement=False)
