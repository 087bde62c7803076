"""Small trainings with a planted mistake, 2: environments and networks."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from doctor_algorithms import perceptron
from gymnasium import spaces
from gymnasium.wrappers import TransformObservation, TransformReward
from torch import Tensor, nn

Env = gymnasium.Env[Any, Any]
Wrapper = Callable[[Env], Env]


class EndsAreTerminal(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A time limit that is reported as the end of the task."""

    def step(self, action: Any) -> Any:
        """One step."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated or truncated, False, info


def rewards(function: Callable[[float], float]) -> Wrapper:
    """A wrapper that changes rewards."""
    return lambda env: TransformReward(env, lambda reward: function(float(reward)))


def observations(function: Callable[[Any], Any]) -> Wrapper:
    """A wrapper that changes observations; their space gets no bounds."""

    def wrap(env: Env) -> Env:
        shape = env.observation_space.shape
        space = spaces.Box(-np.inf, np.inf, shape, np.float32)
        return TransformObservation(
            env, lambda observation: np.asarray(function(observation), np.float32), space
        )

    return wrap


class UnscaledActions(gymnasium.ActionWrapper[Any, Any, Any]):
    """Actions in [-1, 1] that are passed on as they are, whatever the bounds of the inner
    environment."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self.action_space = spaces.Box(-1.0, 1.0, env.action_space.shape, np.float32)

    def action(self, action: Any) -> Any:
        """The same action."""
        return action


class SameSeed(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment that is seeded with 0, whatever seed it is given."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Begin an episode."""
        return self.env.reset(seed=None if seed is None else 0, options=options)


class NoReward(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment without rewards."""

    def step(self, action: Any) -> Any:
        """One step."""
        observation, _, terminated, truncated, info = self.env.step(action)
        return observation, 0.0, terminated, truncated, info


class EndsAtOnce(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose episodes end after one step."""

    def step(self, action: Any) -> Any:
        """One step."""
        observation, reward, _, truncated, info = self.env.step(action)
        return observation, reward, True, truncated, info


class FrozenObservation(gymnasium.ObservationWrapper[Any, Any, Any]):
    """An environment that shows its first observation for ever."""

    first: Any = None

    def observation(self, observation: Any) -> Any:
        """The first observation."""
        if self.first is None:
            self.first = observation
        return self.first


class OneOfEight:
    """A function that makes environments, of which the third one is broken."""

    def __init__(self, environment: str, broken: Wrapper) -> None:
        self.environment, self.broken, self.count = environment, broken, 0

    def __call__(self) -> Env:
        self.count += 1
        env = gymnasium.make(self.environment)
        return self.broken(env) if self.count == 3 else env


# Networks


class DeadUnits(nn.Module):
    """ReLU layers whose biases keep every unit at 0."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        inputs = observation_space.shape[0]
        self.actor = perceptron(inputs, int(action_space.n), nn.ReLU)
        self.critic = perceptron(inputs, 1, nn.ReLU)
        for part in self.actor, self.critic:
            _, first_bias, *_ = part.parameters()
            nn.init.constant_(first_bias, -20.0)


class SaturatedUnits(nn.Module):
    """Tanh layers whose weights are a hundred times too large."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        inputs = observation_space.shape[0]
        self.actor, self.critic = perceptron(inputs, int(action_space.n)), perceptron(inputs, 1)
        with torch.no_grad():
            for part in self.actor, self.critic:
                *hidden, _ = part.children()
                for parameter in nn.Sequential(*hidden).parameters():
                    parameter.mul_(100.0)


class CertainPolicy(nn.Module):
    """A policy whose logits are so large at first that it always takes the same action."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        inputs = observation_space.shape[0]
        self.actor, self.critic = perceptron(inputs, int(action_space.n)), perceptron(inputs, 1)
        with torch.no_grad():
            *_, last = self.actor.parameters()  # the bias of the last layer
            last.copy_(torch.linspace(0, 50, int(action_space.n)))

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, choices], values [B]."""
        return self.actor(observation), self.critic(observation).squeeze(-1)
