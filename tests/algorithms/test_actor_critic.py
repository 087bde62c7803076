"""One update of the one-step actor-critic, computed by hand."""

import torch
from constant import named, on_policy, rollout

from tolerance import close


def test_update_by_hand() -> None:
    agent = on_policy("actor-critic", num_envs=2)
    noise = {"entropy": torch.zeros(2, 0)}
    metrics = agent.algorithm.update(agent.state, rollout(1, 2), noise).metrics
    # TD errors 1 + 0.5 * 2 - 2 = 0 and 1 - 2 = -1
    assert metrics["td_error"].item() == close(-0.5)
    assert metrics["value_loss"].item() == close(0.5)
    after = named(agent.networks.actor_critic, agent.state.actor_critic)
    assert after["value"] == close([2 - 0.1 * 1])
    expected = torch.tensor([2.0, 1.0, 1.0]).log() + 0.05 * torch.tensor([-0.5, 0.25, 0.25])
    assert after["logits"] == close(expected.tolist(), depth=8)


def test_terminated_step_ignores_the_next_value() -> None:
    agent = on_policy("actor-critic", num_envs=2)
    batch = rollout(1, 2)._replace(discount=torch.zeros(1, 2))
    noise = {"entropy": torch.zeros(2, 0)}
    metrics = agent.algorithm.update(agent.state, batch, noise).metrics
    assert metrics["td_error"].item() == close(1 - 2)
