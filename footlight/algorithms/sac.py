"""Soft actor-critic: maximum-entropy off-policy actor-critic with a stochastic policy (Haarnoja et
al. 2018, arXiv:1812.05905).

Departures from the paper: squared errors without the factor 1/2; the temperature is learned in log
alpha, without the factor alpha in its gradient. `policy_delay` and `target_actor` are options that
the paper does not have. Actions live in [-1, 1]^A, so `target_entropy` and the log-probabilities
are those of the squashed action before rescaling.

Shape letters: B batch, N critics, A action dimensions, E environments, P parameters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, final

import numpy as np
import torch
from torch import Tensor
from torch.func import grad_and_value

from footlight.algorithms.exploration import OrnsteinUhlenbeck, uniform
from footlight.algorithms.off_policy import (
    Memory,
    Networks,
    NetworkSource,
    build_networks,
    new_memory,
    replay_buffer,
)
from footlight.algorithms.prioritized import new_priorities, td_loss
from footlight.algorithms.protocol import Noise, Outcome, PolicyState
from footlight.algorithms.settings import (
    Normalization,
    OffPolicyNetworks,
    OffPolicyOptimizer,
    OffPolicyReplay,
    Priorities,
)
from footlight.config.fields import SCHEDULABLE, Count, Fraction, OptionalPositive, Positive, check
from footlight.equations.distributions import (
    AnyArray,
    clamped_log_std,
    rescaled_log_std,
    squashed_gaussian,
)
from footlight.equations.draws import Draw, Normal
from footlight.equations.optimizers import Memory as OptimizerMemory
from footlight.equations.optimizers import StepSize, polyak_
from footlight.equations.returns import td_target
from footlight.networks.bodies import GaussianActor
from footlight.networks.heads import Squashed, squashed_diagnosis
from footlight.types import Array, Batch, Decision, Diagnosis, Minibatch, Spaces

WARMUP_WALK = OrnsteinUhlenbeck(theta=0.15, sigma=0.5)


@dataclass(frozen=True, kw_only=True)
class Config(Normalization, OffPolicyOptimizer, OffPolicyReplay, Priorities, OffPolicyNetworks):
    """Hyperparameters of SAC."""

    gamma: Fraction = 0.99
    """Discount per environment step."""
    alpha_learning_rate: Annotated[OptionalPositive, SCHEDULABLE] = None
    """Learning rate of the temperature; none: automatic, learning_rate."""
    learn_alpha: bool = True
    """Tune the temperature alpha automatically, so that the policy's entropy approaches
    target_entropy."""
    initial_alpha: Positive = 1.0
    """Initial temperature, or the constant temperature if learn_alpha is false: the reward that
    one nat of entropy is worth."""
    target_entropy: float | None = None
    """Target of the policy's entropy, in nats; none: automatic, minus the number of action
    dimensions."""
    log_std: Literal["clamped", "rescaled"] = "clamped"
    """How the policy's log standard deviation is bounded: clamped to [-20, 2], or rescaled by
    tanh to [-5, 2]."""
    target_actor: bool = False
    """Draw next actions from a target network of the actor instead of the actor itself."""
    policy_delay: Count = 1
    """Critic updates per update of the actor, the temperature and the target networks."""
    num_critics: Count = 2
    """Number of critics, whose minimum is the target."""
    warmup: Literal["uniform", "walk", "policy"] = "uniform"
    """Actions before learning_starts: uniform (random), walk (an Ornstein-Uhlenbeck process with
    theta 0.15 and sigma 0.5, which keeps a direction for a while), or policy (of the untrained
    policy)."""

    def __post_init__(self) -> None:
        check(self)

    @property
    def rate_of_alpha(self) -> StepSize:
        """The effective `alpha_learning_rate`."""
        own = self.alpha_learning_rate
        return self.learning_rate if own is None else own


@dataclass
class State:
    """Everything that changes while SAC learns."""

    actor: Tensor  # [P]
    critic: Tensor  # [P], all N critics
    target_critic: Tensor
    target_actor: Tensor | None
    log_alpha: Tensor  # [1]
    actor_optimizer: OptimizerMemory
    critic_optimizer: OptimizerMemory
    alpha_optimizer: OptimizerMemory
    progress: Tensor  # [1], share of the run that is over


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
    """critic_loss: squared TD error, summed over critics; the gradients' norms; q_mean,
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
        actor, critic = self.networks.actor.initial.clone(), self.networks.critic.initial.clone()
        log_alpha = torch.tensor([np.log(self.config.initial_alpha)], dtype=torch.float32)
        optimizer = self.config.make_optimizer()
        return State(
            actor=actor,
            critic=critic,
            target_critic=critic.clone(),
            target_actor=actor.clone() if self.config.target_actor else None,
            log_alpha=log_alpha,
            actor_optimizer=optimizer.init(actor),
            critic_optimizer=optimizer.init(critic),
            alpha_optimizer=optimizer.init(log_alpha),
            progress=torch.zeros(1),
        )

    buffer = replay_buffer
    memory = new_memory  # holds the random walks of the warm-up

    @property
    def transient(self) -> tuple[str, ...]:
        """A constant temperature is that of the config, whatever fine-tuning starts from."""
        return () if self.config.learn_alpha else ("log_alpha",)

    def policy(self, state: State) -> PolicyState:
        """The actor."""
        return PolicyState(state.actor)

    def act(
        self, policy: PolicyState, memory: Memory, observation: Array,
        stream: np.random.Generator | None,
    ) -> tuple[Decision, Memory]:  # fmt: skip
        """Actions [E, A] in [-1, 1]: the mode tanh(mean), or a sample if a random stream is
        given."""
        mean_EA, raw_log_std_EA = self.networks.actor.infer(policy.parameters, observation)
        if stream is None:
            return Decision(np.tanh(mean_EA)), memory
        std_EA = np.exp(self.bound_log_std(raw_log_std_EA))
        noise_EA = stream.standard_normal(mean_EA.shape, dtype=np.float32)
        return Decision(np.tanh(mean_EA + std_EA * noise_EA)), memory

    def explore(
        self, policy: PolicyState, memory: Memory, observation: Array,
        stream: np.random.Generator, num_steps: int,
    ) -> tuple[Decision, Memory]:  # fmt: skip
        """Samples of the policy; before `learning_starts`, what `warmup` says."""
        if num_steps >= self.config.learning_starts or self.config.warmup == "policy":
            return self.act(policy, memory, observation, stream)
        if self.config.warmup == "uniform":
            return Decision(uniform((len(observation), self.networks.num_actions), stream)), memory
        walk_EA = WARMUP_WALK.step(memory["walk"], stream)
        return Decision(np.minimum(np.maximum(walk_EA, -1), 1)), {"walk": walk_EA}

    def bound_log_std(self, raw_log_std: AnyArray) -> AnyArray:
        """The log standard deviation within its bounds."""
        is_clamped = self.config.log_std == "clamped"
        return clamped_log_std(raw_log_std) if is_clamped else rescaled_log_std(raw_log_std)

    def diagnose(self, state: State, observation: Tensor) -> Diagnosis:
        """min_N Q(s, a) of the mode a, and the policy. Q counts the entropy of the states that
        follow: alpha H is their bonus."""
        mean_EA, raw_log_std_EA = self.networks.actor(state.actor, observation)
        diagnosis = squashed_diagnosis(mean_EA, self.bound_log_std(raw_log_std_EA))
        value_E = self.networks.critic(state.critic, observation, diagnosis.mean).amin(0)
        return diagnosis._replace(value=value_E, bonus=state.log_alpha.exp() * diagnosis.entropy)

    def draws(self, batch: Batch) -> Mapping[str, Draw]:
        """Noise of the next actions, for the target, and of the actions in the actor's loss."""
        return {"next_action": Normal(batch.action.shape), "action": Normal(batch.action.shape)}

    @property
    def updates(self) -> Mapping[str, Callable[[State, Batch, Noise], Outcome]]:
        """An update of everything, and, with a `policy_delay` above 1, one of the critics alone."""
        updates = {"critic_and_actor": self.update_critic_and_actor}
        if self.config.policy_delay > 1:
            updates["critic"] = self.update_critic
        return updates

    def update_for(self, due: Minibatch) -> str:
        """Every `policy_delay`th update includes the actor, the temperature and the targets."""
        return "critic" if due.number % self.config.policy_delay else "critic_and_actor"

    def sample(
        self, actor_P: Tensor, observation: Tensor, noise_BA: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Actions as a function of the noise, and their log-probabilities."""
        mean_BA, raw_log_std_BA = self.networks.actor(actor_P, observation)
        return squashed_gaussian(mean_BA, self.bound_log_std(raw_log_std_BA), noise_BA)

    def update_critic(self, state: State, batch: Batch, noise: Noise) -> Outcome:
        """Critics, eq. 5 and 6: y = r + gamma (min_N Q'(s', a') - alpha log pi(a' | s'))."""
        config, critic = self.config, self.networks.critic
        next_actor = state.actor if state.target_actor is None else state.target_actor
        next_action_BA, next_log_prob_B = self.sample(
            next_actor, batch.next_observation, noise["next_action"]
        )
        next_q_NB = critic(state.target_critic, batch.next_observation, next_action_BA)
        next_value_B = next_q_NB.amin(0) - state.log_alpha.exp() * next_log_prob_B
        target_q_B = td_target(batch.reward, batch.discount, next_value_B)

        def critic_loss(critic_P: Tensor) -> tuple[Tensor, Tensor]:
            q_NB = critic(critic_P, batch.observation, batch.action)
            return td_loss(config, batch, state.progress, q_NB - target_q_B), q_NB

        gradient_P, (loss, q_NB) = grad_and_value(critic_loss, has_aux=True)(state.critic)
        norm = config.make_optimizer().step(
            state.critic, gradient_P, state.critic_optimizer,
            config.rate_of_critic, state.progress,
        )  # fmt: skip
        return Outcome(
            {
                "critic_loss": loss,
                "critic_gradient_norm": norm,
                "q_mean": q_NB.mean(),
                "target_q_mean": target_q_B.mean(),
            },
            new_priorities(config, q_NB - target_q_B),
        )

    def update_critic_and_actor(self, state: State, batch: Batch, noise: Noise) -> Outcome:
        """One step of everything (algorithm 1)."""
        config, critic = self.config, self.networks.critic
        of_critic = self.update_critic(state, batch, noise)
        alpha = state.log_alpha.exp()

        # Actor, eq. 7: the action is a function of the noise, so the gradient runs through Q
        def actor_loss(actor_P: Tensor) -> tuple[Tensor, Tensor]:
            action_BA, log_prob_B = self.sample(actor_P, batch.observation, noise["action"])
            q_NB = critic(state.critic, batch.observation, action_BA)
            return (alpha * log_prob_B - q_NB.amin(0)).mean(), log_prob_B

        gradient_P, (loss, log_prob_B) = grad_and_value(actor_loss, has_aux=True)(state.actor)
        norm = config.make_optimizer().step(
            state.actor, gradient_P, state.actor_optimizer,
            config.rate_of_actor, state.progress,
        )  # fmt: skip
        if config.learn_alpha:
            self.update_alpha(state, log_prob_B)
        polyak_(state.target_critic, state.critic, config.tau)
        if state.target_actor is not None:
            polyak_(state.target_actor, state.actor, config.tau)
        metrics = {**of_critic.metrics, "actor_loss": loss, "actor_gradient_norm": norm}
        metrics |= {"entropy": -log_prob_B.mean(), "alpha": alpha.squeeze()}
        return Outcome(metrics, of_critic.priorities)

    def update_alpha(self, state: State, log_prob_B: Tensor) -> None:
        """Temperature, eq. 18, in log alpha so that alpha stays positive: rises while the entropy
        is below its target."""
        config, target = self.config, self.config.target_entropy
        target_entropy = -float(self.networks.num_actions) if target is None else target
        gradient = -(log_prob_B + target_entropy).mean().reshape(1)
        optimizer = replace(config.make_optimizer(), weight_decay=0.0, max_grad_norm=None)
        optimizer.step(
            state.log_alpha, gradient, state.alpha_optimizer,
            config.rate_of_alpha, state.progress,
        )  # fmt: skip
