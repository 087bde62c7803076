"""Discrete SAC once more, from its paper, in the manner of `off_policy`.

Shape letters: B batch, A choices.
"""

import copy
import math
from typing import Any

import torch
from off_policy import OffPolicy
from on_policy_parts import perceptron
from recorder import OBSERVATION_SIZE, Parameters
from torch import Tensor, nn

NUM_CHOICES = 3


class DiscreteSAC(OffPolicy):
    """Christodoulou 2019, algorithm 1, with loops over the choices."""

    has_target_actor = False

    def __init__(self, config: Any, initial: Parameters) -> None:
        self.config, self.sensitivity = config, 0.0
        self.actor = self.loaded(initial["actor"])
        self.critics = [self.loaded(initial[f"critic.{i}"]) for i in range(config.num_critics)]
        self.target_critics = copy.deepcopy(self.critics)
        self.log_alpha = torch.tensor([math.log(config.initial_alpha)]).double().requires_grad_()
        rates = config.actor_learning_rate, config.critic_learning_rate, config.alpha_learning_rate
        actor_rate, critic_rate, alpha_rate = (rate or config.learning_rate for rate in rates)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=actor_rate)
        self.critic_optimizers = [
            torch.optim.Adam(critic.parameters(), lr=critic_rate) for critic in self.critics
        ]
        self.alpha_optimizer = torch.optim.Adam([self.log_alpha], lr=alpha_rate)

    def loaded(self, parameters: dict[str, Tensor]) -> nn.Sequential:
        """A network with these parameters."""
        network = perceptron(self.config, OBSERVATION_SIZE, NUM_CHOICES).double()
        network.load_state_dict(parameters)
        return network

    def parameters(self) -> Parameters:
        """All parameters by network and name, targets and log alpha included."""
        return super().parameters() | {"log_alpha": {"value": self.log_alpha.detach()}}

    def update_critics(self, batch: dict[str, Tensor], target: Tensor) -> None:
        """Each critic takes a step down the mean squared error of the choices that were taken, or
        down Huber's loss where large errors are drawn more often."""
        is_lap = self.config.prioritization == "lap"
        loss = nn.functional.huber_loss if is_lap else nn.functional.mse_loss
        for critic, optimizer in zip(self.critics, self.critic_optimizers, strict=True):
            value = critic(batch["observation"]).gather(1, batch["action"].long())[:, 0]
            self.minimize(loss(value, target), optimizer)

    def next_value(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        """pi(s')^T (min_i Q'_i(s', .) - alpha log pi(s')), eq. 10."""
        return self.soft_value(self.target_critics, batch["next_observation"])

    def soft_value(self, critics: list[nn.Sequential], observation: Tensor) -> Tensor:
        """The value of a state, choice by choice; only the policy has a gradient."""
        alpha = self.log_alpha.exp().detach()
        total = torch.zeros(len(observation), dtype=torch.float64)
        policy = torch.distributions.Categorical(logits=self.actor(observation))
        for choice in range(NUM_CHOICES):
            log_prob = policy.log_prob(torch.tensor(choice))
            q = torch.stack([critic(observation)[:, choice].detach() for critic in critics])
            total = total + log_prob.exp() * (q.min(0).values - alpha * log_prob)
        return total

    def update_actor(self, batch: dict[str, Tensor], noise: Tensor) -> None:
        """A step of the actor, eq. 12, then one of the temperature, on the entropy before it."""
        with torch.no_grad():
            logits = self.actor(batch["observation"])
            entropy = torch.distributions.Categorical(logits=logits).entropy()
        super().update_actor(batch, noise)
        if self.config.learn_alpha:
            self.minimize(self.temperature_loss(entropy), self.alpha_optimizer)

    def actor_loss(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        """E[pi(s)^T (alpha log pi(s) - min_i Q_i(s, .))], eq. 12."""
        return -self.soft_value(self.critics, batch["observation"]).mean()

    def temperature_loss(self, entropy: Tensor) -> Tensor:
        """E[alpha (H(pi) - wanted)], eq. 11, with log alpha in the place of alpha."""
        wanted = self.config.target_entropy_share * math.log(NUM_CHOICES)
        return (self.log_alpha * (entropy - wanted)).mean()
