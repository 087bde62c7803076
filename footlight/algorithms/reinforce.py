"""REINFORCE: the policy gradient from returns of whole episodes, with or without a learned baseline
(Williams 1992; Sutton & Barto 2018, sections 13.3 and 13.4).

An update follows `episodes_per_update` episodes, all begun after the previous update, and as many
from each environment: so they are complete episodes of one policy, and long ones are as frequent as
it plays them.

Departures from the book: Adam instead of plain gradient descent, one step for all steps of the
episodes together, no factor gamma^t. An episode that a time limit cut off has no complete return:
with a baseline the value of its true last state stands in for the rest; without one the rest is
missing, and returns near the limit are too small. That is a limit of the algorithm, not an
oversight.

Shape letters: B steps of a chunk, A action dimensions or choices, P parameters.
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
from footlight.buffers.episodes import Episodes
from footlight.config.fields import (
    SCHEDULABLE,
    Count,
    Fraction,
    NonNegative,
    OptionalPositive,
    Positive,
    check,
)
from footlight.equations.draws import Draw
from footlight.equations.gradients import grad
from footlight.equations.optimizers import Memory
from footlight.equations.returns import td_target, weighted_mean
from footlight.types import Chunk, Diagnosis, EpisodeBatch, Spaces

CHUNK_SIZE = 256  # steps per call: large enough to be worth it, small enough not to be padding


@dataclass(frozen=True, kw_only=True)
class Config(Normalization, ContinuousActions, ActorCriticNetwork, Entropy, OptimizerSettings):
    """Hyperparameters of REINFORCE."""

    gamma: Fraction = 0.99
    """Discount per environment step."""
    baseline: bool = True
    """Subtract a learned baseline V(s) from the returns."""
    episodes_per_update: Count = 1
    """Episodes per gradient update, as many from each environment: rounded up to a multiple of
    num_envs."""
    value_coef: NonNegative = 0.5
    """Weight of the baseline's loss (squared error)."""
    learning_rate: Annotated[Positive, SCHEDULABLE] = 1e-3
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


@final
@dataclass(frozen=True)
class REINFORCE:
    """The algorithm, bound to its config and networks."""

    config: Config
    networks: Networks
    spaces: Spaces

    ACTIONS: ClassVar[tuple[str, ...]] = ("box", "discrete")
    METRICS: ClassVar[tuple[str, ...]] = (
        "policy_loss", "value_loss", "entropy", "return_mean", "gradient_norm",
    )  # fmt: skip
    """policy_loss: -(return - baseline) * log pi; value_loss: squared error of the baseline;
    entropy: nats per action; return_mean: discounted return from a step on; gradient_norm:
    before clipping."""
    transient: ClassVar[tuple[str, ...]] = ("gradient", "num_rows")

    @classmethod
    def create(
        cls, config: Config, spaces: Spaces, network: NetworkSource | None = None
    ) -> "REINFORCE":
        """With the built-in policy and baseline, or the user's `network`."""
        return cls(config, build_networks(config, spaces, network), spaces)

    def init(self, num_envs: int) -> State:
        """The state before the first step."""
        parameters_P = self.networks.actor_critic.initial.clone()
        gradient_P = torch.zeros_like(parameters_P)
        optimizer = self.config.make_optimizer().init(parameters_P)
        return State(parameters_P, gradient_P, torch.zeros(1), optimizer, torch.zeros(1))

    def buffer(self, num_envs: int) -> Episodes:
        """Where steps wait for the end of their episode."""
        config = self.config
        return Episodes(self.spaces, num_envs, config.gamma, config.episodes_per_update, CHUNK_SIZE)

    def policy(self, state: State) -> PolicyState:
        """The network that policy and values are in."""
        return PolicyState(state.actor_critic)

    act = sample_or_mode

    def diagnose(self, state: State, observation: Tensor) -> Diagnosis:
        """The baseline V(s), where there is one, and the policy's distribution."""
        diagnosis = diagnose_actor_critic(self, state, observation)
        return diagnosis if self.config.baseline else diagnosis._replace(value=None)

    def draws(self, batch: EpisodeBatch) -> Mapping[str, Draw]:
        """Noise of entropies without a closed form."""
        return entropy_draws(self.networks, CHUNK_SIZE)

    @property
    def updates(self) -> Mapping[str, Callable[[State, EpisodeBatch, Noise], Outcome]]:
        """The gradient is gathered chunk by chunk; the step follows the last one."""
        return {"accumulate_and_step": self.accumulate_and_step, "accumulate": self.accumulate}

    def update_for(self, due: Chunk) -> str:
        """The last chunk of an update brings the step."""
        return "accumulate_and_step" if due.is_last else "accumulate"

    def accumulate(self, state: State, batch: EpisodeBatch, noise: Noise) -> Outcome:
        """Add the gradient of one chunk."""
        config, networks = self.config, self.networks
        _, last_value_B = networks.actor_critic(state.actor_critic, batch.next_observation)
        return_B = (
            td_target(batch.reward, batch.discount, last_value_B)
            if config.baseline
            else batch.reward
        )

        def loss(actor_critic_P: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            output_BH, value_B = networks.actor_critic(actor_critic_P, batch.observation)
            log_prob_B = networks.head.log_prob(output_BH, batch.action)
            entropy_B = networks.head.entropy(output_BH, noise["entropy"])
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
        return Outcome(metrics)

    def accumulate_and_step(self, state: State, batch: EpisodeBatch, noise: Noise) -> Outcome:
        """Add the gradient of the last chunk, and take the step."""
        metrics = self.accumulate(state, batch, noise).metrics
        mean_P = state.gradient / state.num_rows
        norm = optimizer_step(self.config, self.networks, state, mean_P)
        state.gradient.zero_()
        state.num_rows.zero_()
        return Outcome({**metrics, "gradient_norm": norm})
