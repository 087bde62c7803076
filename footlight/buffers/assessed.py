"""Replay whose updates wait while the current policy is assessed, and come in a block after it
(Fujimoto et al. 2023, arXiv:2306.02451, section 4.2 and appendix F)."""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Protocol

import numpy as np

from footlight.buffers.frames import FrameReplay
from footlight.buffers.memory import fill
from footlight.buffers.prioritized import PrioritizedReplay
from footlight.buffers.replay import Replay, ReplaySettings, expected_draws, fewest_rows
from footlight.types import Array, Decision, Minibatch, Transition


class Occasion(Enum):
    """What is due besides updates on minibatches."""

    COPY = "copy"
    """`copy_interval` updates were made since the last copy."""
    CHECKPOINT = "checkpoint"
    """The current policy was assessed, and is as good as the best one so far."""


class AssessedSettings(ReplaySettings, Protocol):
    """The fields of an algorithm's config that concern assessments, too."""

    @property
    def use_checkpoints(self) -> bool: ...
    @property
    def early_episodes(self) -> int: ...
    @property
    def late_episodes(self) -> int: ...
    @property
    def late_phase_starts(self) -> int: ...
    @property
    def late_phase_factor(self) -> float: ...
    @property
    def copy_interval(self) -> int: ...


class Assessment:
    """The returns of the current policy's episodes, of all environments together.

    Only episodes count that began after the last update, so that one policy has acted in them
    throughout. Those that run on through updates are stale until they end.
    """

    def __init__(self, num_envs: int) -> None:
        self.total_E = np.zeros(num_envs)  # rewards of the current episodes so far
        self.is_running_E = np.zeros(num_envs, bool)
        self.is_stale_E = np.zeros(num_envs, bool)
        self.num_episodes = 0
        self.smallest = np.inf  # return of these episodes
        self.best = -np.inf  # smallest return in the assessment of the checkpoint

    def add(self, transition: Transition) -> bool:
        """Count one step of each environment; return whether an episode has ended."""
        ended_E = transition.terminated | transition.truncated
        is_running_E = ~ended_E
        self.total_E += transition.reward
        if transition.valid is not None:
            ended_E, is_running_E = ended_E & transition.valid, is_running_E & transition.valid
            self.total_E[~transition.valid] = 0
        self.is_running_E = is_running_E
        if not ended_E.any():
            return False
        counted_E = ended_E & ~self.is_stale_E
        self.num_episodes += int(counted_E.sum())
        self.smallest = min(self.smallest, self.total_E[counted_E].min(initial=np.inf))
        self.forget(ended_E)
        return True

    def forget(self, envs_E: Array) -> None:
        """New episodes begin in the environments of this mask."""
        self.total_E[envs_E] = 0
        self.is_running_E = self.is_running_E & ~envs_E
        self.is_stale_E = self.is_stale_E & ~envs_E

    def passes(self, num_episodes: int) -> bool | None:
        """Whether the policy is as good as the best one, whose smallest return is then its own;
        None as long as that is open.

        It is worse as soon as one of its episodes has a smaller return than all of the best one's.
        """
        if self.smallest < self.best:
            return False
        if self.num_episodes < num_episodes:
            return None
        self.best = self.smallest
        return True

    def restart(self) -> None:
        """The policy changes: begin again, with the episodes that begin from here on."""
        self.is_stale_E = self.is_running_E.copy()
        self.num_episodes, self.smallest = 0, np.inf

    def arrays(self) -> dict[str, Array]:
        """Arrays for a checkpoint."""
        return {
            "total": self.total_E, "is_running": self.is_running_E, "is_stale": self.is_stale_E,
            "limits": np.array([self.smallest, self.best]),
        }  # fmt: skip

    def restore(self, arrays: Mapping[str, Array], num_episodes: int) -> None:
        """Continue from `arrays()` and `num_episodes`."""
        for name in ("total", "is_running", "is_stale"):
            fill(getattr(self, f"{name}_E"), arrays[name])
        self.num_episodes = num_episodes
        self.smallest, self.best = (float(each) for each in arrays["limits"].reshape(2))


class AssessedReplay:
    """A replay buffer, with an assessment that decides when its minibatches are due.

    An assessment runs a number of episodes without any update. After it, as many minibatches are
    due as steps were taken since the last ones (times `updates_per_step`). The first one begins
    with the first end of an episode after `learning_starts`. Without `use_checkpoints` there are no
    assessments, and updates follow every step.
    """

    def __init__(
        self, replay: Replay | FrameReplay | PrioritizedReplay, num_envs: int,
        settings: AssessedSettings,
    ) -> None:  # fmt: skip
        self.replay, self.settings, self.assessment = replay, settings, Assessment(num_envs)
        self.sums_rewards, self.batch = replay.sums_rewards, replay.batch
        self.unit = "transitions" if isinstance(replay, Replay) else replay.unit
        self.capacity, self.num_bytes = replay.capacity, replay.num_bytes
        # Environment steps before the first assessment; -1: it has not begun
        self._first = -1 if settings.use_checkpoints else settings.learning_starts
        self._released = 0  # environment steps after `_first` whose updates are due

    def __len__(self) -> int:
        return len(self.replay)

    @property
    def num_steps(self) -> int:
        """Environment steps taken."""
        return self.replay.num_steps

    @property
    def num_drawn(self) -> int:
        """Minibatches ever drawn."""
        return self.replay.num_drawn

    def expected_updates(self, steps: int) -> int:
        """Number of updates in `steps` environment steps, of which some may still wait."""
        return expected_draws(self.settings, steps)

    def add(self, transition: Transition, decision: Decision) -> None:
        """Store one step of each environment, and count its rewards."""
        self.replay.add(transition, decision)
        if not self.settings.use_checkpoints:
            return
        has_ended = self.assessment.add(transition)
        if self._first < 0 and has_ended and self.num_steps >= self.settings.learning_starts:
            self._first = self.num_steps
            self.assessment.restart()

    def due(
        self, stream: np.random.Generator, final: bool = False
    ) -> Iterator[Minibatch | Occasion]:
        """Yield `CHECKPOINT` after a passed assessment, then draw the minibatches that are due,
        with `COPY` after every `copy_interval`th one."""
        if not self.settings.use_checkpoints:
            self._released = self.num_steps - self._first
        elif self._first >= 0 and (passes := self._passes()) is not None:
            self._released = self.num_steps - self._first
            self.assessment.restart()
            if passes:
                yield Occasion.CHECKPOINT
        num_due = int(self.settings.updates_per_step * self._released + 1e-6)
        while self.num_drawn < num_due and len(self) >= fewest_rows(self.settings):
            self.replay.draw(stream)
            yield Minibatch(self.num_drawn - 1)
            if self.num_drawn % self.settings.copy_interval == 0:
                if isinstance(self.replay, PrioritizedReplay):
                    self.replay.renew_largest()
                yield Occasion.COPY
            if self.num_drawn == self.settings.late_phase_starts:
                self.assessment.best *= self.settings.late_phase_factor

    def _passes(self) -> bool | None:
        settings = self.settings
        is_late = self.num_drawn >= settings.late_phase_starts
        return self.assessment.passes(
            settings.late_episodes if is_late else settings.early_episodes
        )

    def reprioritize(self, priorities_B: Array) -> None:
        """Set the priorities of the rows in `batch`, if the replay buffer has priorities."""
        if isinstance(self.replay, PrioritizedReplay):
            self.replay.reprioritize(priorities_B)

    def forget_pending(self, envs_E: Array) -> None:
        """New episodes begin in the environments of this mask; those before are not counted."""
        self.replay.forget_pending(envs_E)
        self.assessment.forget(envs_E)

    def arrays(self) -> dict[str, Array]:
        """Arrays for a checkpoint."""
        own = {f"assessment.{name}": array for name, array in self.assessment.arrays().items()}
        return {**self.replay.arrays(), **own}

    def spans(self) -> dict[str, tuple[int, int]]:
        """Stable and written rows of each ring array."""
        return self.replay.spans()

    def counters(self) -> dict[str, int]:
        """Integers for a checkpoint."""
        own = {"first": self._first, "released": self._released}
        return {**self.replay.counters(), **own, "num_episodes": self.assessment.num_episodes}

    def restore(self, arrays: dict[str, Array], counters: dict[str, Any]) -> None:
        """Continue from `arrays()` and `counters()`."""
        own, rest = _divided(arrays)
        self.replay.restore(rest, counters)
        self._first, self._released = int(counters["first"]), int(counters["released"])
        self.assessment.restore(own, int(counters["num_episodes"]))

    def take_over(self, arrays: Mapping[str, Any], counters: Mapping[str, Any]) -> int:
        """Hold the transitions of another buffer; return their number. Assessments start over."""
        return self.replay.take_over(_divided(arrays)[1], counters)


def _divided(arrays: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays of the assessment, by the names that it has for them, and those of replay."""
    start = "assessment."
    own = {n.removeprefix(start): array for n, array in arrays.items() if n.startswith(start)}
    return own, {n: array for n, array in arrays.items() if not n.startswith(start)}
