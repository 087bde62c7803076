"""Advantage actor-critic: one gradient step on each rollout (Mnih et al. 2016, arXiv:1602.01783,
without the asynchrony).

With `gae_lambda` 1 the advantages are those of n-step returns, up to the end of the rollout, as in
the paper; below, they are generalized (Schulman et al. 2016). At a time limit the value of the true
last state stands in for what would have followed.

Shape letters: T steps, E environments, B = T * E rows, A action dimensions or choices, P
parameters.
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
    rows_of,
    sample_or_mode,
    sees_pixels,
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
from footlight.config.fields import SCHEDULABLE, Count, Fraction, NonNegative, Positive, check
from footlight.equations.draws import Draw
from footlight.equations.gradients import grad
from footlight.equations.optimizers import Kind, Memory
from footlight.equations.returns import (
    explained_variance,
    generalized_advantage,
    standardized,
    weighted_mean,
)
from footlight.errors import UserError
from footlight.trees import map_leaves
from footlight.types import RolloutBatch, Spaces, WholeRollout


@dataclass(frozen=True, kw_only=True)
class Config(Normalization, ContinuousActions, ActorCriticNetwork, Entropy, OptimizerSettings):
    """Hyperparameters of A2C."""

    gamma: Fraction = 0.99
    """Discount per environment step."""
    n_steps: Count = 5
    """Rollout length: steps of each environment per update."""
    gae_lambda: Fraction = 1.0
    """Lambda of generalized advantage estimation; 1: n-step returns, 0: one-step TD errors."""
    value_coef: NonNegative = 0.5
    """Weight of the value loss (squared error)."""
    normalize_advantage: bool = False
    """Normalize the advantages of each update to mean 0 and standard deviation 1."""
    learning_rate: Annotated[Positive, SCHEDULABLE] = 7e-4
    """Learning rate of the optimizer."""
    optimizer: Kind = "rmsprop"
    """adam (betas 0.9 and 0.999), adamw (the same with decoupled weight decay), rmsprop (decay
    0.99), rmsprop-tf (TensorFlow's form, for which published Atari values were tuned: epsilon under
    the root, and a mean square that starts at 1), or sgd (plain gradient descent, no momentum)."""

    def __post_init__(self) -> None:
        check(self)


@dataclass
class State:
    """Everything that changes while A2C learns."""

    actor_critic: Tensor  # [P]
    optimizer: Memory
    progress: Tensor  # [1], share of the run that is over


@final
@dataclass(frozen=True)
class A2C:
    """The algorithm, bound to its config and networks."""

    config: Config
    networks: Networks
    spaces: Spaces

    ACTIONS: ClassVar[tuple[str, ...]] = ("box", "discrete")
    METRICS: ClassVar[tuple[str, ...]] = (
        "policy_loss", "value_loss", "entropy", "value_mean", "explained_variance",
        "gradient_norm",
    )  # fmt: skip
    """policy_loss: -advantage * log pi; value_loss: squared error of V(s) against its target;
    entropy: nats per action; value_mean: V(s) in units of discounted return;
    explained_variance: share of the targets' variance that V(s) explains; gradient_norm: before
    clipping."""

    @classmethod
    def create(cls, config: Config, spaces: Spaces, network: NetworkSource | None = None) -> "A2C":
        """With the built-in policy and value networks, or the user's `network`."""
        return cls(config, build_networks(config, spaces, network), spaces)

    def init(self, num_envs: int) -> State:
        """The state before the first step."""
        parameters_P = self.networks.actor_critic.initial.clone()
        optimizer = self.config.make_optimizer().init(parameters_P)
        return State(parameters_P, optimizer, torch.zeros(1))

    def buffer(self, num_envs: int) -> Rollout:
        """The rollout buffer. Raises `UserError` for a single advantage that is to be
        normalized."""
        config = self.config
        if config.normalize_advantage and config.n_steps * num_envs == 1:
            raise UserError(
                "n_steps and num_envs are 1 with normalize_advantage - a single advantage "
                "minus its mean is 0 - use n_steps 2"
            )
        is_linked = sees_pixels(config, self.spaces)
        return Rollout(self.spaces, num_envs, config.gamma, config.n_steps, tell_linked=is_linked)

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
        """In a linked rollout the successor of a step is the next row, whose value is known."""
        return {"rollout": self.update_rollout, "linked_rollout": self.update_linked_rollout}

    @property
    def eager(self) -> frozenset[str]:
        """Most rollouts of images are linked; others are never treated as linked."""
        return frozenset({"rollout" if self.networks.actor_critic.on_images else "linked_rollout"})

    def update_for(self, due: WholeRollout) -> str:
        """The update of this kind of rollout."""
        return "linked_rollout" if due.is_linked else "rollout"

    def update_rollout(self, state: State, batch: RolloutBatch, noise: Noise) -> Outcome:
        """One gradient step; the values of all successors are computed."""
        next_observation = rows_of(batch.next_observation)
        _, next_value_B = self.networks.actor_critic(state.actor_critic, next_observation)
        return self._update(state, batch, noise, lambda value_TE: next_value_B.view_as(value_TE))

    def update_linked_rollout(self, state: State, batch: RolloutBatch, noise: Noise) -> Outcome:
        """One gradient step; only the values of the last row's successors are computed."""
        last = map_leaves(lambda leaf_TE: leaf_TE[-1], batch.next_observation)
        _, last_E = self.networks.actor_critic(state.actor_critic, last)
        return self._update(
            state, batch, noise, lambda value_TE: torch.cat([value_TE[1:], last_E[None]])
        )

    def _update(
        self, state: State, batch: RolloutBatch, noise: Noise,
        successors: Callable[[Tensor], Tensor],
    ) -> Outcome:  # fmt: skip
        """One gradient step. `successors` returns the values of what followed each step, given the
        values of the rollout."""
        config, networks = self.config, self.networks
        weight_B = batch.weight.flatten()

        def loss(actor_critic_P: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            output_BH, value_B = networks.actor_critic(actor_critic_P, rows_of(batch.observation))
            value_TE = value_B.detach().view_as(batch.reward)
            next_value_TE = successors(value_TE)
            advantage_B = generalized_advantage(
                batch.reward,
                batch.discount,
                batch.continues,
                value_TE,
                next_value_TE,
                config.gamma * config.gae_lambda,
            ).flatten()
            target_B = value_B.detach() + advantage_B
            if config.normalize_advantage:
                advantage_B = standardized(advantage_B, weight_B)
            log_prob_B = networks.head.log_prob(output_BH, batch.action.flatten(0, 1))

            policy_loss = -weighted_mean(advantage_B * log_prob_B, weight_B)
            value_loss = weighted_mean((target_B - value_B).square(), weight_B)
            entropy = weighted_mean(networks.head.entropy(output_BH, noise["entropy"]), weight_B)
            total = (
                policy_loss
                + config.value_coef * value_loss
                - entropy_weight(config, state.progress) * entropy
            )
            return total, {
                "policy_loss": policy_loss,
                "value_loss": value_loss,
                "entropy": entropy,
                "value_mean": weighted_mean(value_B, weight_B),
                "explained_variance": explained_variance(value_B, target_B, weight_B),
            }

        gradient_P, metrics = grad(loss, has_aux=True)(state.actor_critic)
        norm = optimizer_step(config, networks, state, gradient_P)
        return Outcome({**metrics, "gradient_norm": norm})
