"""Small trainings with a planted mistake, 1: algorithms as users write or change them.

A mistake is in a class of the user's own. It is an ordinary small algorithm (`OwnA2C`), or a copy
of a built-in one with another method: `changed(SAC, buffer=...)`.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import grad_and_value

from footlight.algorithms.a2c import A2C
from footlight.algorithms.authoring import (
    Networks,
    OptimizerSettings,
    Outcome,
    Spaces,
    generalized_advantage,
    optimizer_step,
    rollout_buffer,
    sample_or_mode,
    weighted_mean,
)
from footlight.algorithms.sac import SAC
from footlight.algorithms.td3 import TD3
from footlight.buffers.replay import Replay
from footlight.buffers.rollout import Rollout
from footlight.types import Array, Decision, Transition


def changed(base: Any, name: str, **parts: Any) -> Any:
    """A user's copy of an algorithm, with other methods."""
    return type(name, (base,), parts)


# Off-policy: buffers


class EndsAreTerminal(Replay):
    """Replay that stores `terminated or truncated` as the end of all rewards."""

    def add(self, transition: Transition, decision: Decision) -> None:
        """Store one step of each environment."""
        done = transition.terminated | transition.truncated
        super().add(transition._replace(terminated=done), decision)


def ends_are_terminal(algorithm: Any, num_envs: int) -> Replay:
    """A method `buffer`."""
    return EndsAreTerminal(algorithm.spaces, num_envs, algorithm.config)


# Off-policy: updates


def frozen_target(base: Any) -> Callable[..., Outcome]:
    """An update that never moves the target networks, whatever `tau` the config has."""

    def update(self: Any, *given: Any) -> Outcome:
        still = replace(self, config=replace(self.config, tau=0.0))
        return base.update_critic_and_actor(still, *given)

    return update


def reversed_actor(base: Any) -> Callable[..., Outcome]:
    """An update whose actor's loss has the wrong sign.

    An optimizer's step for the negative of all gradients is the negative step, so the step that
    was taken is taken back twice.
    """

    def update(self: Any, state: Any, *given: Any) -> Outcome:
        before = state.actor.clone()
        outcome = base.update_critic_and_actor(self, state, *given)
        state.actor.copy_(2 * before - state.actor)
        return outcome

    return update


def reversed_critic(base: Any) -> Callable[..., Outcome]:
    """An update whose critics' loss has the wrong sign; see `reversed_actor`."""

    def update(self: Any, state: Any, *given: Any) -> Outcome:
        before = state.critic.clone()
        outcome = base.update_critic(self, state, *given)
        state.critic.copy_(2 * before - state.critic)
        return outcome

    return update


def halved(base: Any, name: str) -> Callable[..., tuple[Decision, Any]]:
    """A method `act` or `explore` that converts the actions to the environment's units by itself,
    and in the wrong direction: of bounds ±2, ±1 is all that is used."""
    method = getattr(base, name)

    def decide(self: Any, *given: Any) -> tuple[Decision, Any]:
        decision, memory = method(self, *given)
        high = np.asarray(self.spaces.action.high, np.float32).reshape(-1)
        return decision._replace(action=decision.action / high), memory

    return decide


TD3Ends = changed(TD3, "MyTD3", buffer=ends_are_terminal)
TD3FrozenTarget = changed(TD3, "MyTD3", update_critic_and_actor=frozen_target(TD3))
TD3ReversedCritic = changed(TD3, "MyTD3", update_critic=reversed_critic(TD3))
SACReversedActor = changed(SAC, "MySAC", update_critic_and_actor=reversed_actor(SAC))
SACHalvedActions = changed(SAC, "MySAC", act=halved(SAC, "act"), explore=halved(SAC, "explore"))


# On-policy: rollouts that are learned from late

LAG = 100
"""Rollouts between the one that is learned from and the newest."""


class LateRollout(Rollout):
    """A queue of rollouts, of which the oldest one is learned from."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.queue: deque[list[Array]] = deque(maxlen=LAG + 1)

    def due(self, stream: np.random.Generator, final: bool = False) -> Iterator[Any]:
        """Yield the oldest rollout whenever a new one is full."""
        for due in super().due(stream, final):
            self.queue.append([array.copy() for array in self.batch])
            for array, oldest in zip(self.batch, self.queue[0], strict=True):
                array[:] = oldest
            yield due


def late_rollout(algorithm: Any, num_envs: int) -> Rollout:
    """A method `buffer`."""
    config = algorithm.config
    return LateRollout(algorithm.spaces, num_envs, config.gamma, config.n_steps)


A2CLate = changed(A2C, "MyA2C", buffer=late_rollout)


# On-policy: an algorithm of the user's own


class Net(nn.Module):
    """Policy and values, each with two layers of 64 units, and orthogonal weights."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        inputs = observation_space.shape[0]
        self.actor, self.critic = perceptron(inputs, action_space.n), perceptron(inputs, 1)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.orthogonal_(parameter, 2**0.5)
            else:
                nn.init.zeros_(parameter)
        nn.init.orthogonal_([*self.actor.parameters()][-2], 0.01)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, choices], values [B]."""
        return self.actor(observation), self.critic(observation).squeeze(-1)


def perceptron(num_inputs: int, num_outputs: int, activation: Any = nn.Tanh) -> nn.Sequential:
    """Two hidden layers of 64 units."""
    return nn.Sequential(
        nn.Linear(num_inputs, 64), activation(), nn.Linear(64, 64), activation(),
        nn.Linear(64, num_outputs),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class OwnConfig(OptimizerSettings):
    gamma: float = 0.99
    n_steps: int = 16
    learning_rate: float = 2e-3


@dataclass
class OwnState:
    actor_critic: Tensor
    optimizer: Any
    progress: Tensor


@dataclass(frozen=True)
class OwnA2C:
    """Advantage actor-critic as in docs/own-algorithm.md."""

    config: OwnConfig
    networks: Networks
    spaces: Spaces
    network, act, buffer = Net, sample_or_mode, rollout_buffer
    policy_sign: ClassVar[float] = 1.0
    critic_sign: ClassVar[float] = 1.0
    detaches: ClassVar[bool] = True

    def init(self, num_envs: int) -> OwnState:
        """The state before the first step."""
        vector = self.networks.actor_critic.initial.clone()
        return OwnState(vector, self.config.make_optimizer().init(vector), torch.zeros(1))

    def update(self, state: OwnState, batch: Any, noise: Any) -> Outcome:
        """One gradient step on a rollout."""
        config, network, head = self.config, self.networks.actor_critic, self.networks.head
        _, value = network(state.actor_critic, batch.observation)
        _, after = network(state.actor_critic, batch.next_observation)
        rollout = batch.reward, batch.discount, batch.continues, value, after
        target = value + generalized_advantage(*rollout, config.gamma * 0.9)

        def loss(vector: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            output, new_value = network(vector, batch.observation)
            log_prob = head.log_prob(output.flatten(0, 1), batch.action.flatten(0, 1))
            advantage = target - new_value
            weight = advantage.detach() if self.detaches else advantage
            policy_loss = -weighted_mean(weight * log_prob.view_as(value), batch.weight)
            value_loss = weighted_mean(advantage.square(), batch.weight)
            total = self.policy_sign * policy_loss + 0.5 * self.critic_sign * value_loss
            return total, {"policy_loss": policy_loss, "value_loss": value_loss}

        gradient, (_, metrics) = grad_and_value(loss, has_aux=True)(state.actor_critic)
        optimizer_step(config, self.networks, state, gradient)
        return Outcome(metrics)


A2CReversedPolicy = changed(OwnA2C, "MyA2C", policy_sign=-1.0)
A2CReversedCritic = changed(OwnA2C, "MyA2C", critic_sign=-1.0)
A2CAttached = changed(OwnA2C, "MyA2C", detaches=False)
