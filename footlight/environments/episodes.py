"""What both kinds of environments share: counting episodes, and refusing numbers that are none."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from footlight.errors import EnvironmentFault
from footlight.streams import derived_seed
from footlight.types import Array

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Episode:
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

    def episode_seed(self, env: int) -> int:
        """The seed that environment `env` was, or is to be, reset with for its current episode."""
        return derived_seed(self.seed, self.stream, env, int(self.index[env]))

    def finish(self, env: int, terminated: bool) -> Episode:
        """Close the current episode of `env` and turn to the next."""
        episode = Episode(env, float(self.total[env]), int(self.length[env]), terminated)
        self.index[env] += 1
        self.total[env] = self.length[env] = 0
        return episode

    def begin(self, env: int) -> None:
        """Nothing has happened in the current episode of `env`."""
        self.total[env] = self.length[env] = 0

    def snapshot(self) -> tuple[Array, Array, Array]:
        """Where everything stands, for `restore`."""
        return self.index.copy(), self.total.copy(), self.length.copy()

    def restore(self, snapshot: tuple[Array, Array, Array]) -> None:
        """Back to a `snapshot`."""
        self.index, self.total, self.length = snapshot

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
    if dtype.kind == "f" and not np.isfinite(array).all():
        book.check(env, "observation", array)
    return array


def as_reward(book: EpisodeBook, env: int, reward: Any) -> float:
    """One reward as a number that float32 can hold. Raises `EnvironmentFault`."""
    try:
        number = float(reward)
    except (TypeError, ValueError) as error:
        raise book.fault(env, f"the reward is {reward!r}, which is no number", "mend the environment") from error
    if not abs(number) <= _LARGEST:
        raise book.fault(env, f"reward is {number}", "mend the environment; the state is saved")
    return number
