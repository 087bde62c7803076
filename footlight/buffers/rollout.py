"""Rollouts: the last steps of every environment, in order, learned from once (or a few times) and thrown away."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from footlight.buffers.memory import fill, require_bytes
from footlight.config.fields import closest_divisor
from footlight.errors import UserError
from footlight.types import (
    Array,
    Decision,
    Minibatch,
    RolloutBatch,
    Spaces,
    Transition,
    WholeRollout,
)


class Rollout:
    """`n_steps` consecutive steps of each environment: due as a whole when full.

    With `minibatch_size` each rollout is due `num_epochs` times over, in minibatches of that many of its rows, drawn anew for
    each epoch, and numbered within the rollout. Without, `tell_linked` finds out whether it is linked (see `WholeRollout`).
    """

    def __init__(
        self, spaces: Spaces, num_envs: int, gamma: float, n_steps: int, num_epochs: int = 1,
        minibatch_size: int | None = None, tell_linked: bool = False,
    ) -> None:  # fmt: skip
        size = n_steps * num_envs
        if minibatch_size is not None and size % minibatch_size:
            raise UserError(
                f"minibatch_size {minibatch_size} does not divide the rollout of {size} steps (n_steps {n_steps} x num_envs "
                f"{num_envs}) - every step has to be in one minibatch of an epoch - try {closest_divisor(size, minibatch_size)}"
            )
        self.gamma, self.n_steps, self.num_envs, self.num_epochs = (
            gamma,
            n_steps,
            num_envs,
            num_epochs,
        )
        self._tell_linked = tell_linked
        self.capacity = size
        self.num_bytes = size * _row_bytes(spaces)
        require_bytes(self.num_bytes, size, _row_bytes(spaces), "n_steps x num_envs")
        lead = (n_steps, num_envs)
        dtype = np.dtype(spaces.observation_dtype)
        self.batch = RolloutBatch(
            observation=np.zeros((*lead, *spaces.observation_shape), dtype),
            action=np.zeros((*lead, spaces.action.size), spaces.action.stored_dtype),
            reward=np.zeros(lead, np.float32),
            next_observation=np.zeros((*lead, *spaces.observation_shape), dtype),
            discount=np.zeros(lead, np.float32),
            continues=np.zeros(lead, np.float32),
            weight=np.zeros(lead, np.float32),
            rows=np.zeros(minibatch_size or 0, np.int64),
        )
        self.num_steps = 0  # environment steps taken
        self._filled = 0  # rows of the rollout that are filled

    @property
    def updates_per_rollout(self) -> int:
        """Batches that one full rollout is due as."""
        rows = len(self.batch.rows)
        return self.num_epochs * (self.capacity // rows) if rows else 1

    def expected_updates(self, steps: int) -> int:
        """Updates that this many environment steps will bring."""
        return -(-steps // self.capacity) * self.updates_per_rollout

    def add(self, transition: Transition, decision: Decision) -> None:
        """Keep one step of each environment."""
        batch, row, valid = self.batch, self._filled, transition.valid
        batch.observation[row] = transition.observation
        batch.action[row] = decision.action
        batch.reward[row] = transition.reward
        batch.next_observation[row] = transition.next_observation
        np.multiply(self.gamma, ~transition.terminated, out=batch.discount[row])
        np.logical_not(
            transition.terminated | transition.truncated, out=batch.continues[row], casting="unsafe"
        )
        batch.weight[row] = 1 if valid is None else valid
        if valid is not None and row:  # nothing follows a step whose next row is none
            batch.continues[row - 1] *= valid
        self.num_steps += self.num_envs if valid is None else int(valid.sum())
        self._filled += 1

    def due(
        self, stream: np.random.Generator, final: bool = False
    ) -> Iterator[Minibatch | WholeRollout]:
        """The rollout, as `batch` in reused memory, once it is full; `final` asks for what there is of it."""
        if self._filled < self.n_steps and not (final and self._filled):
            return
        self.batch.weight[self._filled :] = 0
        if self._filled < self.n_steps:
            self.batch.continues[self._filled - 1] = 0
        self._filled = 0
        if not self.batch.weight.any():
            return
        size = len(self.batch.rows)
        if not size:
            yield WholeRollout(is_linked=self._tell_linked and self._is_linked())
            return
        is_step = self.batch.weight.flatten() > 0
        count = -(-int(is_step.sum()) // size)  # minibatches that have a step in them
        for epoch in range(self.num_epochs):
            order = stream.permutation(self.capacity)
            order = order[
                np.argsort(~is_step[order], kind="stable")
            ]  # rows that are no transitions come last
            for index in range(count):
                self.batch.rows[:] = order[index * size : (index + 1) * size]
                yield Minibatch(epoch * count + index)

    def _is_linked(self) -> bool:
        """Whether no step but those of the last row counts a successor that is not the next row's observation."""
        batch = self.batch
        elsewhere = (batch.continues == 0) & (batch.discount > 0) & (batch.weight > 0)
        return not elsewhere[:-1].any()

    def forget_pending(self, envs_E: Array) -> None:
        """A new episode begins in the environments of this mask, without an end of the old one: cut the sums there."""
        if self._filled:
            self.batch.continues[self._filled - 1, envs_E] = 0

    def arrays(self) -> dict[str, Array]:
        """Everything that a checkpoint has to hold, but for the counters."""
        return self.batch._asdict()

    def counters(self) -> dict[str, int]:
        """The numbers that a checkpoint has to hold."""
        return {"num_steps": self.num_steps, "filled": self._filled}

    def restore(self, arrays: dict[str, Array], counters: dict[str, Any]) -> None:
        """Go on from `arrays()` and `counters()`."""
        self.num_steps, self._filled = int(counters["num_steps"]), int(counters["filled"])
        for name, array in self.batch._asdict().items():
            fill(array, arrays[name])


def _row_bytes(spaces: Spaces) -> int:
    observation = (
        int(np.prod(spaces.observation_shape)) * np.dtype(spaces.observation_dtype).itemsize
    )
    return 2 * observation + spaces.action.size * spaces.action.stored_dtype.itemsize + 4 * 4
