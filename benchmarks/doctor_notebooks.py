"""Small trainings with a planted mistake, 3: the code of two notebooks, in ordinary PyTorch."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from footlight.algorithms.authoring import Spaces, rollout_buffer
from footlight.types import DiscreteAction


@dataclass(frozen=True)
class NotebookConfig:
    gamma: float = 0.995
    n_steps: int = 16
    learning_rate: float = 5e-4
    batch_size: int = 64
    learning_rate_schedule: str = "constant"  # these two: the base's, without effect here
    optimizer: str = "adam"


class SharedNet(nn.Module):
    """A body for both, and two heads."""

    def __init__(self, num_inputs: int, num_choices: int, width: int) -> None:
        super().__init__()
        layers = nn.Linear(num_inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        self.body = nn.Sequential(*layers)
        self.logits, self.values = nn.Linear(width, num_choices), nn.Linear(width, 1)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [..., choices], values [...]."""
        features = self.body(observation)
        return self.logits(features), self.values(features).squeeze(-1)


class ReplayNotebook:
    """An actor-critic with replay. The replay is emptied at each update, after 16 steps, and so
    never holds the 64 transitions that the critic waits for: its values stay those of the first
    weights. The actor follows them without a baseline or an entropy bonus."""

    config: NotebookConfig
    buffer = rollout_buffer

    def __init__(self, config: NotebookConfig, spaces: Spaces) -> None:
        self.config = config
        num_inputs, action = spaces.observation_shape[0], spaces.action
        assert isinstance(action, DiscreteAction)
        self.policy = SharedNet(num_inputs, action.sizes[0], 128)
        self.optimizer = torch.optim.Adam(self.policy.parameters(), config.learning_rate)

    def value(self, observation: Tensor) -> Tensor:
        """V(s)."""
        return self.policy(observation)[1]

    def update(self, batch: Any) -> dict[str, Tensor]:
        """One step on a rollout, with the critic's loss where there are enough transitions."""
        logits, value = self.policy(batch.observation)
        log_prob = logits.log_softmax(-1).gather(-1, batch.action).squeeze(-1)
        loss = -(log_prob * value.detach() * batch.weight).mean()
        if batch.reward.numel() >= self.config.batch_size:
            after = self.policy(batch.next_observation)[1].detach()
            error = value - batch.reward - batch.discount * after
            loss = loss + error.square().mean() + 0.1 * value.mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss}


class OneStepNotebook:
    """An advantage actor-critic that learns from each single step, and whose target leaves gamma
    out: r + V(s')."""

    config: NotebookConfig
    buffer = rollout_buffer

    def __init__(self, config: NotebookConfig, spaces: Spaces) -> None:
        num_inputs, action = spaces.observation_shape[0], spaces.action
        assert isinstance(action, DiscreteAction)
        self.policy = SharedNet(num_inputs, action.sizes[0], 64)
        self.optimizer = torch.optim.Adam(self.policy.parameters(), config.learning_rate)

    value = ReplayNotebook.value

    def update(self, batch: Any) -> dict[str, Tensor]:
        """One step on one transition."""
        logits, value = self.policy(batch.observation)
        log_probs = logits.log_softmax(-1)
        log_prob = log_probs.gather(-1, batch.action).squeeze(-1)
        entropy = -(log_probs.exp() * log_probs).sum(-1)
        after = self.policy(batch.next_observation)[1].detach()
        error = batch.reward + (batch.discount > 0) * after - value
        actor_loss = -(log_prob * error.detach()).mean()
        loss = actor_loss + 0.5 * error.square().mean() - 2e-3 * entropy.mean()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.policy.parameters(), 0.5)
        self.optimizer.step()
        return {"actor_loss": actor_loss, "critic_loss": error.square().mean()}
