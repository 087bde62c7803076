"""Exploration of the off-policy algorithms, as values: a new noise is a class, and its name in
`NoiseName` and `NOISES`.

Noise is measured in units of half an action range, as actions lie in [-1, 1].
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy as np

from footlight.config.fields import SCHEDULABLE, Fraction, NonNegative
from footlight.equations.exploration import ornstein_uhlenbeck
from footlight.types import Array, FloatArray

NoiseName = Literal["gaussian", "ornstein-uhlenbeck"]


class Noise(Protocol):
    """Exploration noise, added to the actions of a deterministic policy."""

    def step(self, previous_EA: FloatArray, stream: np.random.Generator) -> FloatArray:
        """The noise of this step, from that of the step before: 0 at the start of an episode."""


@dataclass(frozen=True)
class Gaussian:
    """Independent at each step."""

    sigma: float

    def step(self, previous_EA: FloatArray, stream: np.random.Generator) -> FloatArray:
        """sigma w, w ~ N(0, 1)."""
        return self.sigma * stream.standard_normal(previous_EA.shape, dtype=np.float32)


@dataclass(frozen=True)
class OrnsteinUhlenbeck:
    """A mean-reverting walk, which keeps a direction for a while."""

    theta: float
    sigma: float

    def step(self, previous_EA: FloatArray, stream: np.random.Generator) -> FloatArray:
        """x - theta x + sigma w, w ~ N(0, 1)."""
        normal_EA = stream.standard_normal(previous_EA.shape, dtype=np.float32)
        return ornstein_uhlenbeck(previous_EA, normal_EA, self.theta, self.sigma)


@dataclass(frozen=True, kw_only=True)
class ExplorationNoise:
    """Exploration noise of a deterministic policy."""

    exploration: NoiseName = "gaussian"
    """Exploration noise added to the actor's actions: independent at each step (gaussian), or an
    Ornstein-Uhlenbeck process."""
    exploration_noise: Annotated[NonNegative, SCHEDULABLE] = 0.1
    """Standard deviation of the noise (of its increments for ornstein-uhlenbeck), in units of half
    the action range."""
    ou_theta: Fraction = 0.15
    """Rate at which the Ornstein-Uhlenbeck process reverts to 0, per environment step."""


NOISES: dict[NoiseName, Callable[[ExplorationNoise], Noise]] = {
    "gaussian": lambda config: Gaussian(config.exploration_noise),
    "ornstein-uhlenbeck": lambda config: OrnsteinUhlenbeck(
        config.ou_theta, config.exploration_noise
    ),
}


def uniform(shape: tuple[int, ...], stream: np.random.Generator) -> FloatArray:
    """Uniformly random actions, for the steps before learning starts."""
    return stream.uniform(-1, 1, shape).astype(np.float32)


def epsilon_greedy(q_EA: Array, epsilon: float, stream: np.random.Generator) -> Array:
    """Choices [E]: uniformly random with probability epsilon, otherwise the largest Q(s, a)."""
    is_random_E = stream.random(len(q_EA)) < epsilon
    uniform_E = stream.integers(0, q_EA.shape[-1], len(q_EA))
    return np.where(is_random_E, uniform_E, q_EA.argmax(-1))
