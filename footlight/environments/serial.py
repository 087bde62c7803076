"""Environments stepped one after the other in this process: the fastest way for one or a few cheap ones.

Every episode starts with a seed derived from the run's seed, the environment's index and the episode's index, and the actions of
the current episode are kept: that is all it takes to put a fresh, deterministic environment where an interrupted one stood.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from footlight.environments.atari import LIFE_LOST
from footlight.environments.episodes import (
    MAX_FAULTS,
    MEND,
    Episode,
    EpisodeBook,
    WorkerLost,
    all_finite,
    as_observation,
    as_reward,
    as_stored,
)
from footlight.environments.interface import as_flag, old_interface, reset_answer, step_answer
from footlight.environments.naming import name_of_instance
from footlight.environments.spaces import describe, difference
from footlight.environments.wrappers import restore_statistics, saved_statistics
from footlight.errors import EnvironmentFault, UserError, in_words
from footlight.signals import is_interruption
from footlight.types import Array, DiscreteAction, Transition


def replayed_steps(arrays: Mapping[str, Array]) -> int:
    """Number of steps that `SerialEnvironments.restore` takes."""
    taken = (actions for name, actions in arrays.items() if name.startswith("actions."))
    return sum(
        actions.shape[0] for actions in taken if actions.ndim
    )  # 0 dimensions: a forged file, refused when restored


class SerialEnvironments:
    """E single environments with their own autoreset."""

    def __init__(
        self, envs: list[gymnasium.Env[Any, Any]], seed: int, stream: str, owned: bool = True
    ) -> None:
        self.envs, self.owned = envs, owned
        self.num_envs = len(envs)
        for env in envs[1:]:
            if (what := difference(envs[0], env, observation_bounds=False)) is not None:
                raise UserError(f"the environments differ: {what} - let all have the same spaces")
        self.spaces = describe(envs[0].observation_space, envs[0].action_space)
        self.observation_space, self.action_space = envs[0].observation_space, envs[0].action_space
        self.book = EpisodeBook(self.num_envs, seed, stream)
        self._shape, self._dtype = (
            self.spaces.observation_shape,
            np.dtype(self.spaces.observation_dtype),
        )
        # MuJoCo's float64 is gathered as it is, and rounded for all environments at once
        self._seen_dtype = (
            np.dtype(np.float64) if self.observation_space.dtype == np.float64 else self._dtype
        )
        self.observation: Array = np.zeros((self.num_envs, *self._shape), self._dtype)
        self.can_abandon = True
        self.finished: list[Episode] = []  # by the last step
        self._discrete = (
            isinstance(self.spaces.action, DiscreteAction) and self.spaces.action.shape == ()
        )
        self.on_fault: Callable[[EnvironmentFault], None] | None = None
        """Called with a fault after which a new episode begins; None: faults are raised."""
        self.failed: list[int] = []  # environments in which the last step was cut off by a fault
        self._faults_in_a_row: dict[int, int] = {}  # by environment, since its last step
        self._scalar = np.dtype(self.action_space.dtype).type
        self._actions = [
            bytearray() for _ in envs
        ]  # of the current episodes, side by side: an episode may never end
        self._action_row = np.zeros(0)  # which dtype and shape one of them has

    def reset(self) -> Array:
        """Begin an episode in each environment; its observations [E, ...]."""
        return self.restart(range(self.num_envs))

    def restart(self, envs: Sequence[int]) -> Array:
        """Begin the next episode in these, whose last one is closed already; the observations of all [E, ...]."""
        self._ask_resets(envs)
        for env in envs:
            self._actions[env].clear()
            self._begin(env)
        return self.observation.copy()

    def abandon(self, envs: Sequence[int]) -> None:
        """Abandon the current episodes of these environments and begin new ones. Raises `EnvironmentFault`."""
        before, page, actions = (
            self.observation.copy(),
            self.book.position,
            [bytearray(taken) for taken in self._actions],
        )
        try:
            self.book.finish_all(np.array(envs), np.zeros(self.num_envs, bool))
            self.restart(envs)
        except EnvironmentFault:
            self.observation, self._actions = before, actions
            self.book.undo(page)
            raise

    def step(self, action: Array) -> Transition:
        """One step of each, in the environments' own units. Raises `EnvironmentFault`.

        `self.observation` is where the next action is to be chosen, `self.finished` the episodes that this step ended.
        """
        before, book = self.observation, self.book
        page = book.advance(action)
        self.finished, self.failed = [], []
        try:
            successor, reward, terminated, truncated, ended = self._steps(action)
            book.earn(reward)
            self.observation = successor.copy()
            if self._faults_in_a_row:
                self._faults_in_a_row = {env: self._faults_in_a_row[env] for env in self.failed}
            if ended:
                self._restart(ended, terminated)
        except EnvironmentFault as fault:
            self._tell_actions(fault)
            # The state before the fault is what gets saved
            self.observation, self.finished, self.failed = before, [], []
            book.undo(page)
            raise
        self._keep(action)
        for env in ended:
            self._actions[env].clear()
        valid = ~np.isin(np.arange(self.num_envs), self.failed) if self.failed else None
        return Transition(
            before, action, reward.astype(np.float32), successor, terminated, truncated, valid
        )

    def _keep(self, action: Array) -> None:
        rows = np.ascontiguousarray(action)
        self._action_row = rows[0]
        for taken, row in zip(self._actions, rows, strict=True):
            taken += row.tobytes()

    def _taken(self, env: int) -> Array:
        """The actions of the current episode [steps, ...], without that of a step that is being made."""
        row = self._action_row
        return np.frombuffer(bytes(self._actions[env]), row.dtype).reshape(-1, *row.shape)

    def _tell_actions(self, fault: EnvironmentFault) -> None:
        """What led to the fault, the failing step included: its episode can be played again."""
        episode = fault.episode
        if episode is None or episode.env is None:
            return
        if episode.action is None:
            episode.actions = np.empty((0, *self.spaces.action.shape), self.action_space.dtype)
        else:
            last = np.array(episode.action)[None]
            episode.actions = (
                np.concatenate([self._taken(episode.env), last])
                if self._actions[episode.env]
                else last
            )

    def _restart(self, ended: list[int], terminated: Array) -> None:
        self.finished = self.book.finish_all(np.array(ended), terminated)
        if self.failed:  # the failed step does not count
            shorter = [
                each._replace(length=each.length - (each.env in self.failed))
                for each in self.finished
            ]
            self.finished = [
                each._replace(fault=each.env in self.failed) for each in shorter if each.length
            ]
        self._ask_resets(ended)
        for env in ended:
            self._begin(env)

    def _begin(self, env: int) -> None:
        """Reset `env` for its current episode; if that fails and faults are survived, for the next one."""
        while True:
            try:
                self.observation[env] = self._reset(env)
                return
            except EnvironmentFault as fault:
                self._survive(fault, env)
                self.book.finish(env, False)

    def _survive(self, fault: EnvironmentFault, env: int) -> None:
        """Record a fault after which a new episode may begin. Raises it if faults are not survived or there were too many."""
        if self.on_fault is None:
            raise fault
        count = self._faults_in_a_row.get(env, 0) + 1
        if count == MAX_FAULTS:
            assert fault.episode is not None
            raise self.book.fault(
                env, f"{fault.episode.what}; that was the {count}th fault in a row"
            ) from fault.__cause__
        self._faults_in_a_row[env] = count
        self._tell_actions(fault)
        self.on_fault(fault)
        self.revive(env)

    def revive(self, env: int) -> None:
        """Make `env` usable again after a fault. Raises `EnvironmentFault`."""

    def _steps(self, action: Array) -> tuple[Array, Array, Array, Array, list[int]]:
        """One step of each: observations, rewards, terminated, truncated, all checked; and which of them ended."""
        num_envs, shape, dtype = self.num_envs, self._shape, self._seen_dtype
        seen, reward = np.empty((num_envs, *shape), dtype), np.empty(num_envs, np.float64)
        terminated, truncated, ended = np.zeros(num_envs, bool), np.zeros(num_envs, bool), []
        self._ask_steps(action)
        for env in range(num_envs):
            try:
                observed, earned, terminates, truncates, life_lost = self._step(env, action[env])
                if (
                    type(observed) is np.ndarray
                    and observed.dtype == dtype
                    and observed.shape == shape
                ):
                    seen[env] = observed
                else:
                    seen[env] = as_observation(self.book, env, observed, shape, self._dtype)
                reward[env] = as_reward(self.book, env, earned)
                if self.on_fault is not None and self._dtype.kind == "f":
                    self.book.check(
                        env, "observation", as_stored(self.book, env, seen[env], self._dtype)
                    )
            except EnvironmentFault as fault:
                self._survive(fault, env)
                seen[env], reward[env] = self.observation[env], 0
                terminates, truncates, life_lost = False, True, False
                self.failed.append(env)
            if terminates or truncates:
                terminated[env], truncated[env] = terminates, truncates
                ended.append(env)
            elif life_lost:
                terminated[env] = True
        if dtype == self._dtype:
            successor = seen
        else:
            with np.errstate(
                over="ignore"
            ):  # what is too large for the stored dtype is found to be infinite below
                successor = seen.astype(self._dtype)
        if self._dtype.kind == "f" and not all_finite(
            successor
        ):  # once for all: to ask for each would cost as much as its step
            for env in range(num_envs):
                self.book.check(env, "observation", successor[env])
        return successor, reward, terminated, truncated, ended

    def _step(self, env: int, action: Array) -> tuple[Any, Any, bool, bool, bool]:
        self.book.called = env
        try:
            answer: Any = self.envs[env].step(self.given(action))
            if (
                type(answer) is not tuple or len(answer) != 5 or type(answer[4]) is not dict
            ):  # a call would cost more
                answer = step_answer(answer)
            observed, reward, terminated, truncated, info = answer
            if type(terminated) is not bool or type(truncated) is not bool:
                terminated, truncated = (
                    as_flag("terminated", terminated),
                    as_flag("truncated", truncated),
                )
            return (
                observed,
                reward,
                terminated,
                truncated,
                LIFE_LOST in info and bool(info[LIFE_LOST]),
            )
        except BaseException as error:  # also sys.exit(), which would end the program
            if is_interruption(error):
                raise
            raise self._failed(env, "step", error) from error
        finally:
            self.book.called = None

    def _failed(self, env: int, method: str, error: BaseException) -> EnvironmentFault:
        if isinstance(error, WorkerLost):
            return self.book.fault(
                env,
                str(error),
                "look for what ended it, or take on_worker_death restart; the state is saved",
            )
        if (slip := old_interface(method, error)) is not None:
            return self.book.fault(env, *slip.args)
        return self.book.fault(env, f"{method} raised {in_words(error)}", MEND)

    def given(self, action: Array) -> Any:
        """An action with the dtype and shape of `action_space.sample()`; a copy, because an environment may change it."""
        return self._scalar(action) if self._discrete else np.array(action, self.action_space.dtype)

    def _reset(self, env: int) -> Array:
        self.book.begin(env)
        self.book.called = env
        try:
            observation, _ = reset_answer(self.envs[env].reset(seed=self.book.episode_seed(env)))
        except BaseException as error:
            if is_interruption(error):
                raise
            raise self._failed(env, "reset", error) from error
        finally:
            self.book.called = None
        return as_observation(self.book, env, observation, self._shape, self._dtype)

    def _ask_steps(self, action: Array) -> None:
        """Called before the environments are stepped one by one: where they can, they may begin together."""

    def _ask_resets(self, envs: Sequence[int]) -> None:
        """The same for those that are to be reset."""

    def arrays(self) -> dict[str, Array]:
        """What a checkpoint has to hold: where the episodes stand and how they got there."""
        actions = {
            f"actions.{env}": self._taken(env) for env, taken in enumerate(self._actions) if taken
        }
        return {
            **self.book.arrays(),
            "observation": self.observation,
            **actions,
            **saved_statistics(self),
        }

    def restore(self, arrays: dict[str, Array]) -> list[int]:
        """Put fresh environments where the saved ones stood, by replaying the actions of their current episodes.

        Gives the indices of environments that did not come out where they had been: these begin a new episode.
        Raises `ValueError` or `KeyError` for arrays of other environments.
        """
        seen, taken = (
            arrays["observation"],
            {env: arrays.get(f"actions.{env}") for env in range(self.num_envs)},
        )
        self.book.index[:] = arrays["episode.index"].reshape(self.num_envs)
        wrong = [
            env
            for env, actions in taken.items()
            if actions is not None and not self._are_actions(actions)
        ]
        if wrong or seen.shape != self.observation.shape or self.book.index.min() < 0:
            raise ValueError("episodes of other environments were saved")
        restore_statistics(
            self, arrays, frozen=True
        )  # so that normalized observations are the same again
        astray = []
        for env in range(self.num_envs):
            actions = taken[env]
            try:
                self.replay(env, np.empty(0) if actions is None else actions)
                is_where_it_stood = np.array_equal(self.observation[env], seen[env])
            except EnvironmentFault as fault:
                self._survive(fault, env)
                is_where_it_stood = False
            if not is_where_it_stood:
                astray.append(env)
                self.book.finish(env, False)
                self._actions[env].clear()
                self._begin(env)
        restore_statistics(self, arrays)
        return astray

    def _are_actions(self, actions: Array) -> bool:
        return (
            actions.shape[1:] == self.spaces.action.shape
            and actions.dtype.kind in "biuf"
            and all_finite(actions)
        )

    def replay(self, env: int, actions: Array) -> bool:
        """Begin the current episode of `env` again and play these actions, or as many as there are until it ends.

        `self.observation` and the book say where that leads; gives whether the episode has ended. Raises `EnvironmentFault`.
        """
        self._actions[env].clear()
        self.observation[env] = self._reset(env)
        for action in actions:
            self.book.length[env] += 1
            self.book.action = np.broadcast_to(action, (self.num_envs, *np.shape(action)))
            try:
                observed, reward, terminated, truncated, _ = self._step(env, action)
                self.book.total[env] += as_reward(self.book, env, reward)
                self.observation[env] = as_observation(
                    self.book, env, observed, self._shape, self._dtype
                )
            except EnvironmentFault as fault:
                self._tell_actions(fault)
                raise
            self._actions[env] += action.tobytes()
            self._action_row = action
            if terminated or truncated:
                return True
        return False

    def name_of_first(self) -> str | None:
        """The name of the first environment."""
        return name_of_instance(self.envs[0])

    def reseed(self, stream: str) -> None:
        """Let the next episodes be those of another stream of seeds, from its first one on."""
        self.book = EpisodeBook(self.num_envs, self.book.seed, stream)

    def close(self) -> None:
        """Close all environments, even if closing one fails, unless they belong to the user."""
        with contextlib.ExitStack() as stack:
            for env in self.envs if self.owned else ():
                stack.callback(env.close)
