"""A vector environment, the user's or a native one, in any of the three autoreset modes.

All three give the same transitions.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from footlight.environments import checks
from footlight.environments.autoreset import SeedForEach, autoreset_mode, has_rows
from footlight.environments.checks import all_finite, as_observation
from footlight.environments.episodes import ALL, MAX_FAULTS, Episode, EpisodeTracker
from footlight.environments.foreign import OfTensors
from footlight.environments.infos import LIFE_LOST, last_infos
from footlight.environments.interface import old_interface, reset_answer, step_answer
from footlight.environments.running_statistics import restore_statistics, saved_statistics
from footlight.environments.snapshots import PREFIX, read_state, why_unknown, write_state
from footlight.environments.spaces import describe, spaces_of
from footlight.errors import EnvironmentFault, describe_error
from footlight.signals import is_interruption
from footlight.trees import leaves_of
from footlight.types import Array, Transition

RESETTING = PREFIX + "resetting"
"""Array of a checkpoint: environments whose next step only begins an episode."""


class VectorEnvironments:
    """E environments that step together.

    NEXT_STEP: the step after an end only resets; its row is not a transition (`Transition.valid`).
    SAME_STEP: the true successor is in `info["final_obs"]`. DISABLED: environments whose episode
    has ended are reset here, from derived seeds.
    """

    def __init__(
        self, env: VectorEnv[Any, Any, Any], seed: int, stream: str, owned: bool = True
    ) -> None:
        self.env, self.mode, self.owned = env, autoreset_mode(env), owned
        # In the other modes only all environments can be reset together
        self.can_abandon = self.mode == AutoresetMode.DISABLED
        self.num_envs = env.num_envs
        self.observation_space, self.action_space = spaces_of(env)
        self.spaces = describe(self.observation_space, self.action_space)
        self.tracker = EpisodeTracker(self.num_envs, seed, stream)
        self._shape = self.spaces.observation_shape
        self._dtype = np.dtype(self.spaces.observation_dtype)
        self.observation: Array = np.zeros((self.num_envs, *self._shape), self._dtype)
        self.finished: list[Episode] = []
        self.on_fault: Callable[[EnvironmentFault], None] | None = None
        """Called with a fault after which new episodes begin; None: faults are raised."""
        self.failed: list[int] = []  # environments in which the last step was cut off by a fault
        self._faults_in_a_row = 0
        self._resetting: Array | None = None  # NEXT_STEP: which ended at the last step, if any
        self.why_inexact = why_unknown(env)  # None: a checkpoint can hold the state
        # Whether `observation` belongs to the environment's state: not before a reset or after
        # a fault
        self._is_in_step = False
        # Gymnasium's interface has one seed for all; some vector environments take one for each
        self._seed_for_each = has_rows(env) or isinstance(env.unwrapped, SeedForEach)

    def reset(self) -> Array:
        """Begin an episode in each environment and return the observations [E, ...]."""
        observation, _ = self._called("reset", seed=self._seeds(range(self.num_envs)))
        self._begin(range(self.num_envs))
        self._resetting = None
        self.observation = self._checked(observation)
        self._is_in_step = True
        return self.observation.copy()

    def restart(self, envs: Sequence[int]) -> Array:
        """Begin the next episode in these, whose last one has been counted as finished.

        Returns the observations of all environments [E, ...]. The vector environment has to support
        a reset mask, as Gymnasium's with autoreset DISABLED and Atari games do.
        """
        mask = np.isin(np.arange(self.num_envs), envs)
        observation, _ = self._called("reset", seed=self._seeds(envs), options={"reset_mask": mask})
        self._begin(envs)
        if self._resetting is not None:
            self._resetting &= ~mask
        self.observation = self._checked(observation)
        return self.observation.copy()

    def abandon(self, envs: Sequence[int]) -> None:
        """Abandon the current episodes of these environments and begin new ones.

        Only if `can_abandon`. Raises `EnvironmentFault`.
        """
        before, snapshot = self.observation, self.tracker.snapshot
        try:
            self.tracker.finish_all(np.array(envs), np.zeros(self.num_envs, bool))
            self.restart(envs)
        except EnvironmentFault:
            self.observation = before
            self.tracker.restore(snapshot)
            raise

    def step(self, action: Array) -> Transition:
        """Step all, with actions in the environments' own units. Raises `EnvironmentFault`."""
        before, resetting = self.observation, self._resetting
        valid = None if resetting is None else ~resetting
        action = np.asarray(action, self.action_space.dtype)
        snapshot = self.tracker.advance(action, valid)
        self.finished, self.failed = [], []
        try:
            transition = self._step(action, valid)
            self._faults_in_a_row = 0
            return transition
        except EnvironmentFault as fault:
            # A checkpoint must hold the state before the fault
            self.observation, self._resetting, self.finished = before, resetting, []
            self.tracker.restore(snapshot)
            self._is_in_step = False
            if self.on_fault is None:
                raise
            self._survive(fault)
        nothing, ended = np.zeros(self.num_envs, np.float32), np.ones(self.num_envs, bool)
        return Transition(before, action, nothing, before, ~ended, ended, ~ended)

    def _survive(self, fault: EnvironmentFault) -> None:
        """Begin new episodes in all environments: it is unknown which of them are still intact."""
        snapshot, self.failed = self.tracker.snapshot, list(range(self.num_envs))
        while True:
            self._faults_in_a_row += 1
            if self._faults_in_a_row == MAX_FAULTS:
                self.tracker.restore(snapshot)
                raise fault
            assert self.on_fault is not None
            self.on_fault(fault)
            cut_off = self.tracker.finish_all(
                np.arange(self.num_envs), np.zeros(self.num_envs, bool)
            )
            self.finished += [each._replace(fault=True) for each in cut_off if each.length]
            try:
                self.reset()
                return
            except EnvironmentFault as another:
                fault = another

    def revive(self, env: int) -> None:
        """Do nothing: the next reset begins new episodes in all environments."""

    def _step(self, action: Array, valid: Array | None) -> Transition:
        before = self.observation
        # A copy of the action, because an environment may change it
        observed, rewards, terminated, truncated, info = self._called("step", action.copy())
        terminated = checks.as_flags(self.tracker, terminated, valid)
        truncated = checks.as_flags(self.tracker, truncated, valid)
        ends = terminated | truncated
        if LIFE_LOST in info:
            terminated = terminated | checks.as_flags(self.tracker, info[LIFE_LOST], valid)
        ended = ends.nonzero()[0]
        same_step = self.mode == AutoresetMode.SAME_STEP
        following = self._checked(observed, ~ends if same_step else None)
        exact, reward = checks.as_rewards(self.tracker, rewards, valid)
        self.tracker.add_reward(exact)
        successor = following.copy()
        self._resetting = None
        if len(ended):
            if same_step:
                self._complete(successor, info, ends, truncated)
            infos = last_infos(info, ended.tolist(), same_step)
            self.finished = self.tracker.finish_all(ended, terminated, infos)
            self.tracker.seedless[ended] = True
            if same_step:
                self._checked(observed)  # the first observations of new episodes
            elif self.mode == AutoresetMode.NEXT_STEP:
                self._resetting = ends
            else:
                seeds = self._seeds(ended.tolist())
                restarted, _ = self._called("reset", seed=seeds, options={"reset_mask": ends})
                self._begin(ended.tolist())
                following = self._checked(restarted)
        self.observation = following
        return Transition(before, action, reward, successor, terminated, truncated, valid)

    def _complete(
        self, successor: Array, info: Mapping[str, Any], ends: Array, truncated: Array
    ) -> None:
        """Write the last observations of the episodes that ended into `successor`."""
        ended = ends.nonzero()[0]
        if "final_obs" not in info:
            if not isinstance(self.env, OfTensors):
                what = "autoreset is SAME_STEP, and there is no final_obs"
                raise self.tracker.fault(int(ended[0]), what)
            successor[ended] = self.observation[ended]
            if truncated.any():
                self.env.report_lost()
            return
        final = info["final_obs"]
        if isinstance(final, np.ndarray) and final.dtype == object:  # one of each, or None
            for env in ended.tolist():
                successor[env] = as_observation(
                    self.tracker, env, final[env], self._shape, self._dtype, self.spaces.choices
                )
        else:
            successor[ended] = self._checked(final, counted=ends)[ended]

    def _begin(self, envs: Sequence[int]) -> None:
        for env in envs:
            self.tracker.begin(env)
            self.tracker.seedless[env] = not self._seed_for_each

    def _seeds(self, envs: Sequence[int]) -> int | list[int | None]:
        if not self._seed_for_each:
            return self.tracker.common_seed()
        seeds: list[int | None] = [None] * self.num_envs
        for env in envs:
            seeds[env] = self.tracker.episode_seed(env)
        return seeds

    def _called(self, method: str, *given: Any, **named: Any) -> Any:
        """Call the environment and validate its answer. Raises `EnvironmentFault`."""
        self.tracker.called = ALL
        try:
            answer = getattr(self.env, method)(*given, **named)
            return step_answer(answer) if method == "step" else reset_answer(answer)
        except BaseException as error:  # SystemExit included, which would end the program
            if is_interruption(error):
                raise
            if (violation := old_interface(method, error)) is not None:
                raise self.tracker.fault(ALL, *violation.args) from error
            raise self.tracker.fault(ALL, f"{method} raised {describe_error(error)}") from error
        finally:
            self.tracker.called = None

    def _checked(self, observation: Any, counted: Array | None = None) -> Array:
        """A copy of the observations in the stored dtype; those of this mask are checked."""
        return checks.as_observations(self.tracker, observation, self.spaces, counted)

    def arrays(self) -> dict[str, Array]:
        """Arrays for a checkpoint, including the state of the environments if it is known."""
        arrays = {
            **self.tracker.arrays(),
            "observation": self.observation,
            **saved_statistics(self),
        }
        if self.why_inexact is None and self._is_in_step:
            none = np.zeros(self.num_envs, bool)
            resetting = none if self._resetting is None else self._resetting
            arrays |= {RESETTING: resetting, **read_state(self.env)}
        return arrays

    def restore(self, arrays: dict[str, Array]) -> list[int]:
        """Restore the saved environments; without their state, begin new episodes.

        Returns the indices of environments that begin new episodes. Raises `ValueError` or
        `KeyError` for arrays of other environments.
        """
        index = arrays["episode.index"].reshape(self.num_envs)
        if index.dtype.kind not in "iu" or index.min() < 0:
            raise ValueError("episodes of other environments were saved")
        is_saved = self.why_inexact is None and RESETTING in arrays
        self.tracker.index[:] = index if is_saved else index + 1
        restore_statistics(self, arrays)
        self.reset()
        if not is_saved:
            return list(range(self.num_envs))
        names = "episode.total", "episode.length", RESETTING, "observation"
        columns = [arrays[name] for name in names]
        present = self.tracker.total, self.tracker.length, index < 0, self.observation
        for saved, like in zip(columns, present, strict=True):
            is_finite = all(map(all_finite, leaves_of(saved).values()))
            if saved.shape != like.shape or saved.dtype != like.dtype or not is_finite:
                raise ValueError("the state of other environments was saved")
        total, length, resetting, observation = (column.copy() for column in columns)
        if not np.array_equal(write_state(self.env, arrays), observation):
            raise ValueError("the observations are not those of the state")
        self.tracker.total, self.tracker.length = total, length
        self.observation = observation
        self.tracker.seedless[:] = True
        self._resetting = resetting if resetting.any() else None
        return []

    def name_of_first(self) -> str | None:
        """None: the environments that step together have no names of their own."""
        return None

    def reseed(self, stream: str) -> None:
        """Take the seeds of the next episodes from another stream, from its beginning."""
        self.tracker = EpisodeTracker(self.num_envs, self.tracker.seed, stream)

    def close(self) -> None:
        """Close the environment, unless it belongs to the user."""
        if self.owned:
            self.env.close()
