"""What both kinds of environments share: counting episodes, and refusing numbers that are none."""

from typing import Any, NamedTuple

import numpy as np

from footlight.errors import EnvironmentFault, FailedEpisode, RemoteError
from footlight.streams import derived_seed
from footlight.types import Array

ALL = -1  # as the index of an environment: all of them together
FIX = "fix the environment"
MAX_FAULTS = 100  # consecutive faults of one environment, without a step between them
MEND = f"{FIX}; the state is saved"
_TEXT = str, bytes
_LARGEST = float(np.finfo(np.float32).max)


class WorkerLost(RemoteError):
    """A process has died, or was ended as it did not answer."""


def shown(action: Any) -> str:
    """An action in a line."""
    return " ".join(np.array2string(np.asarray(action), threshold=8, precision=6).split())


class Episode(NamedTuple):
    """A finished training episode."""

    env: int
    total: float  # the return: undiscounted sum of raw rewards
    length: int
    terminated: bool  # else truncated
    fault: bool = False  # it was cut off where the environment failed


class EpisodeBook:
    """Return, length and index of the current episode of each environment."""

    def __init__(self, num_envs: int, seed: int, stream: str) -> None:
        self.seed, self.stream = seed, stream
        self.index = np.zeros(num_envs, np.int64)
        self.total = np.zeros(num_envs, np.float64)
        self.length = np.zeros(num_envs, np.int64)
        self.seedless = np.zeros(
            num_envs, bool
        )  # episodes that a vector environment has begun by itself
        self.action: Array | None = None  # [E, ...] of the step that is being made
        self.called: int | None = (
            None  # the environment that has been called and has not come back yet; or `ALL`
        )
        self._ones = np.ones(num_envs, np.int64)

    def episode_seed(self, env: int) -> int:
        """The seed that environment `env` was, or is to be, reset with for its current episode."""
        return derived_seed(self.seed, self.stream, env, int(self.index[env]))

    def common_seed(self) -> int:
        """A seed for all environments together, where they take only one; no two numbers of episodes give the same."""
        return derived_seed(self.seed, self.stream, int(self.index.sum()))

    @property
    def position(self) -> tuple[Array, Array, Array]:
        """The state that `undo` restores, provided that only `finish_all` and `begin` are called in between."""
        return self.index, self.total, self.length

    def finish_all(self, envs: Array, terminated: Array) -> list[Episode]:
        """Close the current episodes of `envs` (indices) and turn to the next."""
        columns = (column[envs].tolist() for column in (self.total, self.length, terminated))
        episodes = [Episode(*row) for row in zip(envs.tolist(), *columns, strict=True)]
        self.index, self.total, self.length = (
            self.index.copy(),
            self.total.copy(),
            self.length.copy(),
        )
        self.index[envs] += 1
        self.total[envs] = self.length[envs] = 0
        return episodes

    def finish(self, env: int, terminated: bool) -> Episode:
        """The same for one environment."""
        return self.finish_all(np.array([env]), np.full(len(self.index), terminated))[0]

    def begin(self, env: int) -> None:
        """Nothing has happened in the current episode of `env`."""
        self.total[env] = self.length[env] = 0

    def advance(self, action: Array, valid: Array | None = None) -> tuple[Array, Array, Array]:
        """One step further in all environments, or in the `valid` ones. Gives what `undo` takes.

        Until the step is whole, numbers are written into new arrays only.
        """
        self.action = action
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
            raise self.fault(env, f"{name}{component} is {number}")

    def fault(self, env: int, what: str, remedy: str = MEND) -> EnvironmentFault:
        """The error for something that environment `env` did, or `ALL` of them."""
        fault = EnvironmentFault(f"{self.place(env, 'failed')}: {what} - {remedy}")
        fault.episode = self._episode(env, what)
        return fault

    def place(self, env: int, verb: str) -> str:
        """In words: what environment `env` (or `ALL`) did, and in which step of which episode, doing what."""
        episode = self._episode(env)
        if episode.env is None:
            steps = ", ".join(map(str, self.length[:8].tolist())) + (
                ", ..." if len(self.length) > 8 else ""
            )
            where = f"the vector environment {verb} at steps {steps} of its episodes"
        else:
            which = (
                f"its episode {episode.index}"
                if episode.seed is None
                else f"the episode with seed {episode.seed}"
            )
            where = f"environment {episode.env} {verb} at step {episode.step} of {which}"
        during = "" if self.stream == "episode" else f"{self.stream}: "
        return (
            during + where + ("" if episode.action is None else f", action {shown(episode.action)}")
        )

    def _episode(self, env: int, what: str = "") -> FailedEpisode:
        if env == ALL:
            return FailedEpisode(
                what,
                self.stream,
                None,
                int(self.index.sum()),
                None,
                int(self.length.max()),
                self.action,
            )
        step = int(self.length[env])
        action = self.action[env] if step > 0 and self.action is not None else None
        seed = None if self.seedless[env] else self.episode_seed(env)
        return FailedEpisode(what, self.stream, env, int(self.index[env]), seed, step, action)

    def arrays(self) -> dict[str, Array]:
        """What a checkpoint has to hold."""
        return {
            "episode.index": self.index,
            "episode.total": self.total,
            "episode.length": self.length,
        }


def all_finite(array: Array) -> bool:
    """Whether no number is NaN or infinite."""
    return np.count_nonzero(np.isfinite(array)) == array.size  # in half the time that `all` takes


def as_observation(
    book: EpisodeBook, env: int, observation: Any, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Array:
    """One observation in the stored dtype, checked. Raises `EnvironmentFault` for what its space does not hold, and for NaN."""
    try:
        array = np.asarray(observation)
    except ValueError as error:
        raise book.fault(env, f"the observation is no array: {error}") from error
    if array.shape != shape:
        raise book.fault(
            env,
            f"the observation has shape {array.shape}, its space says {shape} (dtype {array.dtype})",
        )
    stored = as_stored(book, env, array, dtype)
    if dtype.kind == "f" and not all_finite(stored):
        book.check(env, "observation", stored)
    return stored


def as_stored(book: EpisodeBook, env: int, seen: Array, dtype: np.dtype[Any]) -> Array:
    """A copy in the stored dtype. Raises `EnvironmentFault` for what is no number, and for one that an integer cannot hold."""
    if seen.dtype == dtype:
        return seen.copy()
    if seen.dtype.kind not in "biuf":
        raise book.fault(env, f"the observation has dtype {seen.dtype}, its space says {dtype}")
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # what is too large for the stored dtype is found to be infinite
        stored = seen.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(stored, seen):
        number = seen[stored != seen][0]
        raise book.fault(
            env,
            f"the observation has dtype {seen.dtype} and {number} in it, its space says {dtype}",
        )
    return stored


def as_rewards(book: EpisodeBook, rewards: Any, valid: Array | None) -> tuple[Array, Array]:
    """The rewards of all environments as float64 and as float32; where not `valid` they are 0. Raises `EnvironmentFault`."""
    try:
        given = np.asarray(rewards)
        if given.dtype.kind in "SUc":  # which would be read, or cut down
            raise TypeError(f"their dtype is {given.dtype}")
        exact = np.array(given, np.float64)
    except (TypeError, ValueError) as error:
        raise book.fault(ALL, f"the rewards are no numbers: {error}") from error
    if exact.shape != book.total.shape:
        raise book.fault(ALL, f"the rewards have shape {exact.shape}, wanted is {book.total.shape}")
    if valid is not None:
        exact[~valid] = 0
    if given.dtype == np.float32:
        rounded = exact.astype(np.float32)
    else:
        with np.errstate(
            over="ignore"
        ):  # what is too large for float32 is found to be infinite below
            rounded = exact.astype(np.float32)
    if not all_finite(rounded):
        env = int(np.isfinite(rounded).argmin())
        raise book.fault(env, f"reward is {exact[env]}")
    return exact, rounded


def as_reward(book: EpisodeBook, env: int, reward: Any) -> float:
    """One reward as a number that float32 can hold. Raises `EnvironmentFault`."""
    try:
        if isinstance(reward, _TEXT):  # which `float` would read
            raise TypeError
        number = float(reward)
    except (TypeError, ValueError) as error:
        raise book.fault(env, f"the reward is {reward!r}, which is not a number") from error
    if not abs(number) <= _LARGEST:
        raise book.fault(env, f"reward is {number}")
    return number
