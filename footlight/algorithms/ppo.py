"""Proximal policy optimization: epochs of minibatches on each rollout, held back by a clipped ratio
(Schulman et al. 2017, arXiv:1707.06347).

Options that the paper does not have: the quadratic penalty of SPO in the place of clipping
(`objective`; Xie et al. 2024, arXiv:2401.16025), and the shifted means of RPO (`rpo_alpha`; Rahman
& Xue 2022, arXiv:2212.07536).

The probabilities that ratios compare with, the advantages and the value targets are computed once
per rollout, before its first minibatch, with the parameters that collected it; so the first ratio
is exactly 1 unless means are shifted. With `target_kl` the rest of a rollout is skipped once the
policy has moved that far. At a time limit the value of the true last state stands in for what would
have followed.

Shape letters: T steps, E environments, B = T * E rows, M rows of a minibatch, A action dimensions
or choices, P parameters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, final

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
from footlight.config.fields import (
    SCHEDULABLE,
    Count,
    Fraction,
    NonNegative,
    OptionalPositive,
    Positive,
    check,
)
from footlight.equations.draws import Draw, Uniform
from footlight.equations.gradients import grad
from footlight.equations.optimizers import Memory
from footlight.equations.returns import (
    clipped_surrogate,
    explained_variance,
    generalized_advantage,
    penalized_surrogate,
    standardized,
    weighted_mean,
)
from footlight.errors import UserError
from footlight.trees import map_leaves, tree_items
from footlight.types import BoxAction, Minibatch, RolloutBatch, Spaces


@dataclass(frozen=True, kw_only=True)
class Config(Normalization, ContinuousActions, ActorCriticNetwork, Entropy, OptimizerSettings):
    """Hyperparameters of PPO."""

    gamma: Fraction = 0.99
    """Discount per environment step."""
    n_steps: Count = 2048
    """Rollout length: steps of each environment per rollout. That of a preset follows num_envs."""
    num_epochs: Count = 10
    """Passes over each rollout."""
    minibatch_size: Count = 64
    """Steps per minibatch; divides n_steps x num_envs. That of a preset follows num_envs."""
    gae_lambda: Fraction = 0.95
    """Lambda of generalized advantage estimation; 1: returns to the end of the rollout, 0:
    one-step TD errors."""
    clip_range: Annotated[Positive, SCHEDULABLE] = 0.2
    """Clip probability ratios to 1 plus and minus this."""
    objective: Literal["clip", "spo"] = "clip"
    """What holds the policy back: ratios are clipped (clip), or their squared distance from 1 is
    penalized such that the best ratio is 1 plus or minus clip_range (spo)."""
    rpo_alpha: NonNegative = 0.0
    """Shift the means of continuous actions in each update by random numbers between plus and minus
    this, in units of half the action range, which keeps the entropy up. 0.5 helps on some tasks
    and ruins others."""
    value_clip_range: OptionalPositive = None
    """Clip new values to the old ones plus and minus this; none: off."""
    final_clip_range: OptionalPositive = None
    """clip_range at the end of the run, approached linearly; none: off, clip_range is constant."""
    target_kl: OptionalPositive = None
    """Skip the rest of a rollout's minibatches once approx_kl exceeds 1.5 times this; none: off."""
    value_coef: NonNegative = 0.5
    """Weight of the value loss (squared error)."""
    normalize_advantage: bool = True
    """Normalize the advantages of each minibatch to mean 0 and standard deviation 1."""

    def __post_init__(self) -> None:
        check(self)
        if self.normalize_advantage and self.minibatch_size == 1:
            raise UserError(
                "minibatch_size is 1 with normalize_advantage - a single advantage minus its mean "
                "is 0 - use 2 or more"
            )


SURROGATES = {"clip": clipped_surrogate, "spo": penalized_surrogate}
"""By `objective`, what the policy ascends."""


@dataclass
class State:
    """Everything that changes while PPO learns. Quantities of the current rollout are computed
    before its first minibatch."""

    actor_critic: Tensor  # [P]
    optimizer: Memory
    progress: Tensor  # [1], share of the run that is over
    advantage: Tensor  # [B]
    value: Tensor  # [B], by the old parameters
    log_prob: Tensor  # [B], by the old parameters
    kl_exceeded: Tensor  # [1], 1 where the policy has moved by more than target_kl


@final
@dataclass(frozen=True)
class PPO:
    """The algorithm, bound to its config and networks."""

    config: Config
    networks: Networks
    spaces: Spaces

    ACTIONS: ClassVar[tuple[str, ...]] = ("box", "discrete")
    METRICS: ClassVar[tuple[str, ...]] = (
        "policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction", "value_mean",
        "explained_variance", "gradient_norm",
    )  # fmt: skip
    """policy_loss: minus the surrogate; value_loss: squared error of V(s); entropy: nats per
    action; approx_kl: mean of (r - 1) - log r, an estimate of the divergence from the policy
    that collected the rollout; clip_fraction: share of ratios outside of the clip range;
    value_mean: V(s) in units of discounted return; explained_variance: share of the targets'
    variance that V(s) explains; gradient_norm: before clipping."""
    transient: ClassVar[tuple[str, ...]] = ("advantage", "value", "log_prob", "kl_exceeded")

    @classmethod
    def create(cls, config: Config, spaces: Spaces, network: NetworkSource | None = None) -> "PPO":
        """With the built-in policy and value networks, or the user's `network`."""
        if config.rpo_alpha and not isinstance(spaces.action, BoxAction):
            raise UserError(
                f"rpo_alpha is {config.rpo_alpha} with discrete actions - it shifts the means of "
                "continuous ones - leave it out, or set it to 0"
            )
        return cls(config, build_networks(config, spaces, network), spaces)

    def init(self, num_envs: int) -> State:
        """The state before the first step."""
        parameters_P = self.networks.actor_critic.initial.clone()
        optimizer = self.config.make_optimizer().init(parameters_P)
        advantage, value, log_prob = (torch.zeros(self.config.n_steps * num_envs) for _ in range(3))
        progress, kl_exceeded = torch.zeros(1), torch.zeros(1)
        return State(parameters_P, optimizer, progress, advantage, value, log_prob, kl_exceeded)

    def buffer(self, num_envs: int) -> Rollout:
        """The rollout buffer, from which minibatches are drawn."""
        config = self.config
        return Rollout(
            self.spaces, num_envs, config.gamma, config.n_steps, config.num_epochs,
            config.minibatch_size,
        )  # fmt: skip

    def policy(self, state: State) -> PolicyState:
        """The network that policy and values are in."""
        return PolicyState(state.actor_critic)

    act = sample_or_mode
    diagnose = diagnose_actor_critic

    def draws(self, batch: RolloutBatch) -> Mapping[str, Draw]:
        """Noise of entropies without a closed form, and of shifted means."""
        num_rows = self.config.minibatch_size
        draws = entropy_draws(self.networks, num_rows)
        if self.config.rpo_alpha:
            draws["shift"] = Uniform((num_rows, self.spaces.action.size))
        return draws

    @property
    def updates(self) -> Mapping[str, Callable[[State, RolloutBatch, Noise], Outcome]]:
        """The first minibatch of a rollout begins with what is computed once per rollout."""
        return {"first_minibatch": self.update_first_minibatch, "minibatch": self.update_minibatch}

    def update_for(self, due: Minibatch) -> str:
        """Minibatches are numbered within the rollout."""
        return "minibatch" if due.number else "first_minibatch"

    def compute_advantages(self, state: State, batch: RolloutBatch) -> None:
        """Advantages, values and log-probabilities of a new rollout, by the parameters that
        collected it."""
        config, networks = self.config, self.networks
        output_BH, value_B = networks.actor_critic(state.actor_critic, rows_of(batch.observation))
        _, next_value_B = networks.actor_critic(state.actor_critic, rows_of(batch.next_observation))
        value_TE, next_value_TE = value_B.view_as(batch.reward), next_value_B.view_as(batch.reward)
        advantage_TE = generalized_advantage(
            batch.reward,
            batch.discount,
            batch.continues,
            value_TE,
            next_value_TE,
            config.gamma * config.gae_lambda,
        )
        state.advantage.copy_(advantage_TE.flatten())
        state.value.copy_(value_B)
        state.log_prob.copy_(networks.head.log_prob(output_BH, batch.action.flatten(0, 1)))
        state.kl_exceeded.zero_()

    def update_first_minibatch(self, state: State, batch: RolloutBatch, noise: Noise) -> Outcome:
        """Advantages of the rollout, then one gradient step on its first minibatch."""
        self.compute_advantages(state, batch)
        return self.update_minibatch(state, batch, noise)

    def update_minibatch(self, state: State, batch: RolloutBatch, noise: Noise) -> Outcome:
        """One gradient step on one minibatch."""
        config, networks = self.config, self.networks
        observation = map_leaves(lambda leaf_B: leaf_B[batch.rows], rows_of(batch.observation))
        action_MA = batch.action.flatten(0, 1)[batch.rows]
        old_log_prob_M, old_value_M = state.log_prob[batch.rows], state.value[batch.rows]
        advantage_M, weight_M = state.advantage[batch.rows], batch.weight.flatten()[batch.rows]
        target_M = old_value_M + advantage_M
        if config.normalize_advantage:
            advantage_M = standardized(advantage_M, weight_M)
        clip: Any = config.clip_range
        if config.final_clip_range is not None:
            clip = clip + (config.final_clip_range - clip) * state.progress.squeeze()
        surrogate = SURROGATES[config.objective]

        def loss(actor_critic_P: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            output_MH, value_M = networks.actor_critic(actor_critic_P, observation)

            if config.rpo_alpha:
                output_MH = self.shifted(output_MH, noise["shift"])
            log_ratio_M = networks.head.log_prob(output_MH, action_MA) - old_log_prob_M
            ratio_M = log_ratio_M.exp()
            surrogate_M = surrogate(ratio_M, advantage_M, clip)
            policy_loss = -weighted_mean(surrogate_M, weight_M)

            counted_value_M = value_M
            if config.value_clip_range is not None:
                limit = config.value_clip_range
                counted_value_M = old_value_M + (value_M - old_value_M).clamp(-limit, limit)
            value_loss = weighted_mean((target_M - counted_value_M).square(), weight_M)
            entropy = weighted_mean(networks.head.entropy(output_MH, noise["entropy"]), weight_M)
            total = (
                policy_loss
                + config.value_coef * value_loss
                - entropy_weight(config, state.progress) * entropy
            )
            return total, {
                "policy_loss": policy_loss,
                "value_loss": value_loss,
                "entropy": entropy,
                "approx_kl": weighted_mean(ratio_M - 1 - log_ratio_M, weight_M),
                "clip_fraction": weighted_mean(((ratio_M - 1).abs() > clip).float(), weight_M),
                "value_mean": weighted_mean(value_M, weight_M),
                "explained_variance": explained_variance(old_value_M, target_M, weight_M),
            }

        gradient_P, metrics = grad(loss, has_aux=True)(state.actor_critic)
        norm = self.step_within_target_kl(state, gradient_P, metrics["approx_kl"])
        return Outcome({**metrics, "gradient_norm": norm})

    def shifted(self, output_MH: Tensor, uniform_MA: Tensor) -> Tensor:
        """The policy's outputs with means shifted by numbers in [-rpo_alpha, rpo_alpha)."""
        mean_MA, raw_log_std_MA = output_MH.chunk(2, -1)
        shift_MA = self.config.rpo_alpha * (2 * uniform_MA - 1)
        return torch.cat([mean_MA + shift_MA, raw_log_std_MA], -1)

    def step_within_target_kl(self, state: State, gradient_P: Tensor, approx_kl: Tensor) -> Tensor:
        """One optimizer step, undone where the policy has moved by more than target_kl. Return the
        gradient's norm."""
        config, networks = self.config, self.networks
        if config.target_kl is None:
            return optimizer_step(config, networks, state, gradient_P)
        kl_exceeded = (approx_kl > 1.5 * config.target_kl).float()
        state.kl_exceeded.copy_(torch.maximum(state.kl_exceeded, kl_exceeded))
        leaves = (state.actor_critic, *tree_items(state.optimizer).values())
        before = [(leaf, leaf.clone()) for leaf in leaves]
        norm = optimizer_step(config, networks, state, gradient_P)
        for leaf, old in before:
            leaf.copy_(torch.where(state.kl_exceeded > 0, old, leaf))
        return norm
