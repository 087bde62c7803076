"""REINFORCE: the policy gradient from returns of whole episodes, with or without a learned baseline (Williams 1992; Sutton &
Barto 2018, sections 13.3 and 13.4).

An update follows `episodes_per_update` episodes, all begun after the previous update, and as many from each environment: so
they are complete episodes of one policy, and long ones are as frequent as it plays them.

Departures from the book: Adam instead of plain steps, one step for all steps of the episodes together, no factor gamma^t. An
episode that a time limit cut off has no complete return: with a baseline the value of its true last state stands for the rest;
without one the rest is missing, and returns near the limit are too small. That is the method's own limit, not an oversight.

Shape letters: B steps of a chunk, A action dimensions or choices, P parameters.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad

from footlight.algorithms import on_policy
from footlight.algorithms.on_policy import (
    Networks,
    NetworkSource,
    act,
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
from footlight.buffers.episodes import Episodes
from footlight.config.fields import Count, Fraction, NonNegative, OptionalPositive, Positive, check
from footlight.equations.optimizers import Memory
from footlight.equations.returns import td_target, weighted_mean
from footlight.types import Assessment, EpisodeBatch, Spaces

__all__ = ["act", "episode_ended", "explore"]  # shared with the other on-policy methods

ACTIONS = ("box", "discrete")
POLICY = "actor_critic"
METRICS = ("policy_loss", "value_loss", "entropy", "return_mean", "gradient_norm")
"""policy_loss: -(return - baseline) * log pi; value_loss: squared error of the baseline; entropy: nats per action; return_mean:
discounted return from a step on; gradient_norm: before clipping."""

CHUNK_SIZE = 256  # steps per call: large enough to be worth it, small enough not to be padding


@dataclass(frozen=True, kw_only=True)
class Config(Normalization, ContinuousActions, ActorCriticNetwork, Entropy, Descent):
    """Hyperparameters of REINFORCE."""

    gamma: Fraction = 0.99
    """Discount per environment step."""
    baseline: bool = True
    """Subtract a learned baseline V(s) from the returns."""
    episodes_per_update: Count = 1
    """Episodes per gradient update, as many from each environment: rounded up to a multiple of num_envs."""
    value_coef: NonNegative = 0.5
    """Weight of the baseline's loss (squared error)."""
    learning_rate: Positive = 1e-3
    """The optimizer's step size."""
    max_grad_norm: OptionalPositive = None
    """Maximum norm of the gradient; a larger one is scaled down to it. none: off."""

    def __post_init__(self) -> None:
        check(self)


@dataclass
class State:
    """Everything that changes while REINFORCE learns."""

    actor_critic: Tensor  # [P]
    gradient: Tensor  # [P], sum over the chunks of this update so far
    num_rows: Tensor  # [1], steps in these chunks
    optimizer: Memory
    progress: Tensor  # [1], share of the run that is over


def build(config: Config, spaces: Spaces, network: NetworkSource | None = None) -> Networks:
    """Policy and baseline: ours, or the user's own."""
    return build_networks(config, spaces, network)


def init(config: Config, networks: Networks, spaces: Spaces, num_envs: int) -> State:
    """The state before the first step."""
    parameters_P = networks.actor_critic.initial.clone()
    gradient_P, optimizer = torch.zeros_like(parameters_P), new_optimizer(config, parameters_P)
    return State(parameters_P, gradient_P, torch.zeros(1), optimizer, torch.zeros(1))


def buffer(config: Config, spaces: Spaces, num_envs: int) -> Episodes:
    """Where steps wait for the end of their episode."""
    return Episodes(spaces, num_envs, config.gamma, config.episodes_per_update, CHUNK_SIZE)


def assess(config: Config, networks: Networks, state: State, observation: Tensor) -> Assessment:
    """The baseline V(s), where there is one, and the policy's distribution."""
    assessment = on_policy.assess(config, networks, state, observation)
    return assessment if config.baseline else assessment._replace(value=None)


def noise_shape(config: Config, networks: Networks, batch: EpisodeBatch) -> tuple[int, ...]:
    """Standard normal numbers that one call takes: for entropies without a closed form."""
    return (CHUNK_SIZE, networks.head.noise_size)


def variants(config: Config, networks: Networks) -> tuple[bool, ...]:
    """The forms that an update can take."""
    return (True, False)


def variant(config: Config, index: int) -> bool:
    """Whether this is the last chunk of an update, which takes the step."""
    return index == 1


def update(
    config: Config,
    networks: Networks,
    state: State,
    batch: EpisodeBatch,
    noise_BA: Tensor,
    is_last: bool,
) -> dict[str, Tensor]:
    """The gradient of one chunk, and with the last one the step. Changes `state` in place and nothing else."""
    _, last_value_B = networks.actor_critic(state.actor_critic, batch.next_observation)
    return_B = (
        td_target(batch.reward, batch.discount, last_value_B) if config.baseline else batch.reward
    )

    def loss(actor_critic_P: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        output_BH, value_B = networks.actor_critic(actor_critic_P, batch.observation)
        log_prob_B = networks.head.log_prob(output_BH, batch.action)
        entropy_B = networks.head.entropy(output_BH, noise_BA)
        gain_B = return_B - value_B.detach() if config.baseline else return_B
        total_B = -gain_B * log_prob_B - entropy_weight(config, state.progress) * entropy_B
        if config.baseline:
            total_B = total_B + config.value_coef * (return_B - value_B).square()
        return (batch.weight * total_B).sum(), {
            "policy_loss": -weighted_mean(gain_B * log_prob_B, batch.weight),
            "value_loss": weighted_mean((return_B - value_B).square(), batch.weight),
            "entropy": weighted_mean(entropy_B, batch.weight),
            "return_mean": weighted_mean(return_B, batch.weight),
        }

    gradient_P, metrics = grad(loss, has_aux=True)(state.actor_critic)
    state.gradient.add_(gradient_P)
    state.num_rows.add_(batch.weight.sum())
    if not is_last:
        return metrics
    mean_P = state.gradient / state.num_rows
    norm = descend(config, networks, state.actor_critic, mean_P, state.optimizer, state.progress)
    state.gradient.zero_()
    state.num_rows.zero_()
    return {**metrics, "gradient_norm": norm}
