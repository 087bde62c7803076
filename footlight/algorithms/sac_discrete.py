"""Soft actor-critic for a single discrete choice: expectations over all choices in the place of
samples (Christodoulou 2019, arXiv:1910.07207).

Departures from the paper: squared errors without the factor 1/2; the temperature is learned in log
alpha, without the factor alpha in its gradient. The target of the entropy is 0.89 of the largest
entropy by default, not 0.98: with that much, the policy is nearly random in every state. n-step
returns and `policy_delay` are options that the paper does not have. Its Atari experiments copy the
targets every 8,000 steps; here they follow at the rate `tau`, as in its algorithm 1.

Shape letters: B batch, N critics, A choices, E environments, P parameters.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from footlight.algorithms.choice_networks import ChoiceNetworks, build_choice_networks
from footlight.algorithms.network_source import NetworkSource
from footlight.algorithms.off_policy import delayed_update_for, delayed_updates, replay_buffer
from footlight.algorithms.prioritized import new_priorities, td_loss
from footlight.algorithms.protocol import Noise, Outcome, PolicyState
from footlight.algorithms.settings import (
    HiddenLayers,
    Normalization,
    OffPolicyOptimizer,
    OffPolicyReplay,
    Priorities,
    Temperature,
)
from footlight.config.fields import (
    Count,
    Fraction,
    LayerSizes,
    check,
)
from footlight.equations.distributions import gather_q, soft_value
from footlight.equations.gradients import grad_and_value
from footlight.equations.optimizers import Memory as OptimizerMemory
from footlight.equations.optimizers import polyak_
from footlight.equations.returns import td_target
from footlight.networks.bodies import Activation
from footlight.networks.initialization import Initialization
from footlight.types import Array, Batch, Decision, Diagnosis, Spaces


@dataclass(frozen=True, kw_only=True)
class Config(
    Normalization, HiddenLayers, OffPolicyOptimizer, OffPolicyReplay, Priorities, Temperature
):
    """Hyperparameters of discrete SAC."""

    gamma: Fraction = 0.99
    """Discount per environment step."""
    target_entropy_share: Fraction = 0.89
    """Target of the policy's entropy, as a share of the largest entropy, log A nats of A
    choices."""
    policy_delay: Count = 1
    """Critic updates per update of the actor, the temperature and the target networks."""
    num_critics: Count = 2
    """Number of critics, whose minimum is the target."""
    hidden_sizes: LayerSizes = (256, 256)
    """Widths of the hidden layers of actor and critics, after the convolutions if there are any;
    none: no hidden layers."""
    activation: Activation = "relu"
    """Activation after each hidden layer."""
    initialization: Initialization = "pytorch"
    """Initial weights: pytorch, kaiming (normal; last layer uniform in ±3e-3), orthogonal or
    sparse."""

    def __post_init__(self) -> None:
        check(self)


@dataclass
class State:
    """Everything that changes while discrete SAC learns."""

    actor: Tensor  # [P]
    critic: Tensor  # [P], all N critics
    target_critic: Tensor
    log_alpha: Tensor  # [1]
    actor_optimizer: OptimizerMemory
    critic_optimizer: OptimizerMemory
    alpha_optimizer: OptimizerMemory
    progress: Tensor  # [1], share of the run that is over


@final
@dataclass(frozen=True)
class SACDiscrete:
    """The algorithm, bound to its config and networks."""

    config: Config
    networks: ChoiceNetworks
    spaces: Spaces

    ACTIONS: ClassVar[tuple[str, ...]] = ("single",)
    METRICS: ClassVar[tuple[str, ...]] = (
        "critic_loss", "critic_gradient_norm", "q_mean", "target_q_mean", "actor_loss",
        "actor_gradient_norm", "entropy", "alpha",
    )  # fmt: skip
    """critic_loss: squared TD error, summed over critics; the gradients' norms; q_mean,
    target_q_mean: Q(s, a) and its target, both in units of discounted return; actor_loss: minus the
    soft value; entropy: nats per action; alpha: the temperature."""

    @classmethod
    def create(
        cls, config: Config, spaces: Spaces, network: NetworkSource | None = None
    ) -> "SACDiscrete":
        """With the built-in actor and critics, or the user's `network`."""
        networks = build_choice_networks(config, spaces, config.num_critics, network)
        return cls(config, networks, spaces)

    def init(self, num_envs: int) -> State:
        """The state before the first step."""
        actor, critic = (net.initial.clone() for net in (self.networks.actor, self.networks.critic))
        log_alpha = torch.tensor([math.log(self.config.initial_alpha)], dtype=torch.float32)
        optimizer = self.config.make_optimizer()
        return State(
            actor=actor,
            critic=critic,
            target_critic=critic.clone(),
            log_alpha=log_alpha,
            actor_optimizer=optimizer.init(actor),
            critic_optimizer=optimizer.init(critic),
            alpha_optimizer=optimizer.init(log_alpha),
            progress=torch.zeros(1),
        )

    buffer = replay_buffer

    @property
    def transient(self) -> tuple[str, ...]:
        """A constant temperature is that of the config, whatever fine-tuning starts from."""
        return () if self.config.learn_alpha else ("log_alpha",)

    def policy(self, state: State) -> PolicyState:
        """The actor."""
        return PolicyState(state.actor)

    def act(
        self, policy: PolicyState, memory: None, observation: Array,
        stream: np.random.Generator | None,
    ) -> tuple[Decision, None]:  # fmt: skip
        """Choices [E, 1]: the most likely ones, or samples if a random stream is given."""
        logits_EA = self.networks.actor.infer(policy.parameters, observation)
        head = self.networks.head
        return Decision(
            head.mode(logits_EA) if stream is None else head.sample(logits_EA, stream)
        ), None

    def explore(
        self, policy: PolicyState, memory: None, observation: Array,
        stream: np.random.Generator, num_steps: int,
    ) -> tuple[Decision, None]:  # fmt: skip
        """Samples of the policy; before `learning_starts`, all choices are equally likely."""
        if num_steps >= self.config.learning_starts:
            return self.act(policy, memory, observation, stream)
        num_choices = self.networks.num_choices
        return Decision(stream.integers(0, num_choices, (len(observation), 1))), None

    def diagnose(self, state: State, observation: Tensor) -> Diagnosis:
        """sum_a pi(a|s) min_N Q(s, a), and the policy. Q counts the entropy of the states that
        follow: alpha H is the bonus of this one."""
        networks = self.networks
        diagnosis = networks.head.diagnose(networks.actor(state.actor, observation))
        q_NEA = networks.critic(state.critic, observation)
        value_E = (diagnosis.probabilities * q_NEA.amin(0)).sum(-1)
        values_EN = (diagnosis.probabilities * q_NEA).sum(-1).T
        bonus_E = state.log_alpha.exp() * diagnosis.entropy
        return diagnosis._replace(value=value_E, values=values_EN, bonus=bonus_E)

    updates = property(delayed_updates)  # update_critic_and_actor, and with a delay update_critic
    update_for = delayed_update_for

    def update_critic(self, state: State, batch: Batch, noise: Noise) -> Outcome:
        """Critics, eq. 10: y = r + gamma sum_a' pi(a'|s') (min_N Q'(s', a') - alpha log
        pi(a'|s'))."""
        config, networks = self.config, self.networks
        log_prob_BA = networks.actor(state.actor, batch.next_observation).log_softmax(-1)
        next_q_BA = networks.critic(state.target_critic, batch.next_observation).amin(0)
        next_value_B = soft_value(log_prob_BA, next_q_BA, state.log_alpha.exp())
        target_q_B = td_target(batch.reward, batch.discount, next_value_B)

        def critic_loss(critic_P: Tensor) -> tuple[Tensor, Tensor]:
            q_NB = gather_q(networks.critic(critic_P, batch.observation), batch.action)
            return td_loss(config, batch, state.progress, q_NB - target_q_B), q_NB

        gradient_P, (loss, q_NB) = grad_and_value(critic_loss, has_aux=True)(state.critic)
        norm = config.make_optimizer().step(
            state.critic, gradient_P, state.critic_optimizer,
            config.rate_of_critic, state.progress,
        )  # fmt: skip
        if not config.delay_targets:
            polyak_(state.target_critic, state.critic, config.tau)
        metrics = {"critic_loss": loss, "critic_gradient_norm": norm}
        metrics |= {"q_mean": q_NB.mean(), "target_q_mean": target_q_B.mean()}
        return Outcome(metrics, new_priorities(config, q_NB - target_q_B))

    def update_critic_and_actor(self, state: State, batch: Batch, noise: Noise) -> Outcome:
        """One step of everything (algorithm 1)."""
        config, networks = self.config, self.networks
        of_critic = self.update_critic(state, batch, noise)
        alpha = state.log_alpha.exp()

        # Actor, eq. 12: the critics' values are constants here, as the choices are summed over
        q_BA = networks.critic(state.critic, batch.observation).amin(0)

        def actor_loss(actor_P: Tensor) -> tuple[Tensor, Tensor]:
            log_prob_BA = networks.actor(actor_P, batch.observation).log_softmax(-1)
            entropy_B = -(log_prob_BA.exp() * log_prob_BA).sum(-1)
            return -soft_value(log_prob_BA, q_BA, alpha).mean(), entropy_B

        gradient_P, (loss, entropy_B) = grad_and_value(actor_loss, has_aux=True)(state.actor)
        norm = config.make_optimizer().step(
            state.actor, gradient_P, state.actor_optimizer,
            config.rate_of_actor, state.progress,
        )  # fmt: skip
        if config.learn_alpha:
            self.update_alpha(state, entropy_B)
        if config.delay_targets:
            polyak_(state.target_critic, state.critic, config.tau)
        metrics = {**of_critic.metrics, "actor_loss": loss, "actor_gradient_norm": norm}
        metrics |= {"entropy": entropy_B.mean(), "alpha": alpha.squeeze()}
        return Outcome(metrics, of_critic.priorities)

    def update_alpha(self, state: State, entropy_B: Tensor) -> None:
        """Temperature, eq. 11, in log alpha so that alpha stays positive: rises while the entropy
        is below its target."""
        config = self.config
        target = config.target_entropy_share * math.log(self.networks.num_choices)
        gradient = (entropy_B - target).mean().reshape(1)
        optimizer = replace(config.make_optimizer(), weight_decay=0.0, max_grad_norm=None)
        optimizer.step(
            state.log_alpha, gradient, state.alpha_optimizer,
            config.rate_of_alpha(config.learning_rate), state.progress,
        )  # fmt: skip
