"""One-step actor-critic: an update at every step, from the TD error alone (Sutton & Barto 2018,
section 13.5).

The TD error r + gamma V(s') - V(s) moves the critic towards the target and the actor towards
actions that went better than expected. Departures from the book: Adam instead of plain gradient
descent, an optional entropy bonus, and no factor gamma^t on the actor's step, as in nearly all
implementations. With several environments an update is the mean over one step of each.

Shape letters: E environments, A action dimensions or choices, P parameters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from torch import Tensor

from footlight.algorithms.on_policy import (
    Networks,
    NetworkSource,
    build_networks,
    diagnose_actor_critic,
    entropy_draws,
    entropy_weight,
    optimizer_step,
    sample_or_mode,
)
from footlight.algorithms.protocol import Noise, Outcome, PolicyState
from footlight.algorithms.settings import (
    ActorCriticNetwork,
    ContinuousActions,
    Entropy,
    Normalization,
    OptimizerSettings,
)
from footlight.buffers.rollout import Rollout
from footlight.config.fields import SCHEDULABLE, Fraction, NonNegative, OptionalPositive, check
from footlight.equations.draws import Draw
from footlight.equations.gradients import grad
from footlight.equations.optimizers import Memory
from footlight.equations.returns import td_target, weighted_mean
from footlight.trees import map_leaves
from footlight.types import RolloutBatch, Spaces


@dataclass(frozen=True, kw_only=True)
class Config(Normalization, ContinuousActions, ActorCriticNetwork, Entropy, OptimizerSettings):
    """Hyperparameters of the one-step actor-critic."""

    gamma: Fraction = 0.99
    """Discount per environment step."""
    value_coef: NonNegative = 1.0
    """Weight of the value's squared error in the loss."""
    actor_learning_rate: Annotated[OptionalPositive, SCHEDULABLE] = 1e-4
    """Learning rate of the actor's own layers; none: automatic, learning_rate."""
    critic_learning_rate: Annotated[OptionalPositive, SCHEDULABLE] = 5e-4
    """Learning rate of the critic's own layers; none: automatic, learning_rate."""
    entropy_coef: Annotated[NonNegative, SCHEDULABLE] = 0.01
    """Weight of the policy's entropy in the loss."""
    max_grad_norm: OptionalPositive = None
    """Maximum norm of the gradient; a larger one is scaled down to it. none: off. The TD errors
    of single steps differ by orders of magnitude, and clipping the large ones hides that
    episodes end."""

    def __post_init__(self) -> None:
        check(self)


@dataclass
class State:
    """Everything that changes while the agent learns."""

    actor_critic: Tensor  # [P]
    optimizer: Memory
    progress: Tensor  # [1], share of the run that is over


@final
@dataclass(frozen=True)
class ActorCritic:
    """The algorithm, bound to its config and networks."""

    config: Config
    networks: Networks
    spaces: Spaces

    ACTIONS: ClassVar[tuple[str, ...]] = ("box", "discrete")
    METRICS: ClassVar[tuple[str, ...]] = (
        "policy_loss", "value_loss", "entropy", "value_mean", "td_error", "gradient_norm",
    )  # fmt: skip
    """policy_loss: -TD error * log pi; value_loss: squared TD error; entropy: nats per action;
    value_mean: V(s) in units of discounted return; td_error: its mean, which is near 0 when
    values are right; gradient_norm: before clipping."""

    @classmethod
    def create(
        cls, config: Config, spaces: Spaces, network: NetworkSource | None = None
    ) -> "ActorCritic":
        """With the built-in policy and value networks, or the user's `network`."""
        return cls(config, build_networks(config, spaces, network), spaces)

    def init(self, num_envs: int) -> State:
        """The state before the first step."""
        parameters_P = self.networks.actor_critic.initial.clone()
        optimizer = self.config.make_optimizer().init(parameters_P)
        return State(parameters_P, optimizer, torch.zeros(1))

    def buffer(self, num_envs: int) -> Rollout:
        """A rollout of one step."""
        return Rollout(self.spaces, num_envs, self.config.gamma, n_steps=1)

    def policy(self, state: State) -> PolicyState:
        """The network that policy and values are in."""
        return PolicyState(state.actor_critic)

    act = sample_or_mode
    diagnose = diagnose_actor_critic

    def draws(self, batch: RolloutBatch) -> Mapping[str, Draw]:
        """Noise of entropies without a closed form."""
        return entropy_draws(self.networks, batch.reward.size)

    @property
    def updates(self) -> Mapping[str, Callable[[State, RolloutBatch, Noise], Outcome]]:
        """All updates are the same."""
        return {"step": self.update}

    def update(self, state: State, batch: RolloutBatch, noise: Noise) -> Outcome:
        """One gradient step."""
        config, networks = self.config, self.networks
        observation, action_EA, reward_E, next_observation, discount_E, _, weight_E = (
            map_leaves(lambda leaf: leaf[0], field) for field in batch[:-1]
        )
        _, next_value_E = networks.actor_critic(state.actor_critic, next_observation)
        target_E = td_target(reward_E, discount_E, next_value_E)

        def loss(actor_critic_P: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            output_EH, value_E = networks.actor_critic(actor_critic_P, observation)
            td_error_E = target_E - value_E
            log_prob_E = networks.head.log_prob(output_EH, action_EA)

            policy_loss = -weighted_mean(td_error_E.detach() * log_prob_E, weight_E)
            value_loss = weighted_mean(td_error_E.square(), weight_E)
            entropy = weighted_mean(networks.head.entropy(output_EH, noise["entropy"]), weight_E)
            total = (
                policy_loss
                + config.value_coef * value_loss
                - entropy_weight(config, state.progress) * entropy
            )
            return total, {
                "policy_loss": policy_loss,
                "value_loss": value_loss,
                "entropy": entropy,
                "value_mean": weighted_mean(value_E, weight_E),
                "td_error": weighted_mean(td_error_E, weight_E),
            }

        gradient_P, metrics = grad(loss, has_aux=True)(state.actor_critic)
        norm = optimizer_step(config, networks, state, gradient_P)
        return Outcome({**metrics, "gradient_norm": norm})
