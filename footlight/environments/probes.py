"""Probe worlds: environments so small that the true values are known, to tell a method that learns from one that nearly does.

All have one continuous action in [-1, 1] and observations of one or two numbers. With gamma = 0.9, as the tests use:

| world | what happens | value |
| --- | --- | --- |
| `ConstantReward` | one step, reward 1 | 1 |
| `ObservedReward` | one step, reward = observation (-1 or 1) | the observation |
| `DelayedReward` | two steps, reward 1 at the end | 0.9, then 1 |
| `BestAction` | one step, reward -(action - 0.5)^2 | 0, at action 0.5 |
| `FollowObservation` | one step, reward -(action - 0.6 observation)^2 | 0, at action 0.6 observation |
| `TimeLimit` | reward 1 at every step, truncated after 5, never terminated | 1 / (1 - 0.9) = 10 |
| `Terminating` | the same, but the fifth step terminates, and the clock is seen | 1 + ... + 0.9^4 = 4.0951 at the start |

A method that confuses the two ends finds the value of the one world in the other.
"""

from typing import Any

import gymnasium
import numpy as np

from footlight.types import FloatArray

Step = tuple[FloatArray, float, bool, bool, dict[str, Any]]


class _Probe(gymnasium.Env[FloatArray, FloatArray]):
    """What the worlds share: spaces, and where the clock stands."""

    def __init__(self, num_observations: int = 1) -> None:
        self.observation_space = gymnasium.spaces.Box(-1, 1, (num_observations,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
        self.clock = 0
        self.seen = np.zeros(num_observations, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[FloatArray, dict[str, Any]]:
        super().reset(seed=seed)
        self.clock = 0
        self.seen = self.first()
        return self.seen, {}

    def first(self) -> FloatArray:
        """The first observation of an episode."""
        return np.zeros(self.observation_space.shape or (1,), np.float32)


class ConstantReward(_Probe):
    """One step, reward 1: the critic has to learn a constant."""

    def step(self, action: FloatArray) -> Step:
        return self.seen, 1.0, True, False, {}


class ObservedReward(_Probe):
    """One step, reward = observation: the critic has to look."""

    def first(self) -> FloatArray:
        return np.array([self.np_random.choice([-1, 1])], np.float32)

    def step(self, action: FloatArray) -> Step:
        return self.seen, float(self.seen[0]), True, False, {}


class DelayedReward(_Probe):
    """Two steps, reward 1 at the end: the critic has to bootstrap and to discount."""

    def step(self, action: FloatArray) -> Step:
        self.clock += 1
        self.seen = np.ones(1, np.float32)
        return self.seen, float(self.clock == 2), self.clock == 2, False, {}


class BestAction(_Probe):
    """One step, reward -(action - 0.5)^2: the actor has to climb the critic."""

    def step(self, action: FloatArray) -> Step:
        return self.seen, -float((action[0] - 0.5) ** 2), True, False, {}


class FollowObservation(_Probe):
    """One step, reward -(action - 0.6 observation)^2: the actor has to look, too."""

    def first(self) -> FloatArray:
        return self.np_random.uniform(-1, 1, 1).astype(np.float32)

    def step(self, action: FloatArray) -> Step:
        return self.seen, -float((action[0] - 0.6 * self.seen[0]) ** 2), True, False, {}


class TimeLimit(_Probe):
    """Reward 1 at every step without end. The clock, which is no part of the world, stops after 5 steps and changes no value."""

    def step(self, action: FloatArray) -> Step:
        self.clock += 1
        return self.seen, 1.0, False, self.clock == 5, {}


class Terminating(_Probe):
    """Reward 1 at every step until the world ends with the fifth: nothing follows."""

    def step(self, action: FloatArray) -> Step:
        self.clock += 1
        self.seen = np.array([self.clock / 5], np.float32)
        return self.seen, 1.0, self.clock == 5, False, {}
