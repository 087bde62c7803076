"""A vector environment, the user's or a native one: its autoreset mode is read, and all three give the same transitions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from footlight.environments.atari import LIFE_LOST
from footlight.environments.episodes import (
    ALL,
    Episode,
    EpisodeBook,
    all_finite,
    as_observation,
    as_rewards,
    as_stored,
    in_words,
)
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
        self.can_abandon = mode == AutoresetMode.DISABLED  # otherwise only all can be reset together
        self.num_envs = env.num_envs
        self.spaces = describe(env.single_observation_space, env.single_action_space)
        self.observation_space, self.action_space = env.single_observation_space, env.single_action_space
        self.book = EpisodeBook(self.num_envs, seed, stream)
        self._shape, self._dtype = self.spaces.observation_shape, np.dtype(self.spaces.observation_dtype)
        self.observation: Array = np.zeros((self.num_envs, *self._shape), self._dtype)
        self.finished: list[Episode] = []
        self._resetting: Array | None = None  # NEXT_STEP: which ended at the last step; None is none
        plain = env.unwrapped  # Gymnasium's interface has one seed for all; these take one for each
        self._seed_for_each = isinstance(plain, SyncVectorEnv | AsyncVectorEnv) or getattr(plain, "takes_seed_for_each", False)

    def reset(self) -> Array:
        """Begin an episode in each environment; its observations [E, ...]."""
        observation, _ = self._called("reset", seed=self._seeds(range(self.num_envs)))
        self._begin(range(self.num_envs))
        self._resetting = None
        self.observation = self._checked(observation)
        return self.observation.copy()

    def restart(self, envs: Sequence[int]) -> Array:
        """Begin the next episode in these, whose last one is closed already; the observations of all [E, ...].

        Only where the vector environment resets those of a mask: Gymnasium's with autoreset DISABLED, and Atari games.
        """
        mask = np.isin(np.arange(self.num_envs), envs)
        observation, _ = self._called("reset", seed=self._seeds(envs), options={"reset_mask": mask})
        self._begin(envs)
        if self._resetting is not None:
            self._resetting &= ~mask
        self.observation = self._checked(observation)
        return self.observation.copy()

    def abandon(self, envs: Sequence[int]) -> None:
        """Leave the current episodes of these unfinished, and begin their next, where `can_abandon`.

        Raises `EnvironmentFault`.
        """
        before, page = self.observation, self.book.position
        try:
            self.book.finish_all(np.array(envs), np.zeros(self.num_envs, bool))
            self.restart(envs)
        except EnvironmentFault:
            self.observation = before
            self.book.undo(page)
            raise

    def step(self, action: Array) -> Transition:
        """One step of each, in the environments' own units. Raises `EnvironmentFault`."""
        before, resetting = self.observation, self._resetting
        valid = None if resetting is None else ~resetting
        page = self.book.advance(action, valid)
        self.finished = []
        try:
            return self._step(action, valid)
        except EnvironmentFault:
            # The state before the fault is what gets saved
            self.observation, self._resetting, self.finished = before, resetting, []
            self.book.undo(page)
            raise

    def _step(self, action: Array, valid: Array | None) -> Transition:
        before = self.observation
        observed, earned, terminated, truncated, info = self._called("step", action)
        terminated, truncated = self._flags(terminated, valid), self._flags(truncated, valid)
        ends = terminated | truncated
        if LIFE_LOST in info:
            terminated = terminated | self._flags(info[LIFE_LOST], valid)
        ended = ends.nonzero()[0]
        same_step = self.mode == AutoresetMode.SAME_STEP
        following = self._checked(observed, skip=ended if same_step else ())
        exact, reward = as_rewards(self.book, earned, valid)
        self.book.earn(exact)
        successor = following.copy()
        self._resetting = None
        if len(ended):
            if same_step:
                if "final_obs" not in info:
                    raise self.book.fault(int(ended[0]), "autoreset is SAME_STEP, and there is no final_obs")
                for env in ended.tolist():
                    successor[env] = as_observation(self.book, env, info["final_obs"][env], self._shape, self._dtype)
            self.finished = self.book.finish_all(ended, terminated)
            self.book.seedless[ended] = True
            if same_step:
                self._checked(observed)  # the first observations of new episodes
            elif self.mode == AutoresetMode.NEXT_STEP:
                self._resetting = ends
            else:
                restarted, _ = self._called("reset", seed=self._seeds(ended.tolist()), options={"reset_mask": ends})
                self._begin(ended.tolist())
                following = self._checked(restarted)
        self.observation = following
        return Transition(before, action, reward, successor, terminated, truncated, valid)

    def _begin(self, envs: Sequence[int]) -> None:
        for env in envs:
            self.book.begin(env)
            self.book.seedless[env] = not self._seed_for_each

    def _seeds(self, envs: Sequence[int]) -> int | list[int | None]:
        if not self._seed_for_each:
            return self.book.common_seed() & 0x7FFFFFFF  # a C++ int behind some, such as ale-py's
        seeds: list[int | None] = [None] * self.num_envs
        for env in envs:
            seeds[env] = self.book.episode_seed(env)
        return seeds

    def _flags(self, flags: Any, valid: Array | None) -> Array:
        """`terminated` or `truncated`, without what is said of a step that only reset."""
        try:
            array = np.array(flags, bool)  # a copy: the environment may reuse its own
        except ValueError as error:
            raise self.book.fault(ALL, f"terminated or truncated is no array: {error}") from error
        if array.shape != (self.num_envs,):
            raise self._misshapen("terminated and truncated", array, (self.num_envs,))
        return array if valid is None else array & valid

    def _called(self, method: str, *given: Any, **named: Any) -> Any:
        """What it gives: five values for a step, two for a reset. Raises `EnvironmentFault`."""
        self.book.called = ALL
        try:
            answer = tuple(getattr(self.env, method)(*given, **named))
            if len(answer) != (wanted := 5 if method == "step" else 2):
                raise ValueError(f"{len(answer)} values were given, wanted are {wanted}")
            return answer
        except Exception as error:
            raise self.book.fault(ALL, f"{method} raised {in_words(error)}") from error
        finally:
            self.book.called = None

    def _checked(self, observation: Any, skip: Sequence[int] | Array = ()) -> Array:
        """Observations in the stored dtype, a copy, checked except those of `skip`."""
        try:
            seen = np.asarray(observation)
        except ValueError as error:
            raise self.book.fault(ALL, f"the observations are no array: {error}") from error
        if seen.shape != (self.num_envs, *self._shape):
            raise self._misshapen("observations", seen, (self.num_envs, *self._shape))
        array = as_stored(self.book, ALL, seen, self._dtype)
        if self._dtype.kind == "f" and not all_finite(array):
            for env in range(self.num_envs):
                if env not in skip:
                    self.book.check(env, "observation", array[env])
        return array

    def _misshapen(self, what: str, array: Array, wanted: tuple[int, ...]) -> EnvironmentFault:
        return self.book.fault(ALL, f"the {what} have shape {array.shape}, it should be {wanted}")

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
