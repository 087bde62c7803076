"""Probe environments: so small that the true values are known, to test what an algorithm learns.

All have one continuous action in [-1, 1]; with `discrete` two choices instead, which stand for -0.5
and 0.5. The first group has observations of one number. With gamma = 0.9, as the tests use:

| environment | what happens | value |
| --- | --- | --- |
| `ConstantReward` | one step, reward 1 | 1 |
| `ObservedReward` | one step, reward = observation (-1 or 1) | the observation |
| `DelayedReward` | two steps, reward 1 at the end | 0.9, then 1 |
| `BestAction` | one step, reward -(action - 0.5)^2 | 0, at action 0.5 |
| `FollowObservation` | one step, reward -(action - 0.6 obs.)^2 | 0, at action 0.6 obs. |
| `TimeLimit` | reward 1 per step, truncated after 5, never terminated | 1 / (1 - 0.9) = 10 |
| `Terminating` | the same, but terminated by the fifth step; clock observed | at first 4.0951 |

An algorithm that confuses the two ends finds the value of one environment in the other.

The second group is about ends alone: `docs/time-limits.md` has the values, and those that each
mistake would give. No reward depends on the action, so the values are those of every policy.
Observations are one-hot vectors of the position.

| environment | what happens | value |
| --- | --- | --- |
| `OneStep` | one step, reward 1; terminated, truncated or both, by position | 1; 10; 1 |
| `TerminatingRing` | reward 1, ring of five, fifth step terminates | 4.0951, 3.439, 2.71, 1.9, 1 |
| `TruncatedRing` | the same, but the fifth step is truncated | 10 everywhere |
| `BothRing` | the same, but the fifth step is both | as `TerminatingRing` |
| `TwoRooms` | truncated after 3 steps in one room; rewards 1 or 0.2 | 10; 2 |
| `LongEpisode` | reward 1, terminated after 12 steps | (1 - 0.9^k) / 0.1, k steps to go |
| `Uneven` | reward 1, the fourth step terminates; random time limit | 3.439, 2.71, 1.9, 1 |
"""

from typing import Any, ClassVar

import gymnasium
import numpy as np

from footlight.types import FloatArray

Step = tuple[FloatArray, float, bool, bool, dict[str, Any]]

CHOICES = (-0.5, 0.5)
"""The actions that the two choices of a discrete environment stand for."""


class _Probe(gymnasium.Env[FloatArray, Any]):
    """Base of the probe environments: spaces, clock and current observation."""

    num_observations: ClassVar[int] = 1

    def __init__(self, discrete: bool = False) -> None:
        self.observation_space = gymnasium.spaces.Box(-1, 1, (self.num_observations,), np.float32)
        box = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2) if discrete else box
        self.discrete = discrete
        self.clock = 0
        self.observation = np.zeros(self.num_observations, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        super().reset(seed=seed)
        self.clock = 0
        self.observation = self.first()
        return self.observation, {}

    def first(self) -> FloatArray:
        """The first observation of an episode."""
        return np.zeros(self.num_observations, np.float32)

    def number(self, action: Any) -> float:
        """The action as a number in [-1, 1]."""
        return CHOICES[int(action)] if self.discrete else float(action[0])


class ConstantReward(_Probe):
    """One step, reward 1: the critic has to learn a constant."""

    def step(self, action: Any) -> Step:
        return self.observation, 1.0, True, False, {}


class ObservedReward(_Probe):
    """One step, reward = observation: the critic has to use the observation."""

    def first(self) -> FloatArray:
        return np.array([self.np_random.choice([-1, 1])], np.float32)

    def step(self, action: Any) -> Step:
        return self.observation, float(self.observation[0]), True, False, {}


class DelayedReward(_Probe):
    """Two steps, reward 1 at the end: the critic has to bootstrap and to discount."""

    def step(self, action: Any) -> Step:
        self.clock += 1
        self.observation = np.ones(1, np.float32)
        return self.observation, float(self.clock == 2), self.clock == 2, False, {}


class BestAction(_Probe):
    """One step, reward -(action - 0.5)^2: the actor has to maximize the critic."""

    def step(self, action: Any) -> Step:
        return self.observation, -((self.number(action) - 0.5) ** 2), True, False, {}


class FollowObservation(_Probe):
    """One step, reward -(action - 0.6 observation)^2: the actor has to use it, too."""

    def first(self) -> FloatArray:
        return self.np_random.uniform(-1, 1, 1).astype(np.float32)

    def step(self, action: Any) -> Step:
        return (
            self.observation,
            -((self.number(action) - 0.6 * float(self.observation[0])) ** 2),
            True,
            False,
            {},
        )


class TimeLimit(_Probe):
    """Reward 1 at every step, never terminated; truncated after 5, which changes no value."""

    length: ClassVar[int] = 5

    def step(self, action: Any) -> Step:
        self.clock += 1
        return self.observation, 1.0, False, self.clock == self.length, {}


class Terminating(_Probe):
    """Reward 1 at every step; the fifth terminates, and nothing follows."""

    def step(self, action: Any) -> Step:
        self.clock += 1
        self.observation = np.array([self.clock / 5], np.float32)
        return self.observation, 1.0, self.clock == 5, False, {}


class _Positions(_Probe):
    """Observations are one-hot, so that learning about one position changes no other's value."""

    @property
    def position(self) -> int:
        """The current position."""
        return int(self.observation.argmax())

    def at(self, position: int) -> FloatArray:
        """The observation at a position."""
        return np.eye(self.num_observations, dtype=np.float32)[position]

    def first(self) -> FloatArray:
        return self.at(0)


class OneStep(_Positions):
    """One step, reward 1. Position 0 terminates, position 1 is truncated, position 2 is both.

    The last observation is the position again. The values: 1, since nothing follows a terminal
    state; 1 / (1 - 0.9) = 10, since without the time limit the same reward would follow forever; 1,
    since termination counts, whether or not there is a time limit. Confusing the ends swaps 1
    and 10.
    """

    num_observations = 3

    def first(self) -> FloatArray:
        return self.at(int(self.np_random.integers(3)))

    def step(self, action: Any) -> Step:
        return self.observation, 1.0, self.position != 1, self.position != 0, {}


class TerminatingRing(_Positions):
    """Reward 1 at each of five steps around a ring; the fifth returns to the start and terminates.

    With five steps to go 1 + 0.9 + 0.81 + 0.729 + 0.6561 = 4.0951, then 3.439, 2.71, 1.9, 1. Taking
    this end for a time limit gives 10 everywhere, since the ring then has no end.
    """

    num_observations = 5
    terminates: ClassVar[bool] = True
    truncates: ClassVar[bool] = False

    def step(self, action: Any) -> Step:
        self.clock += 1
        self.observation = self.at(self.clock % self.num_observations)
        last = self.clock == self.num_observations
        return self.observation, 1.0, last and self.terminates, last and self.truncates, {}


class TruncatedRing(TerminatingRing):
    """The ring without a terminal state, truncated after five steps, which changes no value.

    Everywhere 1 / (1 - 0.9) = 10. Taking the time limit for a termination gives the values of
    `TerminatingRing`.
    """

    terminates, truncates = False, True


class BothRing(TerminatingRing):
    """The ring whose fifth step is terminated and truncated: values of `TerminatingRing`."""

    truncates = True


class TwoRooms(_Positions):
    """An episode begins in one of two rooms, stays there, and is truncated after three steps.

    Rewards are 1 and 0.2, so values are 1 / (1 - 0.9) = 10 and 0.2 / (1 - 0.9) = 2. An algorithm
    that bootstraps from the first observation of the next episode, which is in either room, mixes
    them: V = r + 0.9 (2/3 V + 1/3 mean V) has the solution 7 and 5. Without bootstrapping, with
    r + 0.9 * 2/3 V, it is 2.5 and 0.5.
    """

    num_observations = 2

    def first(self) -> FloatArray:
        return self.at(int(self.np_random.integers(2)))

    def step(self, action: Any) -> Step:
        self.clock += 1
        return self.observation, (1.0, 0.2)[self.position], False, self.clock == 3, {}


class LongEpisode(TerminatingRing):
    """The ring with twelve positions and steps: longer than a rollout of five steps.

    With k steps to go (1 - 0.9^k) / 0.1, at the start 7.1757. An algorithm that takes the end of a
    rollout for the end of an episode stays below 4.0951. Continuing past the end gives 10.
    """

    num_observations = 12


class Uneven(_Positions):
    """Reward 1, the fourth step terminates; a random time limit of 1 to 6 steps may come first.

    1 + 0.9 + 0.81 + 0.729 = 3.439, then 2.71, 1.9, 1: the limit, drawn for each episode, changes no
    value, neither before the end nor at it (4 steps). Several of these environments are soon out of
    phase. Taking the limit for a termination gives 2.6545 at the start: 5 of 6 episodes continue
    after the first step, then 4 of 5, then 3 of 4. Letting the limit decide where both come at
    once, a third of all ends, gives 3.439 / (1 - 0.6561 / 3) = 4.4017.
    """

    num_observations = 4

    def __init__(self, discrete: bool = False) -> None:
        super().__init__(discrete)
        self.limit = 1

    def first(self) -> FloatArray:
        self.limit = int(self.np_random.integers(1, 7))
        return self.at(0)

    def step(self, action: Any) -> Step:
        self.clock += 1
        self.observation = self.at(self.clock % 4)
        return self.observation, 1.0, self.clock == 4, self.clock == self.limit, {}
