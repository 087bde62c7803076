"""Environments stepped one after the other in this process: fastest for one or a few cheap ones.

The seed of every episode is derived from the run's seed, the environment's index and the episode's
index. This seed and the recorded actions of the current episode are all it takes to put a new
deterministic environment into the state of an interrupted one.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from footlight.environments import calls
from footlight.environments.checks import (
    as_observation,
    as_reward,
    as_stored,
    as_stored_rows,
    require_valid,
)
from footlight.environments.episodes import MAX_FAULTS, Episode, EpisodeTracker, without_failed_step
from footlight.environments.history import ActionHistory, EpisodeStarts, saved_actions
from footlight.environments.infos import LIFE_LOST, NO_INFO
from footlight.environments.naming import name_of_instance
from footlight.environments.running_statistics import restore_statistics, saved_statistics
from footlight.environments.spaces import describe, difference, spaces_of
from footlight.errors import EnvironmentFault, UserError
from footlight.types import Array, DiscreteAction, Transition


class SerialEnvironments:
    """E single environments, each reset as soon as its episode ends."""

    def __init__(
        self, envs: list[gymnasium.Env[Any, Any]], seed: int, stream: str, owned: bool = True
    ) -> None:
        self.envs, self.owned = envs, owned
        self.num_envs = len(envs)
        for env in envs[1:]:
            if (what := difference(envs[0], env, observation_bounds=False)) is not None:
                raise UserError(f"the environments differ: {what} - let all have the same spaces")
        self.observation_space, self.action_space = spaces_of(envs[0])
        self.spaces = describe(self.observation_space, self.action_space)
        self.tracker = EpisodeTracker(self.num_envs, seed, stream)
        self._shape = self.spaces.observation_shape
        self._dtype = np.dtype(self.spaces.observation_dtype)
        # MuJoCo's float64 is gathered as it is, and rounded for all environments at once
        is_double = self.observation_space.dtype == np.float64
        self._gathered_dtype = np.dtype(np.float64) if is_double else self._dtype
        self.observation: Array = np.zeros((self.num_envs, *self._shape), self._dtype)
        self.can_abandon = True
        self.finished: list[Episode] = []  # by the last step
        action = self.spaces.action
        self._discrete = isinstance(action, DiscreteAction) and action.shape == ()
        self.on_fault: Callable[[EnvironmentFault], None] | None = None
        """Called with a fault after which a new episode begins; None: faults are raised."""
        self.failed: list[int] = []  # environments in which the last step was cut off by a fault
        self._faults_in_a_row: dict[int, int] = {}  # by environment, since its last step
        self._scalar = np.dtype(self.action_space.dtype).type
        self._history = ActionHistory(self.num_envs, self.action_space.dtype)
        self._starts = EpisodeStarts(self.envs)

    def reset(self) -> Array:
        """Begin an episode in each environment and return the observations [E, ...]."""
        return self.restart(range(self.num_envs))

    def restart(self, envs: Sequence[int]) -> Array:
        """Begin the next episode in these, whose last one has been counted as finished.

        Returns the observations of all environments [E, ...].
        """
        self._begin_resets(envs)
        for env in envs:
            self._history.clear(env)
            self._begin(env)
        return self.observation.copy()

    def abandon(self, envs: Sequence[int]) -> None:
        """Abandon the current episodes of these and begin new ones. Raises `EnvironmentFault`."""
        before = self.observation.copy()
        snapshot, actions = self.tracker.snapshot, self._history.snapshot()
        starts = self._starts.kept
        try:
            self.tracker.finish_all(np.array(envs), np.zeros(self.num_envs, bool))
            self.restart(envs)
        except EnvironmentFault:
            self.observation = before
            self._history.restore(actions)
            self._starts.kept = starts
            self.tracker.restore(snapshot)
            raise

    def step(self, action: Array) -> Transition:
        """Step all, with actions in the environments' own units. Raises `EnvironmentFault`.

        `self.observation` is then what the next action depends on, and `self.finished` lists the
        episodes that this step ended.
        """
        before, tracker = self.observation, self.tracker
        snapshot, starts = tracker.advance(action), self._starts.kept
        self.finished, self.failed = [], []
        try:
            successor, reward, terminated, truncated, ended = self._steps(action)
            tracker.add_reward(reward)
            self.observation = successor.copy()
            if self._faults_in_a_row:
                self._faults_in_a_row = {env: self._faults_in_a_row[env] for env in self.failed}
            if ended:
                self._restart(ended, terminated)
        except EnvironmentFault as fault:
            self._history.attach_to(fault.episode, self.spaces.action.shape)
            # A checkpoint must hold the state before the fault
            self.observation, self.finished, self.failed = before, [], []
            self._starts.kept = starts
            tracker.restore(snapshot)
            raise
        self._history.append(action)
        for env in ended:
            self._history.clear(env)
        valid = ~np.isin(np.arange(self.num_envs), self.failed) if self.failed else None
        return Transition(
            before, action, reward.astype(np.float32), successor, terminated, truncated, valid
        )

    def _restart(self, ended: Mapping[int, Mapping[str, Any]], terminated: Array) -> None:
        envs = list(ended)
        self.finished = self.tracker.finish_all(np.array(envs), terminated, list(ended.values()))
        if self.failed:
            self.finished = [without_failed_step(each, self.failed) for each in self.finished]
            self.finished = [each for each in self.finished if each.length]
        self._begin_resets(envs)
        for env in envs:
            self._begin(env)

    def _begin(self, env: int) -> None:
        """Reset `env`; if that fails and faults are survived, begin the next episode instead."""
        while True:
            try:
                self.observation[env] = self._reset(env)
                return
            except EnvironmentFault as fault:
                self._survive(fault, env)
                self.tracker.finish(env, False)
                self._starts.keep([env])

    def _survive(self, fault: EnvironmentFault, env: int) -> None:
        """Report a fault after which a new episode may begin.

        Raises it if faults are not survived, or if there were too many in a row.
        """
        if self.on_fault is None:
            raise fault
        count = self._faults_in_a_row.get(env, 0) + 1
        if count == MAX_FAULTS:
            assert fault.episode is not None
            what = f"{fault.episode.what}; that was the {count}th fault in a row"
            raise self.tracker.fault(env, what) from fault.__cause__
        self._faults_in_a_row[env] = count
        self._history.attach_to(fault.episode, self.spaces.action.shape)
        self.on_fault(fault)
        self.revive(env)

    def revive(self, env: int) -> None:
        """Make `env` usable again after a fault. Raises `EnvironmentFault`."""

    def _steps(
        self, action: Array
    ) -> tuple[Array, Array, Array, Array, dict[int, Mapping[str, Any]]]:
        """Step all: observations, rewards, terminated, truncated, all checked; and the last infos
        of those that ended."""
        num_envs, shape, dtype = self.num_envs, self._shape, self._gathered_dtype
        gathered, reward = np.empty((num_envs, *shape), dtype), np.empty(num_envs, np.float64)
        terminated, truncated = np.zeros(num_envs, bool), np.zeros(num_envs, bool)
        options, ended = self.spaces.choices.get("", ()), dict[int, Mapping[str, Any]]()
        self._begin_steps(action)
        for env in range(num_envs):
            try:
                observed, raw_reward, terminates, truncates, info = self._step(env, action[env])
                is_array = type(observed) is np.ndarray
                if not is_array or observed.dtype != dtype or observed.shape != shape:
                    observed = self._as_observation(env, observed)
                gathered[env] = observed
                reward[env] = as_reward(self.tracker, env, raw_reward)
                if self.on_fault is not None and (options or self._dtype.kind == "f"):
                    stored = as_stored(self.tracker, env, gathered[env, ...], self._dtype)
                    require_valid(self.tracker, env, "observation", stored, options)
            except EnvironmentFault as fault:
                self._survive(fault, env)
                gathered[env], reward[env] = self.observation[env], 0
                terminates, truncates, info = False, True, NO_INFO
                self.failed.append(env)
            if terminates or truncates:
                terminated[env], truncated[env] = terminates, truncates
                ended[env] = info
            elif info.get(LIFE_LOST):
                terminated[env] = True
        stored = as_stored_rows(self.tracker, gathered, self._dtype, self.spaces.choices)
        return stored, reward, terminated, truncated, ended

    def _step(self, env: int, action: Array) -> tuple[Any, Any, bool, bool, Mapping[str, Any]]:
        return calls.step(self.tracker, env, self.envs[env], self.given(action))

    def given(self, action: Array) -> Any:
        """A copy of an action with the dtype and shape of `action_space.sample()`."""
        return self._scalar(action) if self._discrete else np.array(action, self.action_space.dtype)

    def _reset(self, env: int) -> Array:
        observation = calls.reset(self.tracker, env, self.envs[env])
        return self._as_observation(env, observation)

    def _as_observation(self, env: int, observation: Any) -> Array:
        known = self._shape, self._dtype, self.spaces.choices
        return as_observation(self.tracker, env, observation, *known)

    def _begin_steps(self, action: Array) -> None:
        """Called before the environments are stepped one by one; workers begin together here."""

    def _begin_resets(self, envs: Sequence[int]) -> None:
        """Called before these are reset one by one."""
        self._starts.keep(envs)

    def arrays(self) -> dict[str, Array]:
        """Arrays for a checkpoint: the current episodes and the actions that led there."""
        return {
            **self.tracker.arrays(),
            "observation": self.observation,
            **self._history.arrays(),
            **self._starts.arrays(),
            **saved_statistics(self),
        }

    def restore(self, arrays: dict[str, Array]) -> list[int]:
        """Put new environments into the saved states by rerunning their current episodes.

        Returns the environments that did not reach the saved state: these begin a new episode.
        Raises `ValueError` or `KeyError` for arrays of other environments.
        """
        saved, shape = arrays["observation"], self.spaces.action.shape
        total = arrays["episode.total"].reshape(self.num_envs)
        self.tracker.index[:] = arrays["episode.index"].reshape(self.num_envs)
        actions = [saved_actions(arrays, env, shape) for env in range(self.num_envs)]
        if saved.shape != self.observation.shape or self.tracker.index.min() < 0:
            raise ValueError("episodes of other environments were saved")
        self._starts.restore(arrays)
        not_restored = []
        for env in range(self.num_envs):
            try:
                self.rerun(env, actions[env])
                is_restored = np.array_equal(self.observation[env], saved[env])
                is_restored &= bool(self.tracker.total[env] == total[env])
            except EnvironmentFault as fault:
                self._survive(fault, env)
                is_restored = False
            if not (is_restored and self._starts.knows(env)):
                not_restored.append(env)
        restore_statistics(self, arrays, envs=not_restored)
        self._starts.keep(not_restored)
        for env in not_restored:
            self.tracker.finish(env, False)
            self._history.clear(env)
            self._begin(env)
        return not_restored

    def rerun(self, env: int, actions: Array) -> None:
        """Begin the current episode of `env` again and take these actions, until it ends.

        `self.observation` and the tracker hold the result. Raises `EnvironmentFault`.
        """
        self._history.clear(env)
        self._starts.return_to(env)
        self.observation[env] = self._reset(env)
        for action in actions:
            self.tracker.length[env] += 1
            self.tracker.action = np.broadcast_to(action, (self.num_envs, *np.shape(action)))
            try:
                observed, reward, terminated, truncated, _ = self._step(env, action)
                self.tracker.total[env] += as_reward(self.tracker, env, reward)
                self.observation[env] = self._as_observation(env, observed)
            except EnvironmentFault as fault:
                self._history.attach_to(fault.episode, self.spaces.action.shape)
                raise
            self._history.append_one(env, action)
            if terminated or truncated:
                return

    def name_of_first(self) -> str | None:
        """The name of the first environment."""
        return name_of_instance(self.envs[0])

    def reseed(self, stream: str) -> None:
        """Take the seeds of the next episodes from another stream, from its beginning."""
        self.tracker = EpisodeTracker(self.num_envs, self.tracker.seed, stream)

    def close(self) -> None:
        """Close all environments, even if closing one fails, unless they belong to the user."""
        with contextlib.ExitStack() as stack:
            for env in self.envs if self.owned else ():
                stack.callback(env.close)
