"""What the algorithms with a deterministic policy share besides equations: hyperparameters, the
state, and methods. A function of an `algorithm` is a method of the classes that say so, as in `act
= act_deterministically`."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from footlight.algorithms.exploration import NOISES, ExplorationNoise, uniform
from footlight.algorithms.off_policy import Memory, Networks
from footlight.algorithms.protocol import PolicyState
from footlight.algorithms.settings import (
    Normalization,
    OffPolicyNetworks,
    OffPolicyOptimizer,
    OffPolicyReplay,
    Priorities,
)
from footlight.config.fields import Fraction
from footlight.equations.optimizers import Memory as OptimizerMemory
from footlight.types import Array, Decision, Diagnosis


@dataclass(frozen=True, kw_only=True)
class DeterministicConfig(
    Normalization, OffPolicyOptimizer, ExplorationNoise, OffPolicyReplay, Priorities,
    OffPolicyNetworks,
):  # fmt: skip
    """Hyperparameters of a deterministic policy gradient."""

    gamma: Fraction = 0.99
    """Discount per environment step."""
    warmup: Literal["uniform", "policy"] = "uniform"
    """Actions before learning_starts: uniform (random), or policy (of the untrained policy)."""


@dataclass
class DeterministicState:
    """Everything that changes while a deterministic policy gradient learns."""

    actor: Tensor  # [P]
    critic: Tensor  # [P], all N critics
    target_actor: Tensor
    target_critic: Tensor
    actor_optimizer: OptimizerMemory
    critic_optimizer: OptimizerMemory
    progress: Tensor  # [1], share of the run that is over


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
    networks, optimizer = algorithm.networks, algorithm.config.make_optimizer()
    actor, critic = networks.actor.initial.clone(), networks.critic.initial.clone()
    return DeterministicState(
        actor=actor,
        critic=critic,
        target_actor=actor.clone(),
        target_critic=critic.clone(),
        actor_optimizer=optimizer.init(actor),
        critic_optimizer=optimizer.init(critic),
        progress=torch.zeros(1),
    )


def act_deterministically(
    algorithm: DeterministicAlgorithm, policy: PolicyState, memory: Memory, observation: Array,
    stream: np.random.Generator | None,
) -> tuple[Decision, Memory]:  # fmt: skip
    """Actions [E, A] in [-1, 1]. The policy is deterministic: `stream` changes nothing."""
    return Decision(algorithm.networks.actor.infer(policy.parameters, observation)), memory


def explore_with_noise(
    algorithm: DeterministicAlgorithm, policy: PolicyState, memory: Memory, observation: Array,
    stream: np.random.Generator, num_steps: int,
) -> tuple[Decision, Memory]:  # fmt: skip
    """The policy's actions plus noise, within the bounds; before `learning_starts`, what `warmup`
    says."""
    config, networks = algorithm.config, algorithm.networks
    if config.warmup == "uniform" and num_steps < config.learning_starts:
        return Decision(uniform((len(observation), networks.num_actions), stream)), memory
    noise_EA = NOISES[config.exploration](config).step(memory["walk"], stream)
    action_EA = networks.actor.infer(policy.parameters, observation)
    noisy_EA = np.minimum(np.maximum(action_EA + noise_EA, -1), 1)
    return Decision(noisy_EA), {"walk": noise_EA}


def diagnose_deterministic(
    algorithm: DeterministicAlgorithm, state: DeterministicState, observation: Tensor
) -> Diagnosis:
    """min_N Q(s, mu(s)), and the action mu(s)."""
    networks = algorithm.networks
    action_EA = networks.actor(state.actor, observation)
    return Diagnosis(
        value=networks.critic(state.critic, observation, action_EA).amin(0), mean=action_EA
    )
