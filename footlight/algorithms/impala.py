"""IMPALA: an actor-critic that learns from an older policy's steps, corrected by V-trace (Espeholt
et al. 2018, arXiv:1802.01561), in one process, or with actors in others (`--collectors`).

Each step is stored with the outputs of the network that its action was drawn from. An update
compares their probability of the action, mu, with that of the present parameters, pi; it never
assumes that they are the same. So a rollout can be learned from in several minibatches and epochs,
each of which changes pi. At a time limit the value of the true last state stands in for what would
have followed, and the trace ends there.

Departures from the paper: rollouts are learned from in a fixed order, those of all actors together;
in one process mu is as old as the minibatches and epochs of one rollout make it; losses are means
over the minibatch, not sums; no recurrent network.

Shape letters: T steps, E environments, M of them in a minibatch, B = T * M rows, H outputs of the
policy, P parameters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, final

import numpy as np
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
from footlight.buffers.trajectories import BEHAVIOR, Sequences, Trajectories, TrajectoryBatch
from footlight.config.fields import SCHEDULABLE, Count, Fraction, NonNegative, Positive, check
from footlight.equations.draws import Draw
from footlight.equations.gradients import grad
from footlight.equations.optimizers import Memory
from footlight.equations.returns import explained_variance, standardized, weighted_mean
from footlight.equations.vtrace import truncated_ratio, vtrace
from footlight.errors import UserError
from footlight.trees import map_leaves
from footlight.types import Array, Decision, Spaces


@dataclass(frozen=True, kw_only=True)
class Config(Normalization, ContinuousActions, ActorCriticNetwork, Entropy, OptimizerSettings):
    """Hyperparameters of IMPALA."""

    gamma: Fraction = 0.99
    """Discount per environment step."""
    n_steps: Count = 20
    """Rollout length: steps of each environment per rollout."""
    num_epochs: Count = 1
    """Passes over each rollout."""
    num_minibatches: Count = 1
    """Minibatches per pass, each of whole sequences of its own environments; divides num_envs. That
    of a preset follows num_envs."""
    rho_clip: Positive = 1.0
    """Upper limit of the ratio pi / mu in temporal differences and in the policy gradient. The
    policy whose values are learned lies between mu (close to 0) and pi (large)."""
    c_clip: Positive = 1.0
    """Upper limit of the ratio pi / mu in the trace, at most rho_clip: how far later steps count
    in a target. It changes variance and speed, not which values are learned."""
    trace_lambda: Fraction = 1.0
    """What the trace is multiplied by; 1: n-step targets, 0: one-step targets."""
    value_coef: NonNegative = 0.5
    """Weight of the value loss (squared error)."""
    normalize_advantage: bool = False
    """Normalize the advantages of each minibatch to mean 0 and standard deviation 1."""
    learning_rate: Annotated[Positive, SCHEDULABLE] = 6e-4
    """Learning rate of the optimizer."""

    def __post_init__(self) -> None:
        check(self)
        if self.c_clip > self.rho_clip:
            raise UserError(
                f"c_clip {self.c_clip} is larger than rho_clip {self.rho_clip} - V-trace converges "
                "for c_clip at most rho_clip - lower c_clip or raise rho_clip"
            )


@dataclass
class State:
    """Everything that changes while IMPALA learns."""

    actor_critic: Tensor  # [P]
    optimizer: Memory
    progress: Tensor  # [1], share of the run that is over


@final
@dataclass(frozen=True)
class IMPALA:
    """The algorithm, bound to its config and networks."""

    config: Config
    networks: Networks
    spaces: Spaces

    ACTIONS: ClassVar[tuple[str, ...]] = ("box", "discrete")
    METRICS: ClassVar[tuple[str, ...]] = (
        "policy_loss", "value_loss", "entropy", "rho_mean", "value_mean", "explained_variance",
        "gradient_norm",
    )  # fmt: skip
    """policy_loss: -rho * advantage * log pi; value_loss: squared error of V(s) against its V-trace
    target; entropy: nats per action; rho_mean: mean of min(rho_clip, pi / mu), 1 on policy;
    value_mean: V(s) in units of discounted return; explained_variance: share of the targets'
    variance that V(s) explains; gradient_norm: before clipping."""

    @classmethod
    def create(
        cls, config: Config, spaces: Spaces, network: NetworkSource | None = None
    ) -> "IMPALA":
        """With the built-in policy and value networks, or the user's `network`."""
        return cls(config, build_networks(config, spaces, network), spaces)

    def init(self, num_envs: int) -> State:
        """The state before the first step."""
        parameters_P = self.networks.actor_critic.initial.clone()
        optimizer = self.config.make_optimizer().init(parameters_P)
        return State(parameters_P, optimizer, torch.zeros(1))

    def buffer(self, num_envs: int) -> Trajectories:
        """The rollout buffer. Raises `UserError` for a single advantage that is to be
        normalized."""
        config = self.config
        if config.normalize_advantage and config.n_steps * num_envs == config.num_minibatches:
            raise UserError(
                "minibatches of one step with normalize_advantage - a single advantage minus its "
                "mean is 0 - use n_steps 2"
            )
        return Trajectories(
            self.spaces, num_envs, config.gamma, config.n_steps, self.networks.head.num_outputs,
            config.num_epochs, config.num_minibatches,
            tell_linked=sees_pixels(config, self.spaces),
        )  # fmt: skip

    def policy(self, state: State) -> PolicyState:
        """The network that policy and values are in."""
        return PolicyState(state.actor_critic)

    def act(
        self, policy: PolicyState, memory: None, observation: Array,
        stream: np.random.Generator | None,
    ) -> tuple[Decision, None]:  # fmt: skip
        """Actions [E, A] as drawn, the policy's mode or a sample, with the outputs [E, H] behind
        them: mu, whose logarithm costs less in the update than at every step."""
        output = self.networks.actor_critic.infer(policy.parameters, observation)
        output_EH = output[0] if isinstance(output, tuple) else output
        head = self.networks.head
        action_EA = head.mode(output_EH) if stream is None else head.sample(output_EH, stream)
        return Decision(action_EA, {BEHAVIOR: output_EH}), None

    diagnose = diagnose_actor_critic

    def draws(self, batch: TrajectoryBatch) -> Mapping[str, Draw]:
        """Noise of entropies without a closed form."""
        return entropy_draws(self.networks, len(batch.rows))

    @property
    def updates(self) -> Mapping[str, Callable[[State, TrajectoryBatch, Noise], Outcome]]:
        """In a linked rollout the successor of a step is the next row, whose value is known."""
        return {"sequences": self.update_sequences, "linked_sequences": self.update_linked}

    @property
    def eager(self) -> frozenset[str]:
        """Most rollouts of images are linked; others are never treated as linked."""
        on_images = self.networks.actor_critic.on_images
        return frozenset({"sequences" if on_images else "linked_sequences"})

    def update_for(self, due: Sequences) -> str:
        """The update of this kind of rollout."""
        return "linked_sequences" if due.is_linked else "sequences"

    def update_sequences(self, state: State, batch: TrajectoryBatch, noise: Noise) -> Outcome:
        """One gradient step; the values of all successors are computed."""
        next_observation = of_rows(batch.next_observation, batch.rows)
        _, next_value_B = self.networks.actor_critic(state.actor_critic, next_observation)
        return self._update(state, batch, noise, lambda value_TM: next_value_B.view_as(value_TM))

    def update_linked(self, state: State, batch: TrajectoryBatch, noise: Noise) -> Outcome:
        """One gradient step; only the values of the last row's successors are computed."""
        last_rows_M = batch.rows.view(self.config.n_steps, -1)[-1]
        last = of_rows(batch.next_observation, last_rows_M)
        _, last_M = self.networks.actor_critic(state.actor_critic, last)
        return self._update(
            state, batch, noise, lambda value_TM: torch.cat([value_TM[1:], last_M[None]])
        )

    def _update(
        self, state: State, batch: TrajectoryBatch, noise: Noise,
        successors: Callable[[Tensor], Tensor],
    ) -> Outcome:  # fmt: skip
        """One gradient step. `successors` returns the values of what followed each step, given the
        values of the minibatch."""
        config, networks = self.config, self.networks
        observation = of_rows(batch.observation, batch.rows)
        action_BA = of_rows(batch.action, batch.rows)
        weight_B = of_rows(batch.weight, batch.rows)
        reward_TM, discount_TM, continues_TM = (
            of_rows(field_TE, batch.rows).view(config.n_steps, -1)
            for field_TE in (batch.reward, batch.discount, batch.continues)
        )
        behavior_BH = of_rows(batch.behavior, batch.rows)
        log_mu_B = networks.head.log_prob(behavior_BH, action_BA)

        def loss(actor_critic_P: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            output_BH, value_B = networks.actor_critic(actor_critic_P, observation)
            log_prob_B = networks.head.log_prob(output_BH, action_BA)

            log_ratio_B = log_prob_B.detach() - log_mu_B
            rho_B = truncated_ratio(log_ratio_B, config.rho_clip)
            c_B = config.trace_lambda * truncated_ratio(log_ratio_B, config.c_clip)
            value_TM = value_B.detach().view_as(reward_TM)
            target_TM, advantage_TM = vtrace(
                reward_TM,
                discount_TM,
                continues_TM,
                value_TM,
                successors(value_TM),
                rho_B.view_as(reward_TM),
                c_B.view_as(reward_TM),
            )
            target_B, advantage_B = target_TM.flatten(), advantage_TM.flatten()
            if config.normalize_advantage:
                advantage_B = standardized(advantage_B, weight_B)

            # The gradients of section 4.2, as those of one loss
            policy_loss = -weighted_mean(rho_B * advantage_B * log_prob_B, weight_B)
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
                "rho_mean": weighted_mean(rho_B, weight_B),
                "value_mean": weighted_mean(value_B, weight_B),
                "explained_variance": explained_variance(value_B, target_B, weight_B),
            }

        gradient_P, metrics = grad(loss, has_aux=True)(state.actor_critic)
        norm = optimizer_step(config, networks, state, gradient_P)
        return Outcome({**metrics, "gradient_norm": norm})


def of_rows(field_TE: Any, rows_B: Tensor) -> Any:
    """Rows [B, ...] of a field [T, E, ...], leaf by leaf."""
    return map_leaves(lambda leaf_TE: leaf_TE.flatten(0, 1)[rows_B], field_TE)
