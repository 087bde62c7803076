"""One-step actor-critic: an update at every step, from the TD error alone (Sutton & Barto 2018, section 13.5).

The TD error r + gamma V(s') - V(s) moves the critic towards the target and the actor towards actions that went better than
expected. Departures from the book: Adam instead of plain steps, an optional entropy bonus, and no factor gamma^t on the actor's
step, as in nearly all implementations. With several environments an update is the mean over one step of each.

Shape letters: E environments, A action dimensions or choices, P parameters.
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
)  # fmt: skip
from footlight.algorithms.settings import (
    ActorCriticNetwork,
    ContinuousActions,
    Descent,
    Entropy,
    Normalization,
)
from footlight.buffers.rollout import Rollout
from footlight.config.fields import Fraction, NonNegative, OptionalPositive, check
from footlight.equations.optimizers import Memory
from footlight.equations.returns import td_target, weighted_mean
from footlight.types import RolloutBatch, Spaces

__all__ = ["act", "assess", "episode_ended", "explore"]  # shared with the other on-policy methods

ACTIONS = ("box", "discrete")
POLICY = "actor_critic"
METRICS = ("policy_loss", "value_loss", "entropy", "value_mean", "td_error", "gradient_norm")
"""policy_loss: -TD error * log pi; value_loss: squared TD error; entropy: nats per action; value_mean: V(s) in units of
discounted return; td_error: its mean, which is near 0 when values are right; gradient_norm: before clipping."""


@dataclass(frozen=True, kw_only=True)
class Config(Normalization, ContinuousActions, ActorCriticNetwork, Entropy, Descent):
    """Hyperparameters of the one-step actor-critic."""

    gamma: Fraction = 0.99
    """Discount per environment step."""
    value_coef: NonNegative = 1.0
    """Weight of the value's squared error in the loss."""
    actor_learning_rate: OptionalPositive = 1e-4
    """Learning rate of the actor's own layers; none: automatic, learning_rate."""
    critic_learning_rate: OptionalPositive = 5e-4
    """Learning rate of the critic's own layers; none: automatic, learning_rate."""
    entropy_coef: NonNegative = 0.01
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


def build(config: Config, spaces: Spaces, network: NetworkSource | None = None) -> Networks:
    """Policy and values: ours, or the user's own."""
    return build_networks(config, spaces, network)


def init(config: Config, networks: Networks, spaces: Spaces, num_envs: int) -> State:
    """The state before the first step."""
    parameters_P = networks.actor_critic.initial.clone()
    return State(parameters_P, new_optimizer(config, parameters_P), torch.zeros(1))


def buffer(config: Config, spaces: Spaces, num_envs: int) -> Rollout:
    """A rollout of one step."""
    return Rollout(spaces, num_envs, config.gamma, n_steps=1)


def noise_shape(config: Config, networks: Networks, batch: RolloutBatch) -> tuple[int, ...]:
    """Standard normal numbers that one update takes: for entropies without a closed form."""
    return (batch.reward.size, networks.head.noise_size)


def variants(config: Config, networks: Networks) -> tuple[None]:
    """All updates have the same form."""
    return (None,)


def variant(config: Config, index: int) -> None:
    """All updates have the same form."""


def update(
    config: Config,
    networks: Networks,
    state: State,
    batch: RolloutBatch,
    noise_EA: Tensor,
    form: None,
) -> dict[str, Tensor]:
    """One gradient step. Changes `state` in place and nothing else."""
    observation, action_EA, reward_E, next_observation, discount_E, _, weight_E = (
        array[0] for array in batch[:-1]
    )
    _, next_value_E = networks.actor_critic(state.actor_critic, next_observation)
    target_E = td_target(reward_E, discount_E, next_value_E)

    def loss(actor_critic_P: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output_EH, value_E = networks.actor_critic(actor_critic_P, observation)
        td_error_E = target_E - value_E
        log_prob_E = networks.head.log_prob(output_EH, action_EA)

        policy_loss = -weighted_mean(td_error_E.detach() * log_prob_E, weight_E)
        value_loss = weighted_mean(td_error_E.square(), weight_E)
        entropy = weighted_mean(networks.head.entropy(output_EH, noise_EA), weight_E)
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
    norm = descend(
        config, networks, state.actor_critic, gradient_P, state.optimizer, state.progress
    )
    return {**metrics, "gradient_norm": norm}
