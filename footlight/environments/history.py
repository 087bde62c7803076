"""State needed to restore deterministic environments to the middle of an episode.

That is the actions of each episode and, if wrappers have running statistics, those with which it
began.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from footlight.environments.checks import all_finite
from footlight.environments.episodes import FailedEpisode
from footlight.environments.running_statistics import (
    by_environment,
    read_start,
    statistics_wrappers,
    write_statistics,
)
from footlight.types import Array

_PREFIX = "actions."
_STARTS = "starts."


def steps_to_restore(arrays: Mapping[str, Array]) -> int:
    """Number of steps that `SerialEnvironments.restore` takes."""
    saved = (actions for name, actions in arrays.items() if name.startswith(_PREFIX))
    # An array without dimensions is forged; `restore` refuses it
    return sum(actions.shape[0] for actions in saved if actions.ndim)


def saved_actions(arrays: Mapping[str, Array], env: int, shape: tuple[int, ...]) -> Array:
    """The actions of environment `env` in the arrays of a checkpoint; `shape` is that of an action.

    Raises `ValueError` for arrays of other environments.
    """
    actions = arrays.get(f"{_PREFIX}{env}")
    if actions is None:
        return np.empty((0, *shape))
    if actions.shape[1:] != shape or actions.dtype.kind not in "biuf" or not all_finite(actions):
        raise ValueError("episodes of other environments were saved")
    return actions


class ActionHistory:
    """The actions of the current episode of each environment, as bytes side by side.

    An episode may never end, so an action must cost little memory.
    """

    def __init__(self, num_envs: int, dtype: Any) -> None:
        self._dtype = dtype
        self._bytes = [bytearray() for _ in range(num_envs)]
        self._row = np.zeros(0)  # has the dtype and shape of an action

    def append(self, action: Array) -> None:
        """Add one action to each environment."""
        rows = np.asarray(action)
        self._row, added = rows[0], rows.tobytes()
        size = len(added) // len(rows)
        for env, taken in enumerate(self._bytes):
            taken += added[env * size : (env + 1) * size]

    def append_one(self, env: int, action: Array) -> None:
        """Add one action to environment `env`."""
        self._bytes[env] += action.tobytes()
        self._row = action

    def clear(self, env: int) -> None:
        """Begin a new episode."""
        self._bytes[env].clear()

    def is_empty(self, env: int) -> bool:
        """Whether no action was taken in the current episode."""
        return not self._bytes[env]

    def of(self, env: int) -> Array:
        """The actions of the current episode [steps, ...], without that of the current step."""
        return np.frombuffer(bytes(self._bytes[env]), self._row.dtype).reshape(-1, *self._row.shape)

    def attach_to(self, episode: FailedEpisode | None, shape: tuple[int, ...]) -> None:
        """Add all actions of a failed episode to it, so that it can be reproduced."""
        if episode is None or episode.env is None:
            return
        if episode.action is None:  # the reset failed
            episode.actions = np.empty((0, *shape), self._dtype)
            return
        episode.actions = np.array(episode.action)[None]
        if not self.is_empty(episode.env):
            episode.actions = np.concatenate([self.of(episode.env), episode.actions])

    def snapshot(self) -> list[bytearray]:
        """A copy for `restore`."""
        return [bytearray(taken) for taken in self._bytes]

    def restore(self, snapshot: list[bytearray]) -> None:
        """Go back to a snapshot."""
        self._bytes = snapshot

    def arrays(self) -> dict[str, Array]:
        """Arrays for a checkpoint."""
        return {
            f"{_PREFIX}{env}": self.of(env)
            for env in range(len(self._bytes))
            if not self.is_empty(env)
        }


class EpisodeStarts:
    """Running statistics of wrappers as they were when the current episodes began.

    An episode that is repeated from there updates them as it did the first time, so whatever other
    wrappers remember of it, such as stacked frames, is the same again.
    """

    def __init__(self, envs: Sequence[Any]) -> None:
        self._envs = envs  # not copied: a lost process is replaced in it
        self._with_statistics = {
            env for env, instance in enumerate(envs) if statistics_wrappers(instance)
        }
        self.kept: dict[int, tuple[dict[str, Array], bool]] = {}
        """By environment: the statistics, and whether they are frozen."""

    def keep(self, envs: Iterable[int]) -> None:
        """Save the statistics of `envs` just before their next episodes begin."""
        kept = self.kept.copy()  # a new dict, so that a step that fails can be undone
        for env in self._with_statistics.intersection(envs):
            kept[env] = read_start(self._envs[env])
        self.kept = kept

    def knows(self, env: int) -> bool:
        """Whether `env` can begin its episode again: not if its process was lost just before."""
        return env not in self._with_statistics or bool(self.kept.get(env, ({}, False))[0])

    def return_to(self, env: int) -> None:
        """Restore the statistics that `env` had when its episode began."""
        if env in self.kept:
            statistics, is_frozen = self.kept[env]
            write_statistics(self._envs[env], statistics, frozen=is_frozen)

    def arrays(self) -> dict[str, Array]:
        """Arrays for a checkpoint."""
        return {
            f"{_STARTS}{env}.{name}": array
            for env, (statistics, _) in self.kept.items()
            for name, array in statistics.items()
        }

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Take the statistics in the arrays of a checkpoint."""
        saved = by_environment(arrays, _STARTS)
        self.kept = {env: (saved[env], False) for env in self._with_statistics & saved.keys()}
