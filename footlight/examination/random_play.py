"""Episodes of random actions, and what was measured in them."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from footlight.examination.contract import Answer, BrokenContractError, Contract
from footlight.streams import derived_seed
from footlight.types import Array

EPISODES = 64
STEPS = 10_000
SECONDS = 8.0
GAMMA = 0.99  # of the discounted returns, whatever a training will have
MAX_CLOCK_SIZE = 1_000  # numbers of an observation among which a clock is looked for


# Of numbers that are finite, but so large that their sums or squares are not
overflowing = partial(np.errstate, over="ignore", invalid="ignore")


@dataclass
class Range:
    """Mean, spread and extremes of each component of a leaf, over all observations.

    The spread is infinite where it overflows, and the mean may be NaN there.
    """

    count: int = 0
    low: Array = field(default_factory=lambda: np.zeros(0))
    high: Array = field(default_factory=lambda: np.zeros(0))
    _first: Array = field(default_factory=lambda: np.zeros(0))
    _sum: Array = field(default_factory=lambda: np.zeros(0))
    _squares: Array = field(default_factory=lambda: np.zeros(0))

    @overflowing()
    def add(self, leaf: Array) -> None:
        """Add one observation."""
        numbers = leaf.astype(np.float64)
        if not self.count:
            self._first, self.low, self.high = numbers, numbers.copy(), numbers.copy()
            self._sum, self._squares = np.zeros_like(numbers), np.zeros_like(numbers)
        moved = numbers - self._first  # so that a large constant part does not hide the spread
        self._sum += moved
        self._squares += moved * moved
        self.low, self.high = np.minimum(self.low, numbers), np.maximum(self.high, numbers)
        self.count += 1

    @property
    @overflowing()
    def mean(self) -> Array:
        """Of each component."""
        return np.asarray(self._first + self._sum / max(1, self.count))

    @property
    @overflowing()
    def std(self) -> Array:
        """Of each component."""
        mean = self._sum / max(1, self.count)
        variance = self._squares / max(1, self.count) - mean * mean
        return np.sqrt(np.where(np.isnan(variance), np.inf, np.maximum(0, variance)))

    @property
    def rms(self) -> Array:
        """Root of the mean square of each component."""
        return np.asarray(np.hypot(self.mean, self.std))

    @property
    def varies(self) -> Array:
        """Mask of the components that were not always the same."""
        return np.asarray(self.high > self.low)


@dataclass(frozen=True)
class Ended:
    """An episode that has ended."""

    total: float
    discounted: float
    length: int
    terminated: bool
    truncated: bool
    says_time_limit: bool


@dataclass
class Play:
    """What random play has shown."""

    episodes: list[Ended] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    observations: dict[str, Range] = field(default_factory=dict)
    seconds: float = 0.0
    """In steps of the environment alone."""
    shows_time: bool = True
    """Whether a part of the observation tells the step of the episode."""
    inner_steps: int = 0
    """Steps that did not end an episode."""
    changes: int = 0
    """How many of these changed the observation."""
    is_complete: bool = True
    """False if a violation of the contract ended it."""

    @property
    def num_steps(self) -> int:
        """Steps taken, those of an unfinished episode included."""
        return len(self.rewards)


def play(contract: Contract, seed: int, clock: Callable[[], float] = time.perf_counter) -> Play:
    """Play up to 64 episodes, 10,000 steps or 8 seconds; longer than 64 episodes only while every
    reward was 0. Raises `EnvironmentFault`."""
    found, until = Play(), clock() + SECONDS
    space = copy.deepcopy(contract.action_space)
    space.seed(derived_seed(seed, "actions of random play"))
    first: list[Array] = []
    repeated: Array | None = None  # components that were the same at the same step of each episode
    try:
        while found.num_steps < STEPS and clock() < until and _is_wanted(found):
            start = derived_seed(seed, "random play", len(found.episodes))
            shown = _play_one(contract, space, start, found, until, clock)
            if not found.episodes:
                break
            if len(found.episodes) == 1:
                first = shown
            else:
                repeated = _still_repeated(first, shown, repeated)
    except BrokenContractError:
        found.is_complete = False
    found.shows_time = _shows_time(first, repeated)
    return found


def _is_wanted(found: Play) -> bool:
    return len(found.episodes) < EPISODES or not any(found.rewards)


def _play_one(
    contract: Contract, space: Any, seed: int, found: Play, until: float,
    clock: Callable[[], float],
) -> list[Array]:  # fmt: skip
    """Play an episode, and return its observations as vectors, for the search for a clock."""
    answer, total, discounted, length = contract.reset(seed), 0.0, 0.0, 0
    shown = [_remember(answer, found)]
    while found.num_steps < STEPS and clock() < until:
        action = space.sample()
        before, last = clock(), answer.observation
        answer = contract.step(action)
        found.seconds += clock() - before
        found.rewards.append(answer.reward)
        total += answer.reward
        discounted += GAMMA**length * answer.reward
        length += 1
        shown.append(_remember(answer, found))
        if answer.terminated or answer.truncated:
            ends = answer.terminated, answer.truncated, answer.says_time_limit
            found.episodes.append(Ended(total, discounted, length, *ends))
            break
        found.inner_steps += 1
        found.changes += not same_leaves(last, answer.observation)
    return shown


def same_leaves(one: dict[str, Array], other: dict[str, Array]) -> bool:
    """Whether two observations are equal."""
    return one.keys() == other.keys() and all(
        np.array_equal(leaf, other[name]) for name, leaf in one.items()
    )


def _remember(answer: Answer, found: Play) -> Array:
    """Add an observation to the ranges, and return it as one vector; empty if it is too long."""
    leaves = answer.observation
    for name, leaf in leaves.items():
        found.observations.setdefault(name, Range()).add(leaf)
    if sum(leaf.size for leaf in leaves.values()) > MAX_CLOCK_SIZE or not leaves:
        return np.zeros(0)
    return np.concatenate([np.ravel(leaf).astype(np.float64) for leaf in leaves.values()])


def _still_repeated(first: list[Array], other: list[Array], before: Array | None) -> Array:
    count = min(len(first), len(other))
    if len({each.size for each in (*first, *other)}) > 1:  # a part was not finite
        return np.zeros(first[0].size, bool)
    same = (np.stack(first[:count]) == np.stack(other[:count])).all(0)
    return np.asarray(same if before is None else same & before)


def _shows_time(first: list[Array], repeated: Array | None) -> bool:
    """Whether components that repeat in each episode tell its steps apart."""
    if repeated is None or len(first) < 2 or not repeated.any():
        return False
    seen = np.stack(first)[:, repeated]
    return len(np.unique(seen, axis=0)) == len(seen)
