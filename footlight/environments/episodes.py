"""What both kinds of environments share: counting episodes, and refusing numbers that are none."""

from typing import Any, NamedTuple

import numpy as np

from footlight.errors import EnvironmentFault
from footlight.streams import derived_seed
from footlight.types import Array

_LARGEST = float(np.finfo(np.float32).max)


class RemoteError(Exception):
    """What an environment in another process raised, already in words."""


def in_words(error: Exception) -> str:
    """What was raised, and what it said."""
    return str(error) if isinstance(error, RemoteError) else f"{type(error).__name__}: {error}"


class Episode(NamedTuple):
    """A finished training episode."""

    env: int
    total: float  # the return: undiscounted sum of raw rewards
    length: int
    terminated: bool  # else truncated


class EpisodeBook:
    """Return, length and index of the current episode of each environment."""

    def __init__(self, num_envs: int, seed: int, stream: str) -> None:
        self.seed, self.stream = seed, stream
        self.index = np.zeros(num_envs, np.int64)
        self.total = np.zeros(num_envs, np.float64)
        self.length = np.zeros(num_envs, np.int64)
        self._ones = np.ones(num_envs, np.int64)

    def episode_seed(self, env: int) -> int:
        """The seed that environment `env` was, or is to be, reset with for its current episode."""
        return derived_seed(self.seed, self.stream, env, int(self.index[env]))

    def common_seed(self) -> int:
        """A seed for all environments together, where they take only one; no two numbers of episodes give the same."""
        return derived_seed(self.seed, self.stream, int(self.index.sum()))

    def finish_all(self, envs: Array, terminated: Array) -> list[Episode]:
        """Close the current episodes of `envs` (indices) and turn to the next."""
        columns = (column[envs].tolist() for column in (self.total, self.length, terminated))
        episodes = [Episode(*row) for row in zip(envs.tolist(), *columns, strict=True)]
        self.index, self.total, self.length = self.index.copy(), self.total.copy(), self.length.copy()
        self.index[envs] += 1
        self.total[envs] = self.length[envs] = 0
        return episodes

    def finish(self, env: int, terminated: bool) -> Episode:
        """The same for one environment."""
        return self.finish_all(np.array([env]), np.full(len(self.index), terminated))[0]

    def begin(self, env: int) -> None:
        """Nothing has happened in the current episode of `env`."""
        self.total[env] = self.length[env] = 0

    def advance(self, valid: Array | None = None) -> tuple[Array, Array, Array]:
        """One step further in all environments, or in the `valid` ones. Gives what `undo` takes.

        Until the step is whole, numbers are written into new arrays only.
        """
        before = self.index, self.total, self.length
        self.length = self.length + (self._ones if valid is None else valid)
        return before

    def earn(self, reward: Array) -> None:
        """Add a reward to each return."""
        self.total = self.total + reward

    def undo(self, before: tuple[Array, Array, Array]) -> None:
        """Back to where `advance` was called."""
        self.index, self.total, self.length = before

    def check(self, env: int, name: str, value: Any) -> None:
        """Raise `EnvironmentFault` naming the first component of `value` that is NaN or infinite."""
        bad = np.argwhere(~np.isfinite(value))
        if len(bad):
            component = f"[{', '.join(map(str, bad[0]))}]" if bad.shape[1] else ""
            number = np.asarray(value)[tuple(bad[0])]
            raise self.fault(env, f"{name}{component} is {number}", "mend the environment; the state is saved")

    def fault(self, env: int, what: str, remedy: str) -> EnvironmentFault:
        """The error for something that environment `env` did."""
        during = "" if self.stream == "episode" else f"{self.stream}: "
        where = f"step {int(self.length[env])} of the episode with seed {self.episode_seed(env)}"
        return EnvironmentFault(f"{during}environment {env} failed at {where}: {what} - {remedy}")

    def arrays(self) -> dict[str, Array]:
        """What a checkpoint has to hold."""
        return {"episode.index": self.index, "episode.total": self.total, "episode.length": self.length}


def all_finite(array: Array) -> bool:
    """Whether no number is NaN or infinite."""
    return np.count_nonzero(np.isfinite(array)) == array.size  # in half the time that `all` takes


def as_observation(book: EpisodeBook, env: int, observation: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """One observation in the stored dtype, checked. Raises `EnvironmentFault` for a wrong shape or a number that is none."""
    try:
        array = np.asarray(observation)
    except ValueError as error:
        raise book.fault(env, f"the observation is no array: {error}", "mend the environment") from error
    if array.shape != shape or array.dtype.kind not in "biuf":
        what = f"the observation has shape {array.shape}, its space says {shape} (dtype {array.dtype})"
        raise book.fault(env, what, "mend the environment")
    if array.dtype == dtype:
        array = array.copy()
    else:
        with np.errstate(over="ignore"):  # what is too large for the stored dtype is found to be infinite below
            array = array.astype(dtype)
    if dtype.kind == "f" and not all_finite(array):
        book.check(env, "observation", array)
    return array


def as_rewards(book: EpisodeBook, rewards: Any, valid: Array | None) -> tuple[Array, Array]:
    """The rewards of all environments as float64 and as float32; where not `valid` they are 0. Raises `EnvironmentFault`."""
    try:
        exact = np.array(rewards, np.float64)
    except (TypeError, ValueError) as error:
        raise book.fault(0, f"the rewards are no numbers: {error}", "mend the environment") from error
    if exact.shape != book.total.shape:
        raise book.fault(0, f"the rewards have shape {exact.shape}, wanted is {book.total.shape}", "mend the environment")
    if valid is not None:
        exact[~valid] = 0
    if getattr(rewards, "dtype", None) == np.float32:
        rounded = exact.astype(np.float32)
    else:
        with np.errstate(over="ignore"):  # what is too large for float32 is found to be infinite below
            rounded = exact.astype(np.float32)
    if not all_finite(rounded):
        env = int(np.isfinite(rounded).argmin())
        raise book.fault(env, f"reward is {exact[env]}", "mend the environment; the state is saved")
    return exact, rounded


def as_reward(book: EpisodeBook, env: int, reward: Any) -> float:
    """One reward as a number that float32 can hold. Raises `EnvironmentFault`."""
    try:
        number = float(reward)
    except (TypeError, ValueError) as error:
        raise book.fault(env, f"the reward is {reward!r}, which is no number", "mend the environment") from error
    if not abs(number) <= _LARGEST:
        raise book.fault(env, f"reward is {number}", "mend the environment; the state is saved")
    return number
