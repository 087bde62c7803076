"""Environments stepped one after the other in this process: the fastest way for one or a few cheap ones.

Every episode starts with a seed derived from the run's seed, the environment's index and the episode's index, and the actions of
the current episode are kept: that is all it takes to put a fresh, deterministic environment where an interrupted one stood.
"""

from typing import Any

import gymnasium
import numpy as np

from footlight.environments.episodes import Episode, EpisodeBook, as_observation, as_reward
from footlight.environments.spaces import describe
from footlight.errors import EnvironmentFault
from footlight.types import Array, DiscreteAction, Transition


class SerialEnvironments:
    """E single environments with their own autoreset."""

    def __init__(self, envs: list[gymnasium.Env[Any, Any]], seed: int, stream: str) -> None:
        self.envs = envs
        self.num_envs = len(envs)
        self.spaces = describe(envs[0].observation_space, envs[0].action_space)
        self.observation_space, self.action_space = envs[0].observation_space, envs[0].action_space
        self.book = EpisodeBook(self.num_envs, seed, stream)
        self._shape, self._dtype = self.spaces.observation_shape, np.dtype(self.spaces.observation_dtype)
        self.observation: Array = np.zeros((self.num_envs, *self._shape), self._dtype)
        self.finished: list[Episode] = []  # by the last step
        self._actions: list[list[Array]] = [[] for _ in envs]

    def reset(self) -> Array:
        """Begin an episode in each environment; its observations [E, ...]."""
        for env in range(self.num_envs):
            self.observation[env] = self._reset(env)
        return self.observation.copy()

    def step(self, action: Array) -> Transition:
        """One step of each, in the environments' own units. Raises `EnvironmentFault`.

        `self.observation` is where the next action is to be chosen, `self.finished` the episodes that this step ended.
        """
        before, successor = self.observation, np.empty_like(self.observation)
        reward = np.empty(self.num_envs, np.float32)
        terminated, truncated = np.zeros(self.num_envs, bool), np.zeros(self.num_envs, bool)
        book, taken = self.book.snapshot(), [(actions, len(actions)) for actions in self._actions]
        self.finished = []
        self.observation = np.empty_like(before)
        try:
            for env in range(self.num_envs):
                observed, earned, terminated[env], truncated[env] = self._step(env, action[env])
                reward[env], successor[env], self.observation[env] = earned, observed, observed
                if terminated[env] or truncated[env]:
                    self.finished.append(self.book.finish(env, bool(terminated[env])))
                    self.observation[env] = self._reset(env)
        except EnvironmentFault:
            # The state before the fault is what gets saved
            self.observation, self.finished = before, []
            self.book.restore(book)
            self._actions = [actions[:count] for actions, count in taken]
            raise
        return Transition(before, action, reward, successor, terminated, truncated)

    def _step(self, env: int, action: Array) -> tuple[Array, float, bool, bool]:
        discrete = isinstance(self.spaces.action, DiscreteAction) and self.spaces.action.shape == ()
        self.book.length[env] += 1
        try:  # a copy: the environment may change what it is given
            observed, reward, terminated, truncated, _ = self.envs[env].step(int(action) if discrete else np.array(action))
        except Exception as error:
            shown = np.array2string(np.asarray(action), threshold=8, precision=6)
            what = f"step({shown}) raised {type(error).__name__}: {error}"
            raise self.book.fault(env, what, "mend the environment; the state is saved") from error
        observed = as_observation(self.book, env, observed, self._shape, self._dtype)
        reward = as_reward(self.book, env, reward)
        self.book.total[env] += reward
        self._actions[env].append(np.array(action))
        return observed, reward, bool(terminated), bool(truncated)

    def _reset(self, env: int) -> Array:
        self._actions[env] = []
        self.book.begin(env)
        try:
            observation, _ = self.envs[env].reset(seed=self.book.episode_seed(env))
        except Exception as error:
            what = f"reset raised {type(error).__name__}: {error}"
            raise self.book.fault(env, what, "mend the environment; the state is saved") from error
        return as_observation(self.book, env, observation, self._shape, self._dtype)

    def arrays(self) -> dict[str, Array]:
        """What a checkpoint has to hold: where the episodes stand and how they got there."""
        actions = {f"actions.{env}": np.array(taken) for env, taken in enumerate(self._actions) if taken}
        return {**self.book.arrays(), "observation": self.observation, **actions}

    def restore(self, arrays: dict[str, Array]) -> list[int]:
        """Put fresh environments where the saved ones stood, by replaying the actions of their current episodes.

        Gives the indices of environments that did not come out where they had been: these begin a new episode.
        """
        self.book.index[:] = arrays["episode.index"]
        astray = []
        for env in range(self.num_envs):
            taken = arrays.get(f"actions.{env}", np.empty(0))
            observation = self._reset(env)
            for action in taken:
                observation, _, terminated, truncated = self._step(env, action)
                if terminated or truncated:
                    break
            if not np.array_equal(observation, arrays["observation"][env]):
                astray.append(env)
                self.book.finish(env, False)
                observation = self._reset(env)
            self.observation[env] = observation
        return astray

    def reseed(self, stream: str) -> None:
        """Let the next episodes be those of another stream of seeds, from its first one on."""
        self.book = EpisodeBook(self.num_envs, self.book.seed, stream)

    def close(self) -> None:
        """Close all environments."""
        for env in self.envs:
            env.close()
