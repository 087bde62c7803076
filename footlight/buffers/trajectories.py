"""Rollouts with the behavior of the policy that acted, learned from in whole sequences."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from footlight.buffers.memory import fill
from footlight.buffers.rollout import Rollout
from footlight.config.fields import closest_divisor
from footlight.errors import UserError
from footlight.types import Array, Decision, Observations, Rewards, Spaces, Transition, WholeRollout

BEHAVIOR = "behavior"
"""The name among the extras of a decision."""


class TrajectoryBatch(NamedTuple):
    """T consecutive steps of E environments, and what the policy that took them put out."""

    # The first seven fields are those of `RolloutBatch`
    observation: Observations
    action: Any
    reward: Rewards
    next_observation: Observations
    discount: Any
    continues: Any
    weight: Any
    rows: Any  # [T * M] int64, rows of M environments among all T * E, step by step
    behavior: Any  # [T, E, H], the network's outputs that the action was drawn from


class Sequences(NamedTuple):
    """A minibatch of whole sequences is due."""

    is_linked: bool  # every successor whose value is used is the observation of the next row


class Trajectories:
    """Rollout of `n_steps` steps of each environment, with `Decision.extras["behavior"]`.

    A full rollout is due in minibatches for `num_epochs` epochs. Each epoch divides the
    environments into `num_minibatches` groups at random; a minibatch is all steps of its group.

    num_outputs: H, of the behavior. tell_linked: whether to determine if a rollout is linked, see
    `Sequences`.

    Raises `UserError` if `num_minibatches` does not divide the environments.
    """

    max_lag = 1  # the behavior is stored with each step

    def __init__(
        self, spaces: Spaces, num_envs: int, gamma: float, n_steps: int, num_outputs: int,
        num_epochs: int = 1, num_minibatches: int = 1, tell_linked: bool = False,
    ) -> None:  # fmt: skip
        if num_envs % num_minibatches:
            raise UserError(
                f"num_minibatches {num_minibatches} does not divide num_envs {num_envs} - a "
                "minibatch is the rollout of some of the environments, equally many in each - try "
                f"{closest_divisor(num_envs, num_minibatches)}"
            )
        self.num_epochs, self.num_minibatches = num_epochs, num_minibatches
        self._rollout = Rollout(spaces, num_envs, gamma, n_steps, tell_linked=tell_linked)
        self._row_of = np.arange(n_steps * num_envs).reshape(n_steps, num_envs)
        self.capacity = self._rollout.capacity
        self.batch = TrajectoryBatch(
            *self._rollout.batch[:-1],
            rows=np.zeros(self.capacity // num_minibatches, np.int64),
            behavior=np.zeros((n_steps, num_envs, num_outputs), np.float32),
        )
        self.num_bytes = self._rollout.num_bytes + self.batch.behavior.nbytes

    @property
    def num_steps(self) -> int:
        """Environment steps taken."""
        return self._rollout.num_steps

    @property
    def chunk_steps(self) -> int:
        """A rollout: see `collection.chunks.Chunked`."""
        return self._rollout.n_steps

    def expected_updates(self, steps: int) -> int:
        """Number of updates in `steps` environment steps."""
        per_rollout = self.num_epochs * self.num_minibatches
        return self._rollout.expected_updates(steps) * per_rollout

    def add(self, transition: Transition, decision: Decision) -> None:
        """Store one step of each environment. Raises `UserError` for a decision without its
        behavior."""
        if BEHAVIOR not in decision.extras:
            raise UserError(
                "the action is not one that act() returned - its probability under the policy "
                "that took it is unknown, and learned from - call act() before each observe()"
            )
        self.batch.behavior[self._rollout.num_filled] = decision.extras[BEHAVIOR]
        self._rollout.add(transition, decision)

    def due(self, stream: np.random.Generator, final: bool = False) -> Iterator[Sequences]:
        """Yield once for each minibatch of a full rollout, which `rows` of `batch` name.

        `final`, at the end of a run, also accepts an incomplete rollout.
        """
        for rollout in self._rollout.due(stream, final):
            assert isinstance(rollout, WholeRollout)
            has_step = self.batch.weight.any(0)
            num_envs = len(has_step)
            size = num_envs // self.num_minibatches
            for _ in range(self.num_epochs):
                shuffled = stream.permutation(num_envs)
                # Environments without any transition come last
                order = shuffled[np.argsort(~has_step[shuffled], kind="stable")]
                for start in range(0, int(has_step.sum()), size):
                    self.batch.rows[:] = self._row_of[:, order[start : start + size]].ravel()
                    yield Sequences(is_linked=rollout.is_linked)

    def forget_pending(self, envs_E: Array) -> None:
        """Cut the current episodes of the environments in this mask, which begin new ones."""
        self._rollout.forget_pending(envs_E)

    def arrays(self) -> dict[str, Array]:
        """Arrays for a checkpoint."""
        return self.batch._asdict()

    def counters(self) -> dict[str, int]:
        """Integers for a checkpoint."""
        return self._rollout.counters()

    def restore(self, arrays: dict[str, Array], counters: dict[str, Any]) -> None:
        """Continue from `arrays()` and `counters()`."""
        self._rollout.restore({**arrays, "rows": self._rollout.batch.rows}, counters)
        fill(self.batch.rows, arrays["rows"])
        fill(self.batch.behavior, arrays["behavior"])
