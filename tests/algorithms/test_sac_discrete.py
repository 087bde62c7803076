"""Discrete SAC: updates computed by hand, probe environments, exploration, and the delay."""

import math
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from constant import CHOICES, OBSERVATIONS, PLAIN, named
from torch import Tensor, nn

from footlight.environments import probes
from footlight.environments.serial import SerialEnvironments
from footlight.learning.agent import Agent
from footlight.types import Batch, Minibatch
from tolerance import assert_close, close

P, Q = torch.tensor([0.5, 0.25, 0.25]), torch.tensor([1.0, 5.0, -2.0])
ENTROPY = 1.5 * math.log(2)  # 0.5 log 2 + 0.25 log 4 + 0.25 log 4
MEAN_Q = 1.25  # 0.5 * 1 + 0.25 * 5 - 0.25 * 2


class Constant(nn.Module):
    """The same numbers whatever is observed."""

    def __init__(self, numbers: Tensor) -> None:
        super().__init__()
        self.numbers = nn.Parameter(numbers.clone())

    def forward(self, observation: Tensor) -> Tensor:
        return self.numbers.expand(len(observation), len(self.numbers))


class Fixed(nn.Module):
    """Probabilities P and values Q; those of the second critic are larger by 1."""

    num_made = 0

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.actor, self.critic = Constant(P.log()), Constant(Q + Fixed.num_made)
        Fixed.num_made += 1


def agent_of(**fields: Any) -> Agent:
    Fixed.num_made = 0
    settings = PLAIN | {"tau": 0.5, "initial_alpha": 0.2, **fields}
    return Agent("sac-discrete", OBSERVATIONS, CHOICES, network=Fixed, **settings)


def transitions() -> Batch:
    """Two of them with the choice 0 and the reward 1, of which the second terminates."""
    zeros, choices = torch.zeros(2, 1), torch.zeros(2, 1, dtype=torch.int64)
    return Batch(zeros, choices, torch.ones(2), zeros, torch.tensor([0.5, 0.0]))


def numbers(network: Any, parameters: Tensor) -> Any:
    return named(network, parameters)["numbers"]


def test_critic_update_by_hand() -> None:
    agent = agent_of()
    metrics = agent.algorithm.update_critic(agent.state, transitions(), {}).metrics
    # V = 1.25 + 0.2 H, of the first critic, which is the smaller one; targets 1 + 0.5 V and 1
    target = (1 + 0.5 * (MEAN_Q + 0.2 * ENTROPY) + 1) / 2
    assert metrics["target_q_mean"].item() == close(target, depth=4)
    assert metrics["q_mean"].item() == close(1.5)
    # The gradient of the mean square is 2 (Q - y), for the choice that was taken only
    q = numbers(agent.networks.critic, agent.state.critic)
    wanted = [1 - 0.2 * (1 - target), 5, -2, 2 - 0.2 * (2 - target), 6, -1]
    assert q == close(wanted, depth=4, scale=6)
    assert numbers(agent.networks.critic, agent.state.target_critic) == [1, 5, -2, 2, 6, -1]


@pytest.mark.parametrize("learn_alpha", [True, False])
def test_actor_temperature_and_target_by_hand(learn_alpha: bool) -> None:
    agent = agent_of(learn_alpha=learn_alpha, critic_learning_rate=1e-30)
    outcome = agent.algorithm.update_critic_and_actor(agent.state, transitions(), {})
    assert outcome.metrics["entropy"].item() == close(ENTROPY, depth=4)
    assert outcome.metrics["alpha"].item() == close(0.2, depth=4)
    assert outcome.metrics["actor_loss"].item() == close(-(MEAN_Q + 0.2 * ENTROPY), depth=4)
    # Of a softmax: d/d logit_a of sum_b p_b f_b is p_a (f_a - sum_b p_b f_b), and here
    # f = 0.2 log p - Q
    cost = 0.2 * P.log() - Q
    wanted = P.log() - 0.1 * P * (cost - (P * cost).sum())
    assert numbers(agent.networks.actor, agent.state.actor) == close(wanted.tolist(), depth=8)
    # The gradient of log alpha is H - 0.89 log 3: an entropy above its target lowers alpha
    moved = -0.1 * (ENTROPY - 0.89 * math.log(3)) if learn_alpha else 0.0
    assert moved <= 0
    assert agent.state.log_alpha.item() == close(math.log(0.2) + moved, depth=4, scale=2)


def test_target_follows_the_critic_at_the_rate_tau() -> None:
    agent = agent_of(tau=0.25)
    before = agent.state.target_critic.clone()
    agent.algorithm.update_critic_and_actor(agent.state, transitions(), {})
    wanted = 0.75 * before + 0.25 * agent.state.critic
    assert not torch.equal(agent.state.critic, before)
    assert_close(agent.state.target_critic, wanted, scale=6)


def test_temperature_rises_while_the_entropy_is_below_its_target() -> None:
    agent = agent_of(target_entropy_share=1.0)
    before = agent.state.log_alpha.item()
    agent.algorithm.update_critic_and_actor(agent.state, transitions(), {})
    assert agent.state.log_alpha.item() > before


def test_certain_policy_has_finite_gradients() -> None:
    agent = agent_of()
    agent.networks.actor.unflatten(agent.state.actor)["numbers"].copy_(
        torch.tensor([0.0, -2000.0, 2000.0])
    )
    outcome = agent.algorithm.update_critic_and_actor(agent.state, transitions(), {})
    assert all(value.isfinite() for value in outcome.metrics.values())
    assert agent.state.actor.isfinite().all()
    assert outcome.metrics["entropy"] == 0


def test_one_update_without_a_delay() -> None:
    assert list(agent_of().algorithm.updates) == ["critic_and_actor"]
    delayed = agent_of(policy_delay=2).algorithm
    names = [delayed.update_for(Minibatch(number)) for number in (1, 2, 3, 4)]
    assert names == ["critic", "critic_and_actor"] * 2


def test_warmup_is_uniform_then_the_policy_is_sampled_and_its_mode_acts() -> None:
    observation = np.zeros((4_000, 1), np.float32)
    for learning_starts, wanted in (8, [1 / 3] * 3), (0, P.tolist()):
        agent = agent_of(num_envs=4_000, learning_starts=learning_starts)
        shares = np.bincount(agent.act(observation, explore=True), minlength=3) / 4_000
        assert shares == pytest.approx(wanted, abs=4 * (0.25 / 4_000) ** 0.5)
        assert set(agent.act(observation).tolist()) == {0}


def test_value_at_a_state_is_the_mean_of_the_smaller_critic_and_its_bonus() -> None:
    agent = agent_of()
    found = agent.algorithm.diagnose(agent.state, torch.zeros(1, 1))
    assert found.value.item() == close(MEAN_Q, depth=4)
    assert found.bonus.item() == close(0.2 * ENTROPY, depth=4)
    assert found.probabilities.tolist() == [close(P.tolist(), depth=4)]


# Probe environments, whose values are known

FAST: dict[str, Any] = {
    "gamma": 0.9, "learning_rate": 5e-3, "hidden_sizes": (16, 16), "batch_size": 64,
    "buffer_size": 2_000, "learning_starts": 64, "tau": 0.1, "learn_alpha": False,
    "initial_alpha": 1e-3,  # next to no entropy bonus: values are those of the table
}  # fmt: skip


def trained(world: type[probes._Probe], steps: int, **fields: Any) -> Agent:
    environments = SerialEnvironments([world(discrete=True)], seed=1, stream="episode")
    spaces = environments.observation_space, environments.action_space
    agent = Agent("sac-discrete", *spaces, seed=1, compile="off", **FAST | fields)
    environments.reset()
    for _ in range(steps):
        agent.observe(*environments.step(agent.act(environments.observation, explore=True)))
    return agent


def values(agent: Agent, *observations: float) -> list[float]:
    """sum_a pi(a|s) min_N Q(s, a)."""
    observation = torch.tensor(observations)[:, None]
    with torch.no_grad():
        return agent.algorithm.diagnose(agent.state, observation).value.tolist()


def test_best_action() -> None:
    assert trained(probes.BestAction, 500).act(np.zeros(1, np.float32)) == 1


def test_entropy_bonus_is_part_of_the_value() -> None:
    # Both choices are alike, so that the policy stays undecided: each further step is worth
    # 1 + 0.5 log 2, and Q counts the bonus of the states that follow
    agent = trained(probes.DelayedReward, 800, initial_alpha=0.5)
    wanted = [0.9 * (1 + 0.5 * math.log(2)), 1]
    assert values(agent, 0, 1) == pytest.approx(wanted, abs=0.1)


@pytest.mark.parametrize("torso", ["small", "mlp"])
def test_learns_from_images(torso: str) -> None:
    seen = gymnasium.spaces.Box(0, 255, (2, 40, 40), np.uint8)
    agent = Agent(
        "sac-discrete", seen, CHOICES, seed=1, compile="off", torso=torso, hidden_sizes=(8,),
        buffer_size=200, batch_size=4, learning_starts=4,
    )  # fmt: skip
    before, world = (
        (agent.state.actor.clone(), agent.state.critic.clone()),
        np.random.default_rng(0),
    )
    for step in range(20):
        image, successor = world.integers(0, 256, (2, 2, 40, 40), dtype=np.uint8)
        action = agent.act(image, explore=True)
        agent.observe(image, action, float(step % 2), successor, step % 5 == 4, False)
    assert agent.num_updates == 16
    assert all(np.isfinite(value) for value in agent.metrics().values())
    assert not torch.equal(agent.state.actor, before[0])
    assert not torch.equal(agent.state.critic, before[1])
