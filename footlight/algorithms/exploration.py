"""Exploration of the off-policy algorithms, as values: a new noise is a class, and its name in
`NoiseName` and `NOISES`.

Noise is measured in units of half an action range, as actions lie in [-1, 1].
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy as np

from footlight.config.fields import SCHEDULABLE, Fraction, NonNegative
from footlight.equations.exploration import ornstein_uhlenbeck
from footlight.types import Array, Decision, FloatArray

NoiseName = Literal["gaussian", "held-gaussian", "ornstein-uhlenbeck"]
Warmup = Literal["uniform", "walk", "policy"]
Memory = Mapping[str, FloatArray]
"""Acting memory: "walk" [E, A], the last value of the noise, and what else the noise remembers.
All of it is 0 at the start of an episode."""


class Noise(Protocol):
    """Exploration noise, added to the actions of a deterministic policy."""

    def step(self, memory: Memory, stream: np.random.Generator) -> Memory:
        """The memory after this step, with the noise of this step as "walk"."""


@dataclass(frozen=True)
class Gaussian:
    """Independent at each step."""

    sigma: float

    def step(self, memory: Memory, stream: np.random.Generator) -> Memory:
        """sigma w, w ~ N(0, 1)."""
        return {"walk": self.sigma * stream.standard_normal(memory["walk"].shape, np.float32)}


@dataclass(frozen=True)
class Held:
    """Gaussian noise that is held for a random number of steps: mostly for one, now and then for
    many (epsilon z-greedy, Dabney et al. 2021, arXiv:2006.01782; FlashSAC)."""

    sigma: float
    exponent: float = 2.0
    longest: int = 16

    def step(self, memory: Memory, stream: np.random.Generator) -> Memory:
        """A new sigma w in the environments where the old one was held long enough. Its span n has
        the probability n ** -exponent / sum, n = 1, ..., `longest`."""
        walk_EA, held_E1 = memory["walk"], memory["held"]
        new_EA = self.sigma * stream.standard_normal(walk_EA.shape, np.float32)
        weight = np.arange(1, self.longest + 1) ** -self.exponent
        ends = np.cumsum(weight) / weight.sum()
        span_E1 = 1 + np.searchsorted(ends[:-1], stream.random(held_E1.shape), side="right")
        is_over_E1 = held_E1 <= 0
        left_E1 = np.where(is_over_E1, span_E1, held_E1) - 1
        return {
            "walk": np.where(is_over_E1, new_EA, walk_EA), "held": left_E1.astype(np.float32)
        }  # fmt: skip


@dataclass(frozen=True)
class OrnsteinUhlenbeck:
    """A mean-reverting walk, which keeps a direction for a while."""

    theta: float
    sigma: float

    def step(self, memory: Memory, stream: np.random.Generator) -> Memory:
        """x - theta x + sigma w, w ~ N(0, 1)."""
        normal_EA = stream.standard_normal(memory["walk"].shape, np.float32)
        return {"walk": ornstein_uhlenbeck(memory["walk"], normal_EA, self.theta, self.sigma)}


@dataclass(frozen=True, kw_only=True)
class ExplorationNoise:
    """Exploration noise of a deterministic policy."""

    exploration: NoiseName = "gaussian"
    """Exploration noise added to the actor's actions: independent at each step (gaussian), held for
    a random number of steps (held-gaussian; n steps with a probability in proportion to 1/n², at
    most 16), or an Ornstein-Uhlenbeck process."""
    exploration_noise: Annotated[NonNegative, SCHEDULABLE] = 0.1
    """Standard deviation of the noise (of its increments for ornstein-uhlenbeck), in units of half
    the action range."""
    ou_theta: Fraction = 0.15
    """Rate at which the Ornstein-Uhlenbeck process reverts to 0, per environment step."""


NOISES: dict[NoiseName, Callable[[ExplorationNoise], Noise]] = {
    "gaussian": lambda config: Gaussian(config.exploration_noise),
    "held-gaussian": lambda config: Held(config.exploration_noise),
    "ornstein-uhlenbeck": lambda config: OrnsteinUhlenbeck(
        config.ou_theta, config.exploration_noise
    ),
}


HELD_NOISE = Held(sigma=1.0)  # of a policy that has a standard deviation of its own
WARMUP_WALK = OrnsteinUhlenbeck(theta=0.15, sigma=0.5)


def new_walk(num_envs: int, num_actions: int, is_held: bool) -> Memory:
    """The memory of a noise at the start of an episode."""
    walk_EA = np.zeros((num_envs, num_actions), np.float32)
    return {"walk": walk_EA, "held": walk_EA[:, :1].copy()} if is_held else {"walk": walk_EA}


def warm_up(kind: Warmup, memory: Memory, stream: np.random.Generator) -> tuple[Decision, Memory]:
    """Actions before learning starts: uniformly random, or a walk within the bounds."""
    if kind == "uniform":
        return Decision(uniform(memory["walk"].shape, stream)), memory
    memory = {**memory, **WARMUP_WALK.step(memory, stream)}
    return Decision(np.minimum(np.maximum(memory["walk"], -1), 1)), memory


def uniform(shape: tuple[int, ...], stream: np.random.Generator) -> FloatArray:
    """Uniformly random actions, for the steps before learning starts."""
    return stream.uniform(-1, 1, shape).astype(np.float32)


def epsilon_greedy(q_EA: Array, epsilon: float, stream: np.random.Generator) -> Array:
    """Choices [E]: uniformly random with probability epsilon, otherwise the largest Q(s, a)."""
    is_random_E = stream.random(len(q_EA)) < epsilon
    uniform_E = stream.integers(0, q_EA.shape[-1], len(q_EA))
    return np.where(is_random_E, uniform_E, q_EA.argmax(-1))
