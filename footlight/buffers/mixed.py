"""A rollout for the actor, and replay of everything for the critic."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from footlight.buffers.frames import FrameReplay, replay_for
from footlight.buffers.replay import Replay, ReplayPlan, fewest_rows
from footlight.buffers.rollout import Rollout
from footlight.types import Array, Decision, MixedBatch, Part, Spaces, Transition


class ReplayAndRollout:
    """When a rollout of `n_steps` is full, `draws` minibatches from replay are due, and then the
    rollout.

    Before `learning_starts` steps rollouts are discarded.
    """

    def __init__(
        self, spaces: Spaces, num_envs: int, plan: ReplayPlan, n_steps: int, draws: int
    ) -> None:
        self.replay = replay_for(spaces, num_envs, plan, plan.buffer_dir)
        self.rollout = Rollout(spaces, num_envs, plan.gamma, n_steps)
        self.draws = draws
        self.unit = self.replay.unit if isinstance(self.replay, FrameReplay) else "transitions"
        self.capacity = self.replay.capacity
        self.num_bytes = self.replay.num_bytes + self.rollout.num_bytes
        steps = self.rollout.batch
        self.batch = MixedBatch(*self.replay.batch, steps.observation, steps.action, steps.weight)

    @property
    def num_steps(self) -> int:
        """Environment steps taken."""
        return self.replay.num_steps

    def expected_updates(self, steps: int) -> int:
        """Updates that this many environment steps will bring."""
        learning = max(0, steps - self.replay.settings.learning_starts)
        return self.rollout.expected_updates(learning) * (self.draws + 1)

    def add(self, transition: Transition, decision: Decision) -> None:
        """Keep one step of each environment in both."""
        self.replay.add(transition, decision)
        self.rollout.add(transition, decision)

    def due(self, stream: np.random.Generator, final: bool = False) -> Iterator[Part]:
        """What there is to learn from, in `batch`."""
        for _ in self.rollout.due(stream, final):
            if (
                len(self.replay) < fewest_rows(self.replay.settings)
                or self.num_steps < self.replay.settings.learning_starts
            ):
                continue
            for _ in range(self.draws):
                self.replay.draw(stream)
                yield Part.REPLAY
            yield Part.ROLLOUT

    def forget_pending(self, envs_E: Array) -> None:
        """A new episode begins in the environments of this mask, without an end of the old one."""
        self.replay.forget_pending(envs_E)
        self.rollout.forget_pending(envs_E)

    def arrays(self) -> dict[str, Array]:
        """Everything that a checkpoint has to hold, but for the counters."""
        parts: dict[str, Replay | FrameReplay | Rollout] = {
            "replay": self.replay,
            "rollout": self.rollout,
        }
        return {
            f"{part}.{name}": array
            for part, held in parts.items()
            for name, array in held.arrays().items()
        }

    def spans(self) -> dict[str, tuple[int, int]]:
        """By array, how many rows will stay as they are until they are overwritten, and how many
        were ever written."""
        return {f"replay.{name}": span for name, span in self.replay.spans().items()}

    def counters(self) -> dict[str, int]:
        """The numbers that a checkpoint has to hold."""
        return {**self.replay.counters(), "filled": self.rollout.counters()["filled"]}

    def restore(self, arrays: dict[str, Array], counters: dict[str, Any]) -> None:
        """Continue from `arrays()` and `counters()`."""
        for part, held in (("replay", self.replay), ("rollout", self.rollout)):
            mine = {
                name.removeprefix(f"{part}."): array
                for name, array in arrays.items()
                if name.startswith(f"{part}.")
            }
            held.restore(mine, counters)
