"""Actor and critics of a discrete choice: the default ones, the user's own, and what is refused."""

import re
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.networks.bodies import ChoiceNetwork

OBSERVATIONS, CHOICES = gymnasium.spaces.Box(-1, 1, (3,), np.float32), gymnasium.spaces.Discrete(4)


class Actor(nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.actor = nn.Linear(3, int(action_space.n))


class Critic(nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.critic = nn.Linear(3, int(action_space.n))


class TooFew(nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.actor, self.critic = nn.Linear(3, 4), nn.Linear(3, 1)


class WrongInputs(nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.actor = nn.Linear(5, 4)


class Neither(nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.body = nn.Linear(3, 4)


def agent_of(network: Any = None, **fields: Any) -> Agent:
    return Agent("sac-discrete", OBSERVATIONS, CHOICES, network=network, compile="off", **fields)


def test_critics_start_with_weights_of_their_own_and_targets_with_the_same() -> None:
    agent = agent_of(num_critics=3)
    networks, state = agent.networks, agent.state
    q_NBA = networks.critic(state.critic, torch.zeros(2, 3))
    assert q_NBA.shape == (3, 2, 4)
    assert len({tuple(q_BA[0].tolist()) for q_BA in q_NBA}) == 3
    assert torch.equal(state.critic, state.target_critic)
    assert networks.actor(state.actor, torch.zeros(2, 3)).shape == (2, 4)
    assert networks.num_choices == 4


@pytest.mark.parametrize(
    ("network", "kinds"),
    [(Actor, (nn.Linear, ChoiceNetwork)), (Critic, (ChoiceNetwork, nn.Linear))],
)
def test_missing_part_is_the_default(network: Any, kinds: tuple[type, type]) -> None:
    networks = agent_of(network).networks
    assert (type(networks.actor.module), type(networks.critic.module)) == kinds
    assert networks.critic.num_copies == 2


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (TooFew, "the critic returns shape (2, 1) for 2 observations - it must return (2, 4)"),
        (WrongInputs, "the actor of the network cannot be called - "),
        (Neither, "network returned Neither - it must return a torch.nn.Module with the parts"),
    ],
)
def test_unsuitable_module_is_refused(network: Any, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        agent_of(network)


def test_orthogonal_policy_starts_undecided_and_values_do_not() -> None:
    agent = agent_of(initialization="orthogonal", hidden_sizes=(32,))
    observation = torch.ones(1, 3)
    logits = agent.networks.actor(agent.state.actor, observation)
    values = agent.networks.critic(agent.state.critic, observation)
    assert logits.abs().max() < 0.05 < values.abs().max()
