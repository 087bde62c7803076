"""Probe worlds: environments so small that the true values are known, to tell a method that learns from one that nearly does.

All have one continuous action in [-1, 1]; with `discrete` two choices instead, which stand for -0.5
and 0.5. The first group has observations of one number. With gamma = 0.9, as the tests use:

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

The second group is about ends alone: `docs/time-limits.md` has the values, and those that each
mistake would give. No reward depends on the action, so the values are those of every policy.
Observations name the place where one is: 1 there, 0 elsewhere.

| world | what happens | value |
| --- | --- | --- |
| `OneStep` | one step, reward 1; the place says how it ends: terminated, truncated, both at once | 1; 10; 1 |
| `TerminatingRing` | reward 1, five places in a ring, the fifth step terminates | 4.0951, 3.439, 2.71, 1.9, 1 |
| `TruncatedRing` | the same, but the fifth step is truncated | 10 everywhere |
| `BothRing` | the same, but the fifth step is terminated and truncated at once | as `TerminatingRing` |
| `TwoRooms` | an episode stays where it began, truncated after 3 steps; reward 1 in the one room, 0.2 in the other | 10; 2 |
| `LongEpisode` | reward 1, terminated after 12 steps | (1 - 0.9^k) / 0.1 with k steps to go |
| `Uneven` | reward 1, the fourth step terminates; truncated after 1 to 6 steps, drawn for each episode | 3.439, 2.71, 1.9, 1 |

The third group is seen in pictures: `FollowSquare`, 84 x 84 bytes. A bright square wanders along a
row, and the three choices move a dim one below it; reward 1 for every step at which the two are in
line. `FollowSquare.best` is in line at every step but the first few.
"""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from footlight.types import FloatArray

Step = tuple[FloatArray, float, bool, bool, dict[str, Any]]

CHOICES = (-0.5, 0.5)
"""The actions that the choices of a discrete world stand for."""


class _Probe(gymnasium.Env[FloatArray, Any]):
    """What the worlds share: spaces, and where the clock stands."""

    num_observations: ClassVar[int] = 1

    def __init__(self, discrete: bool = False) -> None:
        self.observation_space = gymnasium.spaces.Box(-1, 1, (self.num_observations,), np.float32)
        self.action_space = (
            gymnasium.spaces.Discrete(2)
            if discrete
            else gymnasium.spaces.Box(-1, 1, (1,), np.float32)
        )
        self.discrete = discrete
        self.clock = 0
        self.seen = np.zeros(self.num_observations, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        super().reset(seed=seed)
        self.clock = 0
        self.seen = self.first()
        return self.seen, {}

    def first(self) -> FloatArray:
        """The first observation of an episode."""
        return np.zeros(self.num_observations, np.float32)

    def number(self, action: Any) -> float:
        """The action as a number in [-1, 1]."""
        return CHOICES[int(action)] if self.discrete else float(action[0])


class ConstantReward(_Probe):
    """One step, reward 1: the critic has to learn a constant."""

    def step(self, action: Any) -> Step:
        return self.seen, 1.0, True, False, {}


class ObservedReward(_Probe):
    """One step, reward = observation: the critic has to look."""

    def first(self) -> FloatArray:
        return np.array([self.np_random.choice([-1, 1])], np.float32)

    def step(self, action: Any) -> Step:
        return self.seen, float(self.seen[0]), True, False, {}


class DelayedReward(_Probe):
    """Two steps, reward 1 at the end: the critic has to bootstrap and to discount."""

    def step(self, action: Any) -> Step:
        self.clock += 1
        self.seen = np.ones(1, np.float32)
        return self.seen, float(self.clock == 2), self.clock == 2, False, {}


class BestAction(_Probe):
    """One step, reward -(action - 0.5)^2: the actor has to climb the critic."""

    def step(self, action: Any) -> Step:
        return self.seen, -((self.number(action) - 0.5) ** 2), True, False, {}


class FollowObservation(_Probe):
    """One step, reward -(action - 0.6 observation)^2: the actor has to look, too."""

    def first(self) -> FloatArray:
        return self.np_random.uniform(-1, 1, 1).astype(np.float32)

    def step(self, action: Any) -> Step:
        return self.seen, -((self.number(action) - 0.6 * float(self.seen[0])) ** 2), True, False, {}


class TimeLimit(_Probe):
    """Reward 1 at every step without end; truncated after 5 steps, which changes no value."""

    length: ClassVar[int] = 5

    def step(self, action: Any) -> Step:
        self.clock += 1
        return self.seen, 1.0, False, self.clock == self.length, {}


class Terminating(_Probe):
    """Reward 1 at every step until the world ends with the fifth: nothing follows."""

    def step(self, action: Any) -> Step:
        self.clock += 1
        self.seen = np.array([self.clock / 5], np.float32)
        return self.seen, 1.0, self.clock == 5, False, {}


class _Places(_Probe):
    """Places that are seen as a 1 in a row of zeros, so that what is learned of one says nothing about the others."""

    @property
    def place(self) -> int:
        """Where one is."""
        return int(self.seen.argmax())

    def at(self, place: int) -> FloatArray:
        """What is seen there."""
        return np.eye(self.num_observations, dtype=np.float32)[place]

    def first(self) -> FloatArray:
        return self.at(0)


class OneStep(_Places):
    """One step, reward 1. Place 0 terminates, place 1 is truncated, place 2 is both; what is seen at the end is the place again.

    1: nothing follows a terminal state. 1 / (1 - 0.9) = 10: after the time limit it would have gone
    on like this. 1: termination counts, whatever the clock says. Confusing the ends swaps 1 and 10.
    """

    num_observations = 3

    def first(self) -> FloatArray:
        return self.at(int(self.np_random.integers(3)))

    def step(self, action: Any) -> Step:
        return self.seen, 1.0, self.place != 1, self.place != 0, {}


class TerminatingRing(_Places):
    """Reward 1 at each of five steps around a ring of five places; the fifth, which comes back to the first place, terminates.

    With five steps to go 1 + 0.9 + 0.81 + 0.729 + 0.6561 = 4.0951, then 3.439, 2.71, 1.9, 1. To
    take this end for a time limit gives 10 everywhere, since the ring then has no end.
    """

    num_observations = 5
    terminates: ClassVar[bool] = True
    truncates: ClassVar[bool] = False

    def step(self, action: Any) -> Step:
        self.clock += 1
        self.seen = self.at(self.clock % self.num_observations)
        last = self.clock == self.num_observations
        return self.seen, 1.0, last and self.terminates, last and self.truncates, {}


class TruncatedRing(TerminatingRing):
    """The ring without an end of its own: the clock stops after five steps, which changes no value. 1 / (1 - 0.9) = 10.

    To take the time limit for an end gives the values of `TerminatingRing`.
    """

    terminates, truncates = False, True


class BothRing(TerminatingRing):
    """The ring whose fifth step is both ends at once: values of `TerminatingRing`."""

    truncates = True


class TwoRooms(_Places):
    """An episode begins in one of two rooms and stays there; it is truncated after three steps. Reward 1, or 0.2.

    1 / (1 - 0.9) = 10 and 0.2 / (1 - 0.9) = 2. A method that bootstraps from the first observation
    of the next episode, which is in either room, mixes them: V = r + 0.9 (2/3 V + 1/3 mean V) has
    the solution 7 and 5. Without any bootstrap, with r + 0.9 * 2/3 V, it is 2.5 and 0.5.
    """

    num_observations = 2

    def first(self) -> FloatArray:
        return self.at(int(self.np_random.integers(2)))

    def step(self, action: Any) -> Step:
        self.clock += 1
        return self.seen, (1.0, 0.2)[self.place], False, self.clock == 3, {}


class LongEpisode(TerminatingRing):
    """The ring with twelve places and steps: longer than a rollout of five steps, which ends here and there in it.

    With k steps to go (1 - 0.9^k) / 0.1, at the start 7.1757. A method that takes the end of a
    rollout for an end of the episode stays below 4.0951. To continue past the end gives 10.
    """

    num_observations = 12


class Uneven(_Places):
    """Reward 1 at each of four steps, the fourth terminates; but a time limit of 1 to 6 steps, drawn anew, may come first.

    1 + 0.9 + 0.81 + 0.729 = 3.439, then 2.71, 1.9, 1: the limit changes no value, neither before
    the end nor with it (4 steps). Several of these environments are soon out of phase. To take the
    limit for an end gives 2.6545 at the start: 5 of 6 episodes go on after the first step, then 4
    of 5, then 3 of 4. To let the limit decide where both come at once, a third of all ends, gives
    3.439 / (1 - 0.6561 / 3) = 4.4017.
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
        self.seen = self.at(self.clock % 4)
        return self.seen, 1.0, self.clock == 4, self.clock == self.limit, {}


class FollowSquare(gymnasium.Env[NDArray[np.uint8], Any]):
    """Keep the dim square below the bright one, which moves by one place or none at every step."""

    places, steps, size = 7, 32, 84

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, (self.size, self.size, 1), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(3)  # left, stay, right
        self.clock = self.bright = self.dim = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        self.clock = 0
        self.bright, self.dim = self.np_random.integers(self.places, size=2).tolist()
        return self.picture(), {}

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        self.clock += 1
        self.dim = min(max(self.dim + int(action) - 1, 0), self.places - 1)
        reward = float(self.dim == self.bright)
        self.bright = min(
            max(self.bright + int(self.np_random.integers(-1, 2)), 0), self.places - 1
        )
        return self.picture(), reward, False, self.clock == self.steps, {}

    def best(self) -> int:
        """What is right to do now."""
        return 1 + (self.bright > self.dim) - (self.bright < self.dim)

    def picture(self) -> NDArray[np.uint8]:
        """What is seen."""
        side = self.size // self.places
        seen = np.zeros((self.size, self.size, 1), np.uint8)
        seen[2 * side : 3 * side, self.bright * side : (self.bright + 1) * side] = 255
        seen[4 * side : 5 * side, self.dim * side : (self.dim + 1) * side] = 128
        return seen
