"""The first steps of an evaluation, kept for a diagnosis."""

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from footlight.types import Array, Transition

MAX_STEPS = 1_000  # of all environments together
MAX_BYTES = 1 << 25  # of all observations together: a few hundred steps of images

Place = tuple[int, int]
"""A step, and an environment."""


class Recording:
    """Keeps the first transitions of an evaluation, as they are.

    `Environments` return new arrays at every step, so keeping them copies nothing.
    """

    def __init__(self) -> None:
        self._transitions: list[Transition] = []
        self._room = 1

    def __call__(self, transition: Transition) -> None:
        """Take one step of each environment, unless enough have been taken."""
        if self._room:
            if not self._transitions:
                step_bytes = 2 * max(transition.observation.nbytes, 1)
                most = min(MAX_STEPS // len(transition.reward), MAX_BYTES // step_bytes)
                self._room = max(1, most)
            self._transitions.append(transition)
            self._room -= 1

    def __len__(self) -> int:
        return len(self._transitions)

    @cached_property
    def reward_TE(self) -> Array:
        """Raw rewards."""
        return np.array([step.reward for step in self._transitions], np.float64)

    @cached_property
    def terminated_TE(self) -> Array:
        """Whether the task ended with a step."""
        return np.array([step.terminated for step in self._transitions])

    @cached_property
    def truncated_TE(self) -> Array:
        """Whether the episode was cut off after a step."""
        return np.array([step.truncated for step in self._transitions])

    @cached_property
    def valid_TE(self) -> Array:
        """False for the resets of vector environments."""
        steps = self._transitions
        if all(step.valid is None for step in steps):
            return np.ones((len(steps), len(steps[0].reward)), bool)
        all_valid = np.ones(len(steps[0].reward), bool)
        return np.array([all_valid if step.valid is None else step.valid for step in steps])

    def actions(self, places: Iterable[Place]) -> Array:
        """The actions taken there, in the environment's units, [n, ...]."""
        return np.array([self._transitions[step].action[env] for step, env in places])

    def observations(self, places: Iterable[Place]) -> Array:
        """The observations there, [n, ...]."""
        return np.array([self._transitions[step].observation[env] for step, env in places])

    def successors(self, places: Iterable[Place]) -> Array:
        """The observations after these steps, [n, ...]."""
        return np.array([self._transitions[step].next_observation[env] for step, env in places])
