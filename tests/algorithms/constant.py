"""Networks whose outputs are parameters, whatever is observed: their updates fit on paper."""

from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from footlight.learning.agent import Agent
from footlight.types import Batch, RolloutBatch

OBSERVATIONS = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
BOX, CHOICES = gymnasium.spaces.Box(-1, 1, (1,), np.float32), gymnasium.spaces.Discrete(3)
PLAIN: dict[str, Any] = {"gamma": 0.5, "optimizer": "sgd", "learning_rate": 0.1, "compile": "off"}


class Action(nn.Module):
    """The action 0.25."""

    def __init__(self) -> None:
        super().__init__()
        self.action = nn.Parameter(torch.tensor([0.25]))

    def forward(self, observation: Tensor) -> Tensor:
        return self.action.expand(len(observation), 1)


class MeanAndStd(nn.Module):
    """Mean 0 and log standard deviation 0."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.log_std = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean.expand(len(observation), 1), self.log_std.expand(len(observation), 1)


class Linear(nn.Module):
    """Q(s, a) = 2 + 3 a."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.slope = nn.Parameter(torch.tensor([2.0])), nn.Parameter(torch.tensor([3.0]))

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        return self.q + self.slope * action.squeeze(-1)


class Deterministic(nn.Module):
    """An actor and a critic for DDPG and TD3."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.actor, self.critic = Action(), Linear()


class Stochastic(nn.Module):
    """An actor and a critic for SAC."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.actor, self.critic = MeanAndStd(), Linear()


class Choosing(nn.Module):
    """Probabilities (0.5, 0.25, 0.25) and V(s) = 2."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([2.0, 1.0, 1.0]).log())
        self.value = nn.Parameter(torch.tensor([2.0]))

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        return self.logits.expand(len(observation), 3), self.value.expand(len(observation))


def off_policy(algorithm: str, network: Any, **fields: Any) -> Agent:
    """An agent with a constant network and plain gradient descent."""
    return Agent(algorithm, OBSERVATIONS, BOX, network=network, tau=0.5, **PLAIN, **fields)


def on_policy(algorithm: str, **fields: Any) -> Agent:
    """An agent with three actions, plain gradient descent and one learning rate."""
    plain = {"max_grad_norm": None, "entropy_coef": 0.0, **PLAIN}
    plain |= {"actor_learning_rate": None, "critic_learning_rate": None}
    return Agent(algorithm, OBSERVATIONS, CHOICES, network=Choosing, **plain, **fields)


def transitions() -> Batch:
    """Two of them with the action 0 and the reward 1, of which the second terminates."""
    zeros = torch.zeros(2, 1)
    return Batch(zeros, zeros, torch.ones(2), zeros, torch.tensor([0.5, 0.0]))


def rollout(num_steps: int, num_envs: int) -> RolloutBatch:
    """Two steps with the choice 0 and the reward 1, of which the second terminates."""
    lead = num_steps, num_envs
    zeros, ones = torch.zeros(*lead, 1), torch.ones(lead)
    discount = torch.tensor([0.5, 0.0]).view(lead)
    continues = torch.tensor([1.0, 0.0]).view(lead)
    choices, rows = torch.zeros(*lead, 1, dtype=torch.int64), torch.arange(2)
    return RolloutBatch(zeros, choices, ones, zeros, discount, continues, ones, rows)


def named(network: Any, parameters: Tensor) -> dict[str, list[float]]:
    """Parameters by the last part of their names, flat."""
    views = network.unflatten(parameters)
    return {name.split(".")[-1]: view.flatten().tolist() for name, view in views.items()}
