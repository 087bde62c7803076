"""A rollout for the actor and a replay buffer for the critic."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from footlight.buffers.frames import FrameReplay, replay_for
from footlight.buffers.prioritized import (
    Prioritization,
    PrioritizedBatch,
    PrioritizedReplay,
    prioritized,
)
from footlight.buffers.replay import Replay, ReplayPlan, fewest_rows
from footlight.buffers.rollout import Rollout
from footlight.types import (
    Array,
    Decision,
    MixedBatch,
    Observations,
    Part,
    Rewards,
    Spaces,
    Transition,
)


class PrioritizedMixedBatch(NamedTuple):
    """A minibatch that was drawn with unequal probabilities, and the current rollout."""

    # The first eight fields are those of `MixedBatch`
    observation: Observations
    action: Any
    reward: Rewards
    next_observation: Observations
    discount: Any
    rollout_observation: Observations
    rollout_action: Any
    rollout_weight: Any
    relative_probability: Any  # [B], as in `PrioritizedBatch`


class ReplayAndRollout:
    """A replay buffer beside a rollout of `n_steps`.

    Whenever the rollout is full, `draws` minibatches from replay are due, and then the rollout.
    Rollouts of the first `learning_starts` steps are discarded.
    """

    def __init__(
        self, spaces: Spaces, num_envs: int, plan: ReplayPlan, n_steps: int, draws: int,
        prioritization: Prioritization = "none",
    ) -> None:  # fmt: skip
        replay = replay_for(spaces, num_envs, plan, plan.buffer_dir)
        self.replay = prioritized(replay, prioritization)
        self.rollout = Rollout(spaces, num_envs, plan.gamma, n_steps)
        self.draws = draws
        self.unit = replay.unit if isinstance(replay, FrameReplay) else "transitions"
        self.capacity = self.replay.capacity
        self.num_bytes = self.replay.num_bytes + self.rollout.num_bytes
        steps, drawn = self.rollout.batch, self.replay.batch
        fields: tuple[Any, ...] = steps.observation, steps.action, steps.weight
        fields = (*drawn[:5], *fields, *drawn[5:])
        weighted = isinstance(drawn, PrioritizedBatch)
        self.batch: Any = (PrioritizedMixedBatch if weighted else MixedBatch)(*fields)

    @property
    def num_steps(self) -> int:
        """Environment steps taken."""
        return self.replay.num_steps

    def expected_updates(self, steps: int) -> int:
        """Number of updates in `steps` environment steps."""
        learning = max(0, steps - self.replay.settings.learning_starts)
        return self.rollout.expected_updates(learning) * (self.draws + 1)

    def add(self, transition: Transition, decision: Decision) -> None:
        """Store one step of each environment in both buffers."""
        self.replay.add(transition, decision)
        self.rollout.add(transition, decision)

    def due(self, stream: np.random.Generator, final: bool = False) -> Iterator[Part]:
        """Yield the part of `batch` that each update is due on."""
        settings = self.replay.settings
        for _ in self.rollout.due(stream, final):
            too_few = len(self.replay) < fewest_rows(settings)
            if too_few or self.num_steps < settings.learning_starts:
                continue
            for _ in range(self.draws):
                self.replay.draw(stream)
                yield Part.REPLAY
            yield Part.ROLLOUT

    def reprioritize(self, priorities_B: Array) -> None:
        """Set the priorities of the minibatch's rows, if the replay buffer has priorities."""
        if isinstance(self.replay, PrioritizedReplay):
            self.replay.reprioritize(priorities_B)

    def forget_pending(self, envs_E: Array) -> None:
        """Cut the current episodes of the environments in this mask, which begin new ones."""
        self.replay.forget_pending(envs_E)
        self.rollout.forget_pending(envs_E)

    def arrays(self) -> dict[str, Array]:
        """Arrays for a checkpoint."""
        parts: dict[str, Replay | FrameReplay | PrioritizedReplay | Rollout] = {
            "replay": self.replay,
            "rollout": self.rollout,
        }
        return {
            f"{part}.{name}": array
            for part, held in parts.items()
            for name, array in held.arrays().items()
        }

    def spans(self) -> dict[str, tuple[int, int]]:
        """Stable and written rows of each ring array.

        By array: the number of rows that stay unchanged until they are overwritten, and the number
        ever written.
        """
        return {f"replay.{name}": span for name, span in self.replay.spans().items()}

    def counters(self) -> dict[str, int]:
        """Integers for a checkpoint."""
        return {**self.replay.counters(), "filled": self.rollout.counters()["filled"]}

    def restore(self, arrays: dict[str, Array], counters: dict[str, Any]) -> None:
        """Continue from `arrays()` and `counters()`."""
        for part, held in (("replay", self.replay), ("rollout", self.rollout)):
            held.restore(_part(part, arrays), counters)

    def take_over(self, arrays: Mapping[str, Any], counters: Mapping[str, Any]) -> int:
        """Hold the transitions of another buffer's replay; return their number."""
        return self.replay.take_over(_part("replay", arrays), counters)


def _part(part: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays of one of the two parts, by the names that it has for them."""
    start = f"{part}."
    return {n.removeprefix(start): array for n, array in arrays.items() if n.startswith(start)}
