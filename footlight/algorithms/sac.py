"""Soft actor-critic: maximum-entropy off-policy actor-critic with a stochastic policy (Haarnoja et
al. 2018, arXiv:1812.05905).

Departures from the paper: squared errors without the factor 1/2; the temperature is learned in log
alpha, without the factor alpha in its gradient. `policy_delay`, `target_actor` and other kinds of
critics (`critics.py`) are options that the paper does not have. Actions live in [-1, 1]^A, so
`target_entropy` and the log-probabilities are those of the squashed action before rescaling.

Shape letters: B batch, N critics, A action dimensions, E environments, P parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from footlight.algorithms.critics import Learned
from footlight.algorithms.exploration import HELD_NOISE, Memory, Warmup, new_walk, warm_up
from footlight.algorithms.network_settings import ActorRule, OffPolicyConfig
from footlight.algorithms.network_source import NetworkSource
from footlight.algorithms.off_policy import (
    Networks,
    build_networks,
    critics_of,
    delayed_update_for,
    delayed_updates,
    replay_buffer,
)
from footlight.algorithms.protocol import Noise, Outcome, PolicyState
from footlight.algorithms.settings import Temperature
from footlight.config.fields import Count, Fraction, check
from footlight.equations.distributions import LogStdBound, bounded_log_std, squashed_gaussian
from footlight.equations.draws import Draw, Normal
from footlight.equations.gradients import grad_and_value
from footlight.equations.optimizers import Memory as OptimizerMemory
from footlight.equations.optimizers import follow_
from footlight.networks.bodies import GaussianActor
from footlight.networks.heads import Squashed, squashed_diagnosis
from footlight.types import Array, Batch, Decision, Diagnosis, Spaces


@dataclass(frozen=True, kw_only=True)
class Config(OffPolicyConfig, Temperature):
    """Hyperparameters of SAC."""

    gamma: Fraction = 0.99
    """Discount per environment step."""
    target_entropy: float | None = None
    """Target of the policy's entropy, in nats; none: automatic, target_entropy_per_action times the
    number of action dimensions."""
    target_entropy_per_action: float = -1.0
    """Target of the policy's entropy per action dimension, in nats; not used if target_entropy is
    given."""
    log_std: LogStdBound = "clamped"
    """How the policy's log standard deviation is bounded: clamped to [-20, 2], or rescaled by
    tanh to [-5, 2] or (rescaled-wide) to [-10, 2]."""
    target_actor: bool = False
    """Draw next actions from a target network of the actor instead of the actor itself."""
    policy_delay: Count = 1
    """Critic updates per update of the actor, the temperature and the target networks."""
    actor_rule: ActorRule = "minimum"
    """What the actor follows of the critics' values: their minimum or their mean."""
    hold_noise: bool = False
    """Hold the noise of an exploring action for a random number of steps: n steps with a
    probability in proportion to 1/n², at most 16."""
    warmup: Warmup = "uniform"
    """Actions before learning_starts: uniform (random), walk (an Ornstein-Uhlenbeck process with
    theta 0.15 and sigma 0.5, which keeps a direction for a while), or policy (of the untrained
    policy)."""

    def __post_init__(self) -> None:
        check(self)


@dataclass
class State:
    """Everything that changes while SAC learns."""

    actor: Tensor  # [P]
    critic: Tensor  # [P], all N critics
    target_critic: Tensor | None
    target_actor: Tensor | None
    log_alpha: Tensor  # [1]
    actor_optimizer: OptimizerMemory
    critic_optimizer: OptimizerMemory
    alpha_optimizer: OptimizerMemory
    progress: Tensor  # [1], share of the run that is over
    actor_statistics: Tensor | None = None  # [Q] of batch normalization
    critic_statistics: Tensor | None = None


@final
@dataclass(frozen=True)
class SAC:
    """The algorithm, bound to its config and networks."""

    config: Config
    networks: Networks
    spaces: Spaces

    ACTIONS: ClassVar[tuple[str, ...]] = ("box",)
    METRICS: ClassVar[tuple[str, ...]] = (
        "critic_loss", "critic_gradient_norm", "q_mean", "target_q_mean", "actor_loss",
        "actor_gradient_norm", "entropy", "alpha",
    )  # fmt: skip
    """critic_loss: squared TD error, or the loss of another kind of critic, summed over critics;
    the gradients' norms; q_mean,
    target_q_mean: Q(s, a) and its target, both in units of discounted return; actor_loss: alpha log
    pi - Q; entropy: nats per action, an estimate; alpha: the temperature."""

    @classmethod
    def create(cls, config: Config, spaces: Spaces, network: NetworkSource | None = None) -> "SAC":
        """With the built-in actor and critics, or the user's `network`."""
        networks = build_networks(
            config, spaces, GaussianActor, Squashed(), config.num_critics, network
        )
        return cls(config, networks, spaces)

    def init(self, num_envs: int) -> State:
        """The state before the first step."""
        config, networks, optimizer = self.config, self.networks, self.config.make_optimizer()
        actor, actor_statistics = networks.actor.start(config.unit_weights)
        critic, critic_statistics = networks.critic.start(config.unit_weights)
        log_alpha = torch.tensor([np.log(config.initial_alpha)], dtype=torch.float32)
        return State(
            actor=actor,
            critic=critic,
            target_critic=critic.clone() if config.target_network else None,
            target_actor=actor.clone() if config.target_actor else None,
            log_alpha=log_alpha,
            actor_optimizer=optimizer.init(actor),
            critic_optimizer=optimizer.init(critic),
            alpha_optimizer=optimizer.init(log_alpha),
            progress=torch.zeros(1),
            actor_statistics=actor_statistics,
            critic_statistics=critic_statistics,
        )

    buffer = replay_buffer
    critics = property(critics_of)

    @property
    def transient(self) -> tuple[str, ...]:
        """A constant temperature is that of the config, whatever fine-tuning starts from."""
        return () if self.config.learn_alpha else ("log_alpha",)

    def policy(self, state: State) -> PolicyState:
        """The actor."""
        return PolicyState(state.actor, state.actor_statistics)

    def memory(self, num_envs: int) -> Memory:
        """The random walks of the warm-up, or noise that is held."""
        return new_walk(num_envs, self.networks.num_actions, self.config.hold_noise)

    def act(
        self, policy: PolicyState, memory: Memory, observation: Array,
        stream: np.random.Generator | None,
    ) -> tuple[Decision, Memory]:  # fmt: skip
        """Actions [E, A] in [-1, 1]: the mode, or a sample if a random stream is given."""
        shape = len(observation), self.networks.num_actions
        noise_EA = None if stream is None else stream.standard_normal(shape, dtype=np.float32)
        return self.decide(policy, observation, noise_EA), memory

    def decide(self, policy: PolicyState, observation: Array, noise_EA: Array | None) -> Decision:
        """tanh(mean + sigma noise)."""
        mean_EA, raw_log_std_EA = self.networks.actor.infer(
            policy.parameters, observation, policy.statistics
        )
        if noise_EA is None:
            return Decision(np.tanh(mean_EA))
        std_EA = np.exp(bounded_log_std(raw_log_std_EA, self.config.log_std))
        return Decision(np.tanh(mean_EA + std_EA * noise_EA))

    def explore(
        self, policy: PolicyState, memory: Memory, observation: Array,
        stream: np.random.Generator, num_steps: int,
    ) -> tuple[Decision, Memory]:  # fmt: skip
        """Samples of the policy; before `learning_starts`, what `warmup` says."""
        config = self.config
        if num_steps >= config.learning_starts or config.warmup == "policy":
            if not config.hold_noise:
                return self.act(policy, memory, observation, stream)
            memory = HELD_NOISE.step(memory, stream)
            return self.decide(policy, observation, memory["walk"]), memory
        return warm_up(config.warmup, memory, stream)

    def diagnose(self, state: State, observation: Tensor) -> Diagnosis:
        """min_N Q(s, a) of the mode a, and the policy. Q counts the entropy of the states that
        follow: alpha H is their bonus."""
        (mean_EA, raw_log_std_EA), _ = self.networks.actor.with_statistics(
            state.actor, state.actor_statistics, observation
        )
        log_std_EA = bounded_log_std(raw_log_std_EA, self.config.log_std)
        diagnosis = squashed_diagnosis(mean_EA, log_std_EA)
        judged = self.critics.diagnose(state, observation, diagnosis.mean)
        bonus_E = state.log_alpha.exp() * diagnosis.entropy
        return diagnosis._replace(bonus=bonus_E, **judged)

    def draws(self, batch: Batch) -> Mapping[str, Draw]:
        """Noise of the next actions, for the target, and of the actions in the actor's loss."""
        normal = Normal(batch.action.shape)
        return {"next_action": normal, "action": normal, **self.critics.draws()}

    updates = property(delayed_updates)  # update_critic_and_actor, and with a delay update_critic
    update_for = delayed_update_for

    def sample(
        self, actor_P: Tensor, state: State, observation: Tensor, noise_BA: Tensor,
        training: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Actions as a function of the noise, their log-probabilities, and running statistics."""
        (mean_BA, raw_log_std_BA), statistics_Q = self.networks.actor.with_statistics(
            actor_P, state.actor_statistics, observation, training=training
        )
        log_std_BA = bounded_log_std(raw_log_std_BA, self.config.log_std)
        return *squashed_gaussian(mean_BA, log_std_BA, noise_BA), statistics_Q

    def update_critic(self, state: State, batch: Batch, noise: Noise) -> Outcome:
        """Critics, eq. 5 and 6: y = r + gamma (min_N Q'(s', a') - alpha log pi(a' | s'))."""
        config, critics = self.config, self.critics
        next_actor = state.actor if state.target_actor is None else state.target_actor
        next_action_BA, next_log_prob_B, _ = self.sample(
            next_actor, state, batch.next_observation, noise["next_action"]
        )
        bonus_B = -(state.log_alpha.exp() * next_log_prob_B)

        def critic_loss(critic_P: Tensor) -> tuple[Tensor, Learned]:
            return critics.loss(critic_P, state, batch, next_action_BA, noise, bonus_B)

        gradient_P, (loss, learned) = grad_and_value(critic_loss, has_aux=True)(state.critic)
        norm = config.make_optimizer().step(
            state.critic, gradient_P, state.critic_optimizer,
            config.rate_of_critic, state.progress,
        )  # fmt: skip
        outcome = critics.take_(state, loss, norm, learned)
        if not config.delay_targets:
            follow_(state.target_critic, state.critic, config.tau)
        return outcome

    def update_critic_and_actor(self, state: State, batch: Batch, noise: Noise) -> Outcome:
        """One step of everything (algorithm 1)."""
        config, averages = self.config, self.config.actor_rule == "mean"
        of_critic = self.update_critic(state, batch, noise)
        alpha = state.log_alpha.exp()

        # Actor, eq. 7: the action is a function of the noise, so the gradient runs through Q
        def actor_loss(actor_P: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            action_BA, log_prob_B, statistics_Q = self.sample(
                actor_P, state, batch.observation, noise["action"], training=True
            )
            q_NB = self.critics.q(state, batch.observation, action_BA, training=True)
            q_B = q_NB.mean(0) if averages else q_NB.amin(0)
            return (alpha * log_prob_B - q_B).mean(), (log_prob_B, statistics_Q)

        gradient_P, (loss, drawn) = grad_and_value(actor_loss, has_aux=True)(state.actor)
        log_prob_B, statistics_Q = drawn
        norm = config.make_optimizer().step(
            state.actor, gradient_P, state.actor_optimizer,
            config.rate_of_actor, state.progress,
        )  # fmt: skip
        self.networks.actor.keep_(
            state.actor, state.actor_statistics, statistics_Q, config.unit_weights
        )
        if config.learn_alpha:
            self.update_alpha(state, log_prob_B)
        if config.delay_targets:
            follow_(state.target_critic, state.critic, config.tau)
        follow_(state.target_actor, state.actor, config.tau)
        metrics = {**of_critic.metrics, "actor_loss": loss, "actor_gradient_norm": norm}
        metrics |= {"entropy": -log_prob_B.mean(), "alpha": alpha.squeeze()}
        return Outcome(metrics, of_critic.priorities)

    @property
    def target_entropy(self) -> float:
        """The target of the policy's entropy, in nats."""
        own, per_action = self.config.target_entropy, self.config.target_entropy_per_action
        return per_action * self.networks.num_actions if own is None else own

    def update_alpha(self, state: State, log_prob_B: Tensor) -> None:
        """Temperature, eq. 18, in log alpha so that alpha stays positive: rises while the entropy
        is below its target."""
        config = self.config
        gradient = -(log_prob_B + self.target_entropy).mean().reshape(1)
        optimizer = replace(config.make_optimizer(), weight_decay=0.0, max_grad_norm=None)
        optimizer.step(
            state.log_alpha, gradient, state.alpha_optimizer,
            config.rate_of_alpha(config.learning_rate), state.progress,
        )  # fmt: skip
