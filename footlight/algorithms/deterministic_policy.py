"""What the algorithms with a deterministic policy share besides equations: hyperparameters, the
state, and methods. A function of an `algorithm` is a method of the classes that say so, as in `act
= act_deterministically`."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from footlight.algorithms.exploration import (
    NOISES,
    ExplorationNoise,
    Memory,
    new_walk,
    uniform,
)
from footlight.algorithms.network_settings import OffPolicyConfig
from footlight.algorithms.off_policy import Networks, critics_of
from footlight.algorithms.protocol import PolicyState
from footlight.config.fields import Fraction, NonNegative
from footlight.equations.optimizers import Memory as OptimizerMemory
from footlight.types import Array, Decision, Diagnosis


@dataclass(frozen=True, kw_only=True)
class DeterministicConfig(OffPolicyConfig, ExplorationNoise):
    """Hyperparameters of a deterministic policy gradient."""

    gamma: Fraction = 0.99
    """Discount per environment step."""
    warmup: Literal["uniform", "policy"] = "uniform"
    """Actions before learning_starts: uniform (random), or policy (of the untrained policy)."""


@dataclass(frozen=True, kw_only=True)
class TargetPolicySmoothing:
    """Hyperparameters of the noise on target actions, with which the critic learns that similar
    actions have similar values."""

    target_policy_noise: NonNegative = 0.2
    """Standard deviation of the noise on target actions (target policy smoothing), in units of
    half the action range."""
    target_noise_clip: NonNegative = 0.5
    """Clip that noise to plus and minus this."""

    def smooth(self, action_BA: Tensor, noise_BA: Tensor) -> Tensor:
        """clip(a + clip(sigma w, -c, c), -1, 1), with w ~ N(0, 1); TD3, eq. 14."""
        clip = self.target_noise_clip
        smoothing_BA = (self.target_policy_noise * noise_BA).clamp(-clip, clip)
        return (action_BA + smoothing_BA).clamp(-1, 1)


@dataclass
class DeterministicState:
    """Everything that changes while a deterministic policy gradient learns."""

    actor: Tensor  # [P]
    critic: Tensor  # [P], all N critics
    target_actor: Tensor | None
    target_critic: Tensor | None
    actor_optimizer: OptimizerMemory
    critic_optimizer: OptimizerMemory
    progress: Tensor  # [1], share of the run that is over
    actor_statistics: Tensor | None = None  # [Q] of batch normalization
    critic_statistics: Tensor | None = None


class DeterministicAlgorithm(Protocol):
    """What these methods need of an algorithm."""

    @property
    def config(self) -> DeterministicConfig:
        """Its hyperparameters."""

    @property
    def networks(self) -> Networks:
        """Its architectures."""


def new_deterministic_state(algorithm: DeterministicAlgorithm, num_envs: int) -> DeterministicState:
    """The state before the first step."""
    networks, config = algorithm.networks, algorithm.config
    optimizer = config.make_optimizer()
    actor, actor_statistics = networks.actor.start(config.unit_weights)
    critic, critic_statistics = networks.critic.start(config.unit_weights)
    return DeterministicState(
        actor=actor,
        critic=critic,
        target_actor=actor.clone() if config.target_network else None,
        target_critic=critic.clone() if config.target_network else None,
        actor_optimizer=optimizer.init(actor),
        critic_optimizer=optimizer.init(critic),
        progress=torch.zeros(1),
        actor_statistics=actor_statistics,
        critic_statistics=critic_statistics,
    )


def actor_and_statistics(
    algorithm: DeterministicAlgorithm, state: DeterministicState
) -> PolicyState:
    """The actor."""
    return PolicyState(state.actor, state.actor_statistics)


class NoisyAlgorithm(Protocol):
    """What acting needs of an algorithm."""

    @property
    def config(self) -> Any:
        """Its hyperparameters: `ExplorationNoise`, `warmup` and `learning_starts`."""

    @property
    def networks(self) -> Any:
        """Its architectures: an `actor`, and `num_actions`."""


def act_deterministically(
    algorithm: NoisyAlgorithm, policy: PolicyState, memory: Memory, observation: Array,
    stream: np.random.Generator | None,
) -> tuple[Decision, Memory]:  # fmt: skip
    """Actions [E, A] in [-1, 1]. The policy is deterministic: `stream` changes nothing."""
    actor, statistics = algorithm.networks.actor, policy.statistics
    return Decision(actor.infer(policy.parameters, observation, statistics)), memory


def explore_with_noise(
    algorithm: NoisyAlgorithm, policy: PolicyState, memory: Memory, observation: Array,
    stream: np.random.Generator, num_steps: int,
) -> tuple[Decision, Memory]:  # fmt: skip
    """The policy's actions plus noise, within the bounds; before `learning_starts`, what `warmup`
    says."""
    config, networks = algorithm.config, algorithm.networks
    if config.warmup == "uniform" and num_steps < config.learning_starts:
        return Decision(uniform((len(observation), networks.num_actions), stream)), memory
    memory = NOISES[config.exploration](config).step(memory, stream)
    action_EA = networks.actor.infer(policy.parameters, observation, policy.statistics)
    noisy_EA = np.minimum(np.maximum(action_EA + memory["walk"], -1), 1)
    return Decision(noisy_EA), memory


def new_noise_memory(algorithm: NoisyAlgorithm, num_envs: int) -> Memory:
    """The acting memory at the start of an episode."""
    is_held = algorithm.config.exploration == "held-gaussian"
    return new_walk(num_envs, algorithm.networks.num_actions, is_held)


def diagnose_deterministic(
    algorithm: DeterministicAlgorithm, state: DeterministicState, observation: Tensor
) -> Diagnosis:
    """min_N Q(s, mu(s)), and the action mu(s)."""
    actor = algorithm.networks.actor
    action_EA, _ = actor.with_statistics(state.actor, state.actor_statistics, observation)
    judged = critics_of(algorithm).diagnose(state, observation, action_EA)
    return Diagnosis(mean=action_EA, **judged)
