"""Advantage actor-critic: one gradient step on each rollout (Mnih et al. 2016, arXiv:1602.01783, without the asynchrony).

With `gae_lambda` 1 the advantages are those of n-step returns, up to the end of the rollout, as in the paper; below, they are
generalized (Schulman et al. 2016). At a time limit the value of the true last state stands for what would have followed.

Shape letters: T steps, E environments, B = T * E rows, A action dimensions or choices, P parameters.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad

from footlight.algorithms.on_policy import (
    Networks,
    NetworkSource,
    act,
    assess,
    build_networks,
    descend,
    entropy_weight,
    episode_ended,
    explore,
    new_optimizer,
    sees_pixels,
)  # fmt: skip
from footlight.algorithms.settings import (
    ActorCriticNetwork,
    ContinuousActions,
    Descent,
    Entropy,
    Normalization,
    Optimizer,
)
from footlight.buffers.rollout import Rollout
from footlight.config.fields import Count, Fraction, NonNegative, Positive, check
from footlight.equations.optimizers import Memory
from footlight.equations.returns import (
    explained_variance,
    generalized_advantage,
    standardized,
    weighted_mean,
)
from footlight.errors import UserError
from footlight.types import RolloutBatch, Spaces

__all__ = ["act", "assess", "episode_ended", "explore"]  # shared with the other on-policy methods

ACTIONS = ("box", "discrete")
POLICY = "actor_critic"
METRICS = (
    "policy_loss",
    "value_loss",
    "entropy",
    "value_mean",
    "explained_variance",
    "gradient_norm",
)
"""policy_loss: -advantage * log pi; value_loss: squared error of V(s) against its target; entropy: nats per action; value_mean:
V(s) in units of discounted return; explained_variance: share of the targets' variance that V(s) explains; gradient_norm: before
clipping."""


@dataclass(frozen=True, kw_only=True)
class Config(Normalization, ContinuousActions, ActorCriticNetwork, Entropy, Descent):
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
    learning_rate: Positive = 7e-4
    """Learning rate of the optimizer."""
    optimizer: Optimizer = "rmsprop"
    """adam (betas 0.9 and 0.999), adamw (the same with decoupled weight decay), rmsprop (decay 0.99), rmsprop-tf (TensorFlow's
    form, which published values for Atari are for: epsilon under the root, and a memory that begins at 1), or sgd (plain gradient
    descent, no momentum)."""

    def __post_init__(self) -> None:
        check(self)


@dataclass
class State:
    """Everything that changes while A2C learns."""

    actor_critic: Tensor  # [P]
    optimizer: Memory
    progress: Tensor  # [1], share of the run that is over


def build(config: Config, spaces: Spaces, network: NetworkSource | None = None) -> Networks:
    """Policy and values: ours, or the user's own."""
    return build_networks(config, spaces, network)


def init(config: Config, networks: Networks, spaces: Spaces, num_envs: int) -> State:
    """The state before the first step."""
    parameters_P = networks.actor_critic.initial.clone()
    return State(parameters_P, new_optimizer(config, parameters_P), torch.zeros(1))


def buffer(config: Config, spaces: Spaces, num_envs: int) -> Rollout:
    """Where steps wait until the rollout is full. Raises `UserError` where there is nothing to normalize."""
    if config.normalize_advantage and config.n_steps * num_envs == 1:
        raise UserError(
            "n_steps and num_envs are 1 with normalize_advantage - one advantage less its mean is 0 - take n_steps 2"
        )
    return Rollout(
        spaces, num_envs, config.gamma, config.n_steps, tell_linked=sees_pixels(config, spaces)
    )


def noise_shape(config: Config, networks: Networks, batch: RolloutBatch) -> tuple[int, ...]:
    """Standard normal numbers that one update takes: for entropies without a closed form."""
    return (batch.reward.size, networks.head.noise_size)


def variants(config: Config, networks: Networks) -> tuple[bool, ...]:
    """The form that updates usually take."""
    return (networks.pixels,)


def variant(config: Config, index: int) -> bool:
    """Whether all successors but the last are observations of the rollout themselves."""
    return index == 1


def update(
    config: Config,
    networks: Networks,
    state: State,
    batch: RolloutBatch,
    noise_BA: Tensor,
    is_linked: bool,
) -> dict[str, Tensor]:
    """One gradient step. Changes `state` in place and nothing else."""
    weight_B = batch.weight.flatten()
    successors = batch.next_observation[-1] if is_linked else batch.next_observation.flatten(0, 1)
    _, successor_value = networks.actor_critic(state.actor_critic, successors)

    def loss(actor_critic_P: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output_BH, value_B = networks.actor_critic(actor_critic_P, batch.observation.flatten(0, 1))
        value_TE = value_B.detach().view_as(batch.reward)
        if is_linked:  # what follows a step was observed at the next one: its value is known
            next_value_TE = torch.cat([value_TE[1:], successor_value[None]])
        else:
            next_value_TE = successor_value.view_as(batch.reward)
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
        entropy = weighted_mean(networks.head.entropy(output_BH, noise_BA), weight_B)
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
    norm = descend(
        config, networks, state.actor_critic, gradient_P, state.optimizer, state.progress
    )
    return {**metrics, "gradient_norm": norm}
