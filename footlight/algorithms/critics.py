"""The critics of an off-policy algorithm as one value: what they predict, how their target is made,
and their loss.

A new kind of critic is a class with the names of `Prediction`, and its name in
`network_settings.OffPolicyNetworks.critic` and in `prediction_of`.

Shape letters: B batch, N critics, M numbers that one critic predicts, K those of its target, P
parameters, Q running statistics.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from footlight.algorithms.network_settings import OffPolicyNetworks
from footlight.algorithms.prioritized import new_priorities, weighted
from footlight.algorithms.protocol import Noise, Outcome
from footlight.algorithms.settings import Priorities
from footlight.equations.draws import Draw, Subset
from footlight.equations.priorities import huber
from footlight.equations.returns import td_target
from footlight.equations.value_distributions import (
    bin_centers,
    cross_entropy,
    expected_bin,
    quantile_huber_loss,
    smallest_quantiles,
    two_hot,
)
from footlight.networks.flat import Network, Observed
from footlight.trees import map_leaves
from footlight.types import Batch


class Prediction(Protocol):
    """What the outputs of a critic mean. `output` is [N, B], or [N, B, M] if there are several."""

    @property
    def num_outputs(self) -> int:
        """M."""

    def value(self, output: Tensor) -> Tensor:
        """The expected returns Q(s, a), [N, B]."""

    def target(
        self, next_output: Tensor, reward_B: Tensor, discount_B: Tensor, bonus_B: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        """What the critics learn, from their predictions at the next step: one target for all of
        them, [B] or [B, K], and its expected return [B]. The bonus is added to the next value."""

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each critic and row, [N, B]."""


@dataclass(frozen=True)
class Scalar:
    """The expected return."""

    averages: bool  # the mean over critics instead of their minimum
    is_huber: bool = False
    num_outputs: int = 1

    def value(self, output: Tensor) -> Tensor:
        """The output itself."""
        return output

    def target(
        self, next_output: Tensor, reward_B: Tensor, discount_B: Tensor, bonus_B: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        """y = r + discount (min_N Q'(s', a') + bonus)."""
        next_value_B = next_output.mean(0) if self.averages else next_output.amin(0)
        target_B = td_target(reward_B, discount_B, next_value_B + bonus_B)
        return target_B, target_B

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The squared error, or Huber's loss."""
        return huber(output - target) if self.is_huber else (output - target).square()


@dataclass(frozen=True)
class Quantiles:
    """Quantiles of the return, as in TQC (Kuznetsov et al. 2020, arXiv:2005.04269)."""

    num_outputs: int
    num_dropped: int

    def value(self, output: Tensor) -> Tensor:
        """The mean of the quantiles."""
        return output.mean(-1)

    def target(
        self, next_output: Tensor, reward_B: Tensor, discount_B: Tensor, bonus_B: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        """y_k = r + discount (z_k + bonus), for all but the largest z_k of all critics."""
        kept_BK = smallest_quantiles(next_output, self.num_dropped)
        target_BK = td_target(reward_B[:, None], discount_B[:, None], kept_BK + column(bonus_B))
        return target_BK, target_BK.mean(-1)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The quantile regression loss."""
        return quantile_huber_loss(output, target)


@dataclass(frozen=True)
class Categorical:
    """Probabilities of bins of returns (Bellemare et al. 2017, arXiv:1707.06887), as logits."""

    num_outputs: int
    bound: float
    averages: bool

    def value(self, output: Tensor) -> Tensor:
        """The mean of the distribution."""
        return expected_bin(output, self._centers(output))

    def target(
        self, next_output: Tensor, reward_B: Tensor, discount_B: Tensor, bonus_B: Tensor | float
    ) -> tuple[Tensor, Tensor]:
        """The distribution of r + discount (z + bonus) over the bins, where z has the distribution
        of the critic with the smallest mean (or the mean of all critics')."""
        center_M, probability_NBM = self._centers(next_output), next_output.softmax(-1)
        if self.averages:
            probability_BM = probability_NBM.mean(0)
        else:
            smallest_B = self.value(next_output).argmin(0)
            critics_N1 = torch.arange(len(next_output), device=next_output.device)[:, None]
            is_chosen_NB1 = (critics_N1 == smallest_B)[..., None]
            probability_BM = torch.where(is_chosen_NB1, probability_NBM, 0.0).sum(0)
        value_BM = td_target(reward_B[:, None], discount_B[:, None], center_M + column(bonus_B))
        target_BM = two_hot(value_BM, probability_BM, center_M)
        return target_BM, (target_BM * center_M).sum(-1)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The cross-entropy."""
        return cross_entropy(output, target)

    def _centers(self, output: Tensor) -> Tensor:
        return bin_centers(self.num_outputs, self.bound, output.device)


def prediction_of(config: OffPolicyNetworks, is_huber: bool = False) -> Prediction:
    """What the critics of this config predict."""
    averages = config.target_rule == "mean"
    if config.critic == "quantile":
        return Quantiles(config.num_quantiles, config.dropped_quantiles)
    if config.critic == "categorical":
        return Categorical(config.num_bins, config.bin_bound, averages)
    return Scalar(averages, is_huber)


class Learned(NamedTuple):
    """What critics have predicted and learned from in one update."""

    q_NB: Tensor
    target_q_B: Tensor
    statistics_Q: Tensor


class CriticState(Protocol):
    """The state of the critics."""

    critic: Tensor  # [P], all N critics
    target_critic: Tensor | None
    critic_statistics: Tensor | None
    progress: Tensor  # [1], share of the run that is over


@dataclass(frozen=True)
class Critics:
    """The critics of an algorithm, bound to their network and what they predict."""

    network: Network
    config: OffPolicyNetworks
    priorities: Priorities
    is_joint: bool
    """Whether (s, a) and (s', a') pass through the network in one batch, with statistics of both:
    for batch normalization, whose training would otherwise see one distribution and its target
    another (Bhatt et al. 2024, CrossQ, arXiv:1902.05605)."""

    @property
    def prediction(self) -> Prediction:
        """What they predict."""
        return prediction_of(self.config, self.priorities.prioritization == "lap")

    def draws(self) -> Mapping[str, Draw]:
        """The random numbers that `loss` takes."""
        config = self.config
        chosen = Subset(config.num_critics, config.subset_size)
        return {"critics": chosen} if config.target_rule == "subset" else {}

    def loss(
        self, critic_P: Tensor, state: CriticState, batch: Batch, next_action_BA: Tensor,
        noise: Noise, bonus_B: Tensor | float = 0.0,
    ) -> tuple[Tensor, Learned]:  # fmt: skip
        """The sum over critics of their mean loss, as a function of `critic_P`."""
        output, next_output, statistics_Q = self._outputs(critic_P, state, batch, next_action_BA)
        if self.config.target_rule == "subset":
            next_output = next_output[noise["critics"]]
        prediction = self.prediction
        target, target_q_B = prediction.target(
            next_output.detach(), batch.reward, batch.discount, bonus_B
        )
        loss_NB = weighted(self.priorities, batch, state.progress, prediction.loss(output, target))
        return loss_NB.mean(1).sum(), Learned(prediction.value(output), target_q_B, statistics_Q)

    def _outputs(
        self, critic_P: Tensor, state: CriticState, batch: Batch, next_action_BA: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """At (s, a), at (s', a') as the target sees it, and the statistics after both."""
        forward, statistics_Q = self.network.with_statistics, state.critic_statistics
        target_P = critic_P if state.target_critic is None else state.target_critic
        now = batch.observation, batch.action
        following = batch.next_observation, next_action_BA
        if not self.is_joint:
            next_output, statistics_Q = forward(target_P, statistics_Q, *following, training=True)
            output, statistics_Q = forward(critic_P, statistics_Q, *now, training=True)
            return output, next_output, statistics_Q
        both = map_leaves(_concatenated, now[0], following[0]), _concatenated(now[1], following[1])
        outputs, after_Q = forward(critic_P, statistics_Q, *both, training=True)
        output, next_output = outputs.chunk(2, 1)
        if state.target_critic is not None:
            outputs, _ = forward(target_P, statistics_Q, *both, training=True)
            next_output = outputs.chunk(2, 1)[1]
        return output, next_output, after_Q

    def take_(self, state: CriticState, loss: Tensor, norm: Tensor, learned: Learned) -> Outcome:
        """After the optimizer's step: keep the statistics, and the norms of weights.

        norm: of the gradient. Returns metrics and new priorities.
        """
        self.network.keep_(
            state.critic, state.critic_statistics, learned.statistics_Q, self.config.unit_weights
        )
        q_NB, target_q_B = learned.q_NB, learned.target_q_B
        metrics = {"critic_loss": loss, "critic_gradient_norm": norm}
        metrics |= {"q_mean": q_NB.mean(), "target_q_mean": target_q_B.mean()}
        return Outcome(metrics, new_priorities(self.priorities, q_NB - target_q_B))

    def q(
        self, state: CriticState, observation: Observed, action: Tensor, training: bool = False
    ) -> Tensor:
        """Q(s, a) of all critics, [N, B]. With `training`, for an actor to follow, features are
        dropped out. Batches are always normalized by the running statistics, and critics that do so
        do not drop out here."""
        output, _ = self.network.with_statistics(
            state.critic, state.critic_statistics, observation, action,
            training=training and not self.is_joint,
        )  # fmt: skip
        return self.prediction.value(output)

    def diagnose(
        self, state: CriticState, observation: Observed, action: Tensor
    ) -> dict[str, Tensor]:
        """`value`, `values` and `edge_mass` of a `Diagnosis` of these actions."""
        output, _ = self.network.with_statistics(
            state.critic, state.critic_statistics, observation, action
        )
        value_NE = self.prediction.value(output)
        found = {"value": value_NE.amin(0), "values": value_NE.T}
        if isinstance(self.prediction, Categorical):
            probability_NEM = output.softmax(-1)
            edges_NE = probability_NEM[..., 0] + probability_NEM[..., -1]
            found["edge_mass"] = edges_NE.mean(0)
        return found

    def first_q(self, state: CriticState, observation: Observed, action: Tensor) -> Tensor:
        """Q(s, a) of the first critic, [B]."""
        output = self.network.member(
            0, state.critic, observation, action, statistics_Q=state.critic_statistics
        )
        return self.prediction.value(output)


def column(bonus_B: Tensor | float) -> Tensor | float:
    """[B, 1], to add to a number of values for each row."""
    return bonus_B[:, None] if isinstance(bonus_B, Tensor) else bonus_B


def _concatenated(first: Tensor, second: Tensor) -> Tensor:
    return torch.cat([first, second])
