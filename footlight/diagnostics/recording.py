"""The first steps of an evaluation, kept for a diagnosis."""

from typing import Any, NamedTuple

import numpy as np

from footlight.types import Array, Transition

MAX_STEPS = 1_000  # of each environment
MAX_BYTES = 1 << 25  # of all observations together: a few hundred steps of images


class Steps(NamedTuple):
    """T steps of each of E environments."""

    observation: Array  # [T, E, ...]
    action: Array  # [T, E, ...], in the environment's units
    reward: Array  # [T, E], raw
    next_observation: Array
    terminated: Array  # [T, E] bool
    truncated: Array
    valid: Array  # [T, E] bool


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
                self._room = min(MAX_STEPS, max(1, MAX_BYTES // step_bytes))
            self._transitions.append(transition)
            self._room -= 1

    def __len__(self) -> int:
        return len(self._transitions)

    def stacked(self) -> Steps:
        """The transitions as arrays."""
        steps = self._transitions
        all_valid = np.ones(len(steps[0].reward), bool)
        valid = [all_valid if step.valid is None else step.valid for step in steps]
        columns: list[Any] = list(zip(*(step[:6] for step in steps), strict=True))
        return Steps._make(np.stack(column) for column in [*columns, valid])

    def starts(self) -> list[Array]:
        """The first observations of all episodes that began in the recorded steps."""
        found, begins = [], None
        for step in self._transitions:
            num_envs = len(step.reward)
            begins = np.ones(num_envs, bool) if begins is None else begins
            found += [step.observation[env] for env in np.flatnonzero(begins)]
            begins = step.terminated | step.truncated
        return found
