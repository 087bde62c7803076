"""Rollout buffer of consecutive steps, used for one or a few epochs and then discarded."""

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
    """Rollout of `n_steps` consecutive steps of each environment, due when it is full.

    minibatch_size: rows per minibatch. A full rollout is then due in minibatches, for `num_epochs`
    epochs, each in a new random order. None: it is due once, as a whole.
    tell_linked: whether to determine if a whole rollout is linked, see `WholeRollout`.

    Raises `UserError` if `minibatch_size` does not divide the rollout.
    """

    max_lag = 0

    def __init__(
        self, spaces: Spaces, num_envs: int, gamma: float, n_steps: int, num_epochs: int = 1,
        minibatch_size: int | None = None, tell_linked: bool = False,
    ) -> None:  # fmt: skip
        size = n_steps * num_envs
        if minibatch_size is not None and size % minibatch_size:
            raise UserError(
                f"minibatch_size {minibatch_size} does not divide the rollout of {size} steps "
                f"(n_steps {n_steps} x num_envs {num_envs}) - every step has to be in one "
                f"minibatch of an epoch - try {closest_divisor(size, minibatch_size)}"
            )
        self.gamma = gamma
        self.n_steps, self.num_envs, self.num_epochs = n_steps, num_envs, num_epochs
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
        self.num_filled = 0  # steps [of T] that are filled

    @property
    def updates_per_rollout(self) -> int:
        """Number of updates on one full rollout."""
        rows = len(self.batch.rows)
        return self.num_epochs * (self.capacity // rows) if rows else 1

    @property
    def chunk_steps(self) -> int:
        """Up to the next update: see `collection.chunks.Chunked`."""
        return self.n_steps - self.num_filled

    def expected_updates(self, steps: int) -> int:
        """Number of updates in `steps` environment steps."""
        return -(-steps // self.capacity) * self.updates_per_rollout

    def add(self, transition: Transition, decision: Decision) -> None:
        """Store one step of each environment."""
        batch, row, valid = self.batch, self.num_filled, transition.valid
        batch.observation[row] = transition.observation
        batch.action[row] = decision.action
        batch.reward[row] = transition.reward
        batch.next_observation[row] = transition.next_observation
        ended = transition.terminated | transition.truncated
        if np.count_nonzero(ended):
            # 0 after a termination only, so that targets bootstrap at a time limit
            batch.discount[row] = self.gamma * ~transition.terminated
            batch.continues[row] = ~ended
        else:  # mostly, and in half of the time
            batch.discount[row], batch.continues[row] = self.gamma, 1
        batch.weight[row] = 1 if valid is None else valid
        if valid is not None and row:  # no row continues into one that is not a transition
            batch.continues[row - 1] *= valid
        self.num_steps += self.num_envs if valid is None else int(valid.sum())
        self.num_filled += 1

    def due(
        self, stream: np.random.Generator, final: bool = False
    ) -> Iterator[Minibatch | WholeRollout]:
        """Yield the rollout once it is full, whole or in minibatches.

        It is in `batch`, whose memory is reused by the next rollout. `final`, at the end of a run,
        also accepts an incomplete one.
        """
        if self.num_filled < self.n_steps and not (final and self.num_filled):
            return
        self.batch.weight[self.num_filled :] = 0
        if self.num_filled < self.n_steps:
            self.batch.continues[self.num_filled - 1] = 0
        self.num_filled = 0
        if not self.batch.weight.any():
            return
        size = len(self.batch.rows)
        if not size:
            yield WholeRollout(is_linked=self._tell_linked and self._is_linked())
            return
        is_step = self.batch.weight.flatten() > 0
        count = -(-int(is_step.sum()) // size)  # minibatches that contain a transition
        for epoch in range(self.num_epochs):
            shuffled = stream.permutation(self.capacity)
            # Rows that are not transitions come last
            order = shuffled[np.argsort(~is_step[shuffled], kind="stable")]
            for index in range(count):
                self.batch.rows[:] = order[index * size : (index + 1) * size]
                yield Minibatch(epoch * count + index)

    def _is_linked(self) -> bool:
        """Whether every successor whose value counts is the next row's observation.

        The last row has no next one and is ignored.
        """
        batch = self.batch
        is_truncated = (batch.continues == 0) & (batch.discount > 0) & (batch.weight > 0)
        return not is_truncated[:-1].any()

    def forget_pending(self, envs_E: Array) -> None:
        """Cut the current episodes of the environments in this mask, which begin new ones.

        Sums over several steps stop there.
        """
        if self.num_filled:
            self.batch.continues[self.num_filled - 1, envs_E] = 0

    def arrays(self) -> dict[str, Array]:
        """Arrays for a checkpoint."""
        return self.batch._asdict()

    def counters(self) -> dict[str, int]:
        """Integers for a checkpoint."""
        return {"num_steps": self.num_steps, "filled": self.num_filled}

    def restore(self, arrays: dict[str, Array], counters: dict[str, Any]) -> None:
        """Continue from `arrays()` and `counters()`."""
        self.num_steps, self.num_filled = int(counters["num_steps"]), int(counters["filled"])
        for name, array in self.batch._asdict().items():
            fill(array, arrays[name])


def _row_bytes(spaces: Spaces) -> int:
    itemsize = np.dtype(spaces.observation_dtype).itemsize
    observation = int(np.prod(spaces.observation_shape)) * itemsize
    action = spaces.action.size * spaces.action.stored_dtype.itemsize
    return 2 * observation + action + 4 * 4  # and four numbers of float32
