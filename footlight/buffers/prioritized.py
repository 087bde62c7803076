"""Prioritized replay: minibatches drawn in proportion to priorities that updates return (Schaul et
al. 2016, arXiv:1511.05952)."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from footlight.buffers.frames import FrameReplay
from footlight.buffers.memory import fill, require_bytes
from footlight.buffers.replay import CHUNK_STEPS, Replay, ReplaySettings, due_draws, expected_draws
from footlight.buffers.sum_tree import SumTree, tree_bytes
from footlight.errors import UserError
from footlight.types import Array, Decision, Minibatch, Observations, Rewards, Transition

Prioritization = Literal["none", "proportional", "lap"]


class PrioritizedBatch(NamedTuple):
    """A minibatch of transitions that were drawn with unequal probabilities."""

    # The first five fields are those of `Batch`
    observation: Observations
    action: Any
    reward: Rewards
    next_observation: Observations
    discount: Any
    relative_probability: Any  # [B] float32, N P(i): 1 where the N rows are drawn uniformly


class PrioritizedReplay:
    """A replay buffer whose row i is drawn with probability P(i) = p_i / sum of all p.

    New rows have the largest priority of the run so far, at first 1, so that each is soon learned
    from. An update's priorities are those of the rows in its batch.

    gives_probabilities: `batch` has a field for them, a `PrioritizedBatch`.
    """

    chunk_steps, max_lag = CHUNK_STEPS, 1

    def __init__(self, replay: Replay | FrameReplay, gives_probabilities: bool) -> None:
        settings = replay.settings
        if not settings.sample_with_replacement:
            raise UserError(
                "sample_with_replacement is false - with priorities a transition may be drawn "
                "several times - set it to true, or prioritization to none"
            )
        self.replay, self.capacity = replay, replay.capacity
        self.sums_rewards = replay.sums_rewards
        self.unit = replay.unit if isinstance(replay, FrameReplay) else "transitions"
        self.num_bytes = replay.num_bytes + tree_bytes(self.capacity)
        require_bytes(self.num_bytes, self.capacity, -(-self.num_bytes // self.capacity))
        self._tree = SumTree(self.capacity)
        self._largest = 1.0
        self._places = np.zeros(settings.batch_size, np.int64)  # of the rows in `batch`
        self._oldest, self._end = (np.zeros_like(each) for each in replay.drawable())
        self.batch: Any = replay.batch
        self._relative_probability: Array | None = None
        if gives_probabilities:
            self._relative_probability = np.ones(settings.batch_size, np.float32)
            self.batch = PrioritizedBatch(*replay.batch, self._relative_probability)

    def __len__(self) -> int:
        return len(self.replay)

    @property
    def settings(self) -> ReplaySettings:
        """Those of the replay buffer."""
        return self.replay.settings

    @property
    def num_steps(self) -> int:
        """Environment steps taken."""
        return self.replay.num_steps

    @property
    def num_drawn(self) -> int:
        """Minibatches ever drawn."""
        return self.replay.num_drawn

    def add(self, transition: Transition, decision: Decision) -> None:
        """Store one step of each environment."""
        self.replay.add(transition, decision)

    def expected_updates(self, steps: int) -> int:
        """Number of updates in `steps` environment steps."""
        return expected_draws(self.settings, steps)

    def due(self, stream: np.random.Generator, final: bool = False) -> Iterator[Minibatch]:
        """Draw the minibatches that are due, like `Replay.due`."""
        return due_draws(self, stream)

    def draw(self, stream: np.random.Generator) -> None:
        """Write a random minibatch to `batch`, whose rows are in the order of their places."""
        self._admit()
        self._places, probability_B = self._tree.sample(stream, self.settings.batch_size)
        self.replay.take_places(self._places)
        if self._relative_probability is not None:
            self._relative_probability[:] = len(self) * probability_B
        self.replay.num_drawn += 1

    def reprioritize(self, priorities_B: Array) -> None:
        """Set the priorities of the rows in `batch`; those that are not finite are ignored."""
        known = np.isfinite(priorities_B)  # the run is about to stop where one is not
        if known.any():
            self._tree.set(self._places[known], priorities_B[known])
            self._largest = max(self._largest, float(priorities_B[known].max()))

    def renew_largest(self) -> None:
        """From here on, new rows have the largest priority of the rows that are held now."""
        self._admit()
        self._largest = float(self._tree.priorities.max())

    def _admit(self) -> None:
        """Give new rows the largest priority, and 0 to those that can no longer be drawn.

        Before a draw is early enough, as only what follows a draw changes the largest priority.
        """
        oldest, end = self.replay.drawable()
        slots = self.capacity // len(end)
        # Rows that a newer one has not overwritten in any case
        lost = _places(np.maximum(self._oldest, end - slots), oldest, slots)
        new = _places(np.maximum(self._end, oldest), end, slots)
        if len(lost):
            self._tree.set(lost, 0)
        if len(new):
            self._tree.set(new, self._largest)
        self._oldest, self._end = oldest, end

    def forget_pending(self, envs_E: Array) -> None:
        """Drop the pending steps of the environments in this mask."""
        self.replay.forget_pending(envs_E)

    def arrays(self) -> dict[str, Array]:
        """Arrays for a checkpoint. The sums follow from the priorities, bit for bit."""
        self._admit()
        slots = self.capacity // len(self._end)
        used = np.arange(len(self._end)) * slots + np.minimum(self._end, slots)
        own = {"priority": self._tree.priorities[: used.max()], "largest_priority": self._largest}
        return {**self.replay.arrays(), **{name: np.asarray(value) for name, value in own.items()}}

    def spans(self) -> dict[str, tuple[int, int]]:
        """Stable and written rows of each ring array. Priorities are none: all may change."""
        return self.replay.spans()

    def counters(self) -> dict[str, int]:
        """Integers for a checkpoint."""
        return self.replay.counters()

    def restore(self, arrays: dict[str, Array], counters: dict[str, Any]) -> None:
        """Continue from `arrays()` and `counters()`."""
        rest = dict(arrays)
        saved, largest = rest.pop("priority"), rest.pop("largest_priority")
        self.replay.restore(rest, counters)
        priorities = np.zeros(self.capacity, np.float32)
        fill(priorities[: len(saved)], saved)
        self._tree.fill(priorities)
        self._largest = float(largest)
        self._oldest, self._end = self.replay.drawable()

    def take_over(self, arrays: Mapping[str, Any], counters: Mapping[str, Any]) -> int:
        """Hold the newest transitions of another buffer, with equal priorities; return their
        number."""
        number = self.replay.take_over(arrays, counters)
        self._tree.fill(np.zeros(0, np.float32))
        self._oldest, self._end = (np.zeros_like(each) for each in self.replay.drawable())
        return number


def prioritized(
    replay: Replay | FrameReplay, prioritization: Prioritization
) -> Replay | FrameReplay | PrioritizedReplay:
    """The replay buffer itself, or with priorities; LAP needs no probabilities."""
    if prioritization == "none":
        return replay
    return PrioritizedReplay(replay, gives_probabilities=prioritization == "proportional")


def _places(first: Array, end: Array, slots: int) -> Array:
    """Places of the rows with the numbers `first` to `end`, by ring [R] of `slots` rows each."""
    counts = np.maximum(end - first, 0)
    ring = np.arange(len(counts)).repeat(counts)
    begins = first - counts.cumsum() + counts  # minus how many come before the ring's own
    numbers = begins[ring] + np.arange(len(ring))
    places: Array = ring * slots + numbers % slots
    return places
