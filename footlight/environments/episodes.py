"""Track the current episode of each environment: its seed, return and length; describe failures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from footlight.environments.infos import NO_INFO, kept_info
from footlight.errors import EnvironmentFault, RemoteError
from footlight.streams import derived_seed
from footlight.types import Array

ALL = -1  # as the index of an environment: all of them together
FIX = "fix the environment"
MAX_FAULTS = 100  # consecutive faults of one environment, without a step between them


class WorkerLost(RemoteError):
    """A process has died, or was ended because it did not answer."""


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
    info: Mapping[str, Any] = NO_INFO  # that of its last step, see `kept_info`


@dataclass
class FailedEpisode:
    """The episode in which an environment failed, with what it takes to reproduce it."""

    what: str
    """What went wrong."""
    stream: str
    """Of its seed: "episode" in training."""
    env: int | None
    """None: it is not known which of the environments failed."""
    index: int
    seed: int | None
    """None: a vector environment chose the seed by itself."""
    step: int
    """The step that failed; 0 is the reset."""
    action: Any = None
    """Of that step."""
    actions: Any = None
    """Array [steps, *action shape] of the episode, including the failing step; None: unknown."""


def without_failed_step(episode: Episode, failed: list[int]) -> Episode:
    """An episode of one of the `failed` environments without its last step; others unchanged."""
    if episode.env not in failed:
        return episode
    return episode._replace(length=episode.length - 1, fault=True)


class EpisodeTracker:
    """Return, length and index of the current episode of each environment."""

    def __init__(self, num_envs: int, seed: int, stream: str) -> None:
        self.seed, self.stream = seed, stream
        self.first = 0
        """The number that environment 0 has in the run, where others step further environments."""
        self.index = np.zeros(num_envs, np.int64)
        self.total = np.zeros(num_envs, np.float64)
        self.length = np.zeros(num_envs, np.int64)
        # Episodes that a vector environment has begun by itself
        self.seedless = np.zeros(num_envs, bool)
        self.action: Array | None = None  # [E, ...] of the current step
        # The environment whose call has not returned yet, or `ALL`
        self.called: int | None = None
        self._ones = np.ones(num_envs, np.int64)

    def episode_seed(self, env: int) -> int:
        """The seed of the current episode of environment `env`."""
        return derived_seed(self.seed, self.stream, self.first + env, int(self.index[env]))

    def common_seed(self) -> int:
        """One seed for all environments, for those that take only one; new after each episode."""
        further = (self.first,) if self.first else ()
        return derived_seed(self.seed, self.stream, int(self.index.sum()), *further)

    @property
    def snapshot(self) -> tuple[Array, Array, Array]:
        """The state for `restore`, if only `finish_all` and `begin` are called in between."""
        return self.index, self.total, self.length

    def finish_all(
        self, envs: Array, terminated: Array, infos: Sequence[Mapping[str, Any]] | None = None
    ) -> list[Episode]:
        """End the current episodes of `envs` (indices) and return them.

        infos: those of their last steps.
        """
        columns = (column[envs].tolist() for column in (self.total, self.length, terminated))
        episodes = [Episode(*row) for row in zip(envs.tolist(), *columns, strict=True)]
        if infos is not None:
            pairs = zip(episodes, infos, strict=True)
            episodes = [episode._replace(info=kept_info(info)) for episode, info in pairs]
        # New arrays, so that a snapshot keeps the old ones
        self.index, self.total = self.index.copy(), self.total.copy()
        self.length = self.length.copy()
        self.index[envs] += 1
        self.total[envs] = self.length[envs] = 0
        return episodes

    def finish(self, env: int, terminated: bool) -> Episode:
        """End the current episode of one environment and return it."""
        return self.finish_all(np.array([env]), np.full(len(self.index), terminated))[0]

    def begin(self, env: int) -> None:
        """Set the return and length of the current episode of `env` to zero."""
        self.total[env] = self.length[env] = 0

    def advance(self, action: Array, valid: Array | None = None) -> tuple[Array, Array, Array]:
        """Count a step in all environments, or in the `valid` ones; return the snapshot before it.

        New arrays are made, so that a step that fails can be undone.
        """
        self.action = action
        before = self.index, self.total, self.length
        self.length = self.length + (self._ones if valid is None else valid)
        return before

    def add_reward(self, reward: Array) -> None:
        """Add a reward to the return of each environment."""
        self.total = self.total + reward

    def restore(self, before: tuple[Array, Array, Array]) -> None:
        """Go back to a snapshot."""
        self.index, self.total, self.length = before

    def check(self, env: int, name: str, value: Any) -> None:
        """Raise `EnvironmentFault` if `value` is not finite, naming its first NaN or infinity."""
        bad = np.argwhere(~np.isfinite(value))
        if len(bad):
            component = f"[{', '.join(map(str, bad[0]))}]" if bad.shape[1] else ""
            number = np.asarray(value)[tuple(bad[0])]
            raise self.fault(env, f"{name}{component} is {number}")

    def fault(self, env: int, what: str, remedy: str = FIX) -> EnvironmentFault:
        """The error for a failure of environment `env`, or of `ALL` of them."""
        fault = EnvironmentFault(f"{self.describe_position(env, 'failed')}: {what} - {remedy}")
        fault.episode = self._episode(env, what)
        return fault

    def describe_position(self, env: int, verb: str) -> str:
        """Say which environment (or `ALL`) did what `verb` says, at which step of which episode."""
        episode = self._episode(env)
        if episode.env is None:
            steps = ", ".join(map(str, self.length[:8].tolist()))
            steps += ", ..." if len(self.length) > 8 else ""
            where = f"the vector environment {verb} at steps {steps} of its episodes"
        else:
            which = f"the episode with seed {episode.seed}"
            if episode.seed is None:
                which = f"its episode {episode.index}"
            number = self.first + episode.env
            where = f"environment {number} {verb} at step {episode.step} of {which}"
        during = "" if self.stream == "episode" else f"{self.stream}: "
        action = "" if episode.action is None else f", action {shown(episode.action)}"
        return during + where + action

    def _episode(self, env: int, what: str = "") -> FailedEpisode:
        if env == ALL:
            index, step = int(self.index.sum()), int(self.length.max())
            return FailedEpisode(what, self.stream, None, index, None, step, self.action)
        step = int(self.length[env])
        action = self.action[env] if step > 0 and self.action is not None else None
        seed = None if self.seedless[env] else self.episode_seed(env)
        return FailedEpisode(what, self.stream, env, int(self.index[env]), seed, step, action)

    def arrays(self) -> dict[str, Array]:
        """Arrays for a checkpoint."""
        return {
            "episode.index": self.index,
            "episode.total": self.total,
            "episode.length": self.length,
        }
