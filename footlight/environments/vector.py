"""A vector environment of the user's: its autoreset mode is read, and all three give the same transitions."""

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from footlight.environments.episodes import Episode, EpisodeBook, as_observation
from footlight.environments.spaces import describe
from footlight.errors import EnvironmentFault, UserError
from footlight.types import Array, Transition


class VectorEnvironments:
    """E environments that step together.

    Under NEXT_STEP the step after an end only resets: its row is no transition (`Transition.valid`). Under SAME_STEP the true
    successor is in `info["final_obs"]`. Under DISABLED the ended environments are reset here, from derived seeds.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], seed: int, stream: str) -> None:
        mode = env.metadata.get("autoreset_mode")
        if not isinstance(mode, AutoresetMode):
            raise UserError(
                f"the vector environment's metadata['autoreset_mode'] is {mode!r} - it must be a gymnasium.vector."
                "AutoresetMode - otherwise the last transition of an episode cannot be told from the first of the next"
            )
        self.env, self.mode = env, mode
        self.num_envs = env.num_envs
        self.spaces = describe(env.single_observation_space, env.single_action_space)
        self.observation_space, self.action_space = env.single_observation_space, env.single_action_space
        self.book = EpisodeBook(self.num_envs, seed, stream)
        self._shape, self._dtype = self.spaces.observation_shape, np.dtype(self.spaces.observation_dtype)
        self.observation: Array = np.zeros((self.num_envs, *self._shape), self._dtype)
        self.finished: list[Episode] = []
        self._resetting = np.zeros(self.num_envs, bool)  # NEXT_STEP: ended at the last step

    def reset(self) -> Array:
        """Begin an episode in each environment; its observations [E, ...]."""
        seeds = [self.book.episode_seed(env) for env in range(self.num_envs)]
        observation, _ = self._called("reset", seed=seeds)
        for env in range(self.num_envs):
            self.book.begin(env)
        self._resetting[:] = False
        self.observation = self._checked(observation)
        return self.observation.copy()

    def step(self, action: Array) -> Transition:
        """One step of each, in the environments' own units. Raises `EnvironmentFault`."""
        before = self.observation
        observed, reward, terminated, truncated, info = self._called("step", action)
        reward = np.asarray(reward, np.float64)
        valid = ~self._resetting
        terminated, truncated = np.asarray(terminated, bool) & valid, np.asarray(truncated, bool) & valid
        ended = terminated | truncated
        self.book.length[valid] += 1
        following = self._checked(observed, skip=ended if self.mode == AutoresetMode.SAME_STEP else None)
        for env in np.flatnonzero(~np.isfinite(reward) & valid):
            self.book.check(int(env), "reward", reward[env])
        self.book.total[valid] += reward[valid]
        successor = following.copy()
        if self.mode == AutoresetMode.SAME_STEP:
            for env in np.flatnonzero(ended):
                final = info["final_obs"][env]
                successor[env] = as_observation(self.book, int(env), final, self._shape, self._dtype)
        self.finished = [self.book.finish(int(env), bool(terminated[env])) for env in np.flatnonzero(ended)]
        if self.mode == AutoresetMode.SAME_STEP and ended.any():
            self._checked(observed)  # the first observations of new episodes
        if self.mode == AutoresetMode.DISABLED and ended.any():
            seeds = [self.book.episode_seed(env) if ended[env] else None for env in range(self.num_envs)]
            restarted, _ = self._called("reset", seed=seeds, options={"reset_mask": ended})
            following = self._checked(restarted)
        self._resetting = ended if self.mode == AutoresetMode.NEXT_STEP else np.zeros(self.num_envs, bool)
        self.observation = following
        mask = None if valid.all() else valid
        return Transition(before, action, reward.astype(np.float32), successor, terminated, truncated, mask)

    def _called(self, method: str, *given: Any, **named: Any) -> Any:
        try:
            return getattr(self.env, method)(*given, **named)
        except Exception as error:
            steps = ", ".join(f"{env}: {length}" for env, length in enumerate(self.book.length[:8]))
            raise EnvironmentFault(
                f"the vector environment's {method} raised {type(error).__name__}: {error} - "
                f"steps into the episodes: {steps} - mend the environment; the state is saved"
            ) from error

    def _checked(self, observation: Any, skip: Array | None = None) -> Array:
        array = np.asarray(observation)
        if array.shape != (self.num_envs, *self._shape):
            wanted = (self.num_envs, *self._shape)
            raise self.book.fault(0, f"the observations have shape {array.shape}, their space says {wanted}", "mend it")
        array = array.astype(self._dtype)
        if self._dtype.kind == "f" and not np.isfinite(array).all():
            for env in range(self.num_envs):
                if skip is None or not skip[env]:
                    self.book.check(env, "observation", array[env])
        return array

    def arrays(self) -> dict[str, Array]:
        """What a checkpoint has to hold. A vector environment's own state cannot be asked for."""
        return {**self.book.arrays(), "observation": self.observation}

    def restore(self, arrays: dict[str, Array]) -> list[int]:
        """Begin new episodes: where the old ones stood is not known. Gives the indices of all environments."""
        self.book.index[:] = arrays["episode.index"] + 1
        self.reset()
        return list(range(self.num_envs))

    def reseed(self, stream: str) -> None:
        """Let the next episodes be those of another stream of seeds, from its first one on."""
        self.book = EpisodeBook(self.num_envs, self.book.seed, stream)

    def close(self) -> None:
        """Close the environment."""
        self.env.close()
