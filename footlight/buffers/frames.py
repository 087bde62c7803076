"""Replay buffer for images that stores each frame once.

An observation is a stack of frames, the newest last, and consecutive observations share all but one
of them. Each environment therefore has a ring of *slots*, one frame each (of each image of a Dict,
with its other leaves), and an observation is identified by the slot of its newest frame: it
consists of the `stack` frames up to there. A *row*, in a second ring, is a transition that refers
to its two observations by their slots. Stacks are rebuilt when a minibatch is drawn.

Shared frames are found by comparing their bits, never by flags of the environment. An observation
that does not continue the last frames, because an episode began (however it is padded), writes as
many of its frames as necessary. An end in the middle of a game, such as a lost life, costs nothing.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from footlight.buffers.frame_store import (
    FrameStore,
    longest_stack,
    slot_bytes,
    store_bytes,
)
from footlight.buffers.inheritance import take_over_frames
from footlight.buffers.memory import fill, map_disk, require_bytes
from footlight.buffers.replay import (
    CHUNK_STEPS,
    Replay,
    ReplaySettings,
    draw_rows,
    due_draws,
    expected_draws,
    require_batch,
    row_bytes,
    zero_rows,
)
from footlight.errors import UserError
from footlight.types import Array, Decision, Minibatch, Spaces, Transition


class Rows(NamedTuple):
    """Transitions by the slots of their observations; one ring after the other."""

    action: Array  # [E * slots, A]
    reward: Array  # [E * slots] float32, n-step
    discount: Array  # [E * slots] float32
    observation: Array  # [E * slots] int64, slot of the newest frame
    next_observation: Array  # [E * slots] int64


class FrameReplay:
    """Replay buffer of the last `buffer_size` frames, divided equally among the environments.

    It has the interface of `Replay` and returns the same rows, bit for bit. `buffer_size` counts
    frames, so that it determines the memory; there are fewer transitions than frames, since the
    first observation of an episode takes `stack` frames and the last one begins no transition. A
    row can be drawn as long as all of its frames are stored.

    buffer_dir: folder of a memory-mapped file that holds the frames; None: they are in memory.
    """

    chunk_steps, max_lag = CHUNK_STEPS, 1

    unit = "frames"  # what `capacity` counts
    take_over = take_over_frames

    def __init__(
        self, spaces: Spaces, num_envs: int, settings: ReplaySettings, buffer_dir: str | None = None
    ) -> None:
        require_batch(settings)
        self.settings, self.num_envs = settings, num_envs
        self.sums_rewards = settings.n_steps > 1
        self.stack = longest_stack(spaces)
        self.slots = settings.buffer_size // num_envs
        # A row's frames must not be overwritten before its n rewards are complete
        shortest = 2 * self.stack * settings.n_steps
        if self.slots < shortest:
            raise UserError(
                f"buffer_size {settings.buffer_size} is too small - n_steps {settings.n_steps} of "
                f"{num_envs} environments with {self.stack} frames per observation need "
                f"{shortest * num_envs} - raise it"
            )
        self.capacity = self.slots * num_envs  # frames
        frame_size = slot_bytes(spaces)
        row_size = sum(array.nbytes for array in _rows(spaces, 1))  # of a slot's row
        batch_bytes = settings.batch_size * row_bytes(spaces)
        # In memory and on disk together
        self.num_bytes = self.capacity * (frame_size + row_size) + batch_bytes
        mapped: Array | None = None
        if buffer_dir is None:
            require_bytes(self.num_bytes, self.capacity, frame_size + row_size)
        else:
            require_bytes(self.capacity * row_size + batch_bytes, self.capacity, row_size)
            wanted = store_bytes(spaces, self.capacity)
            mapped = map_disk(buffer_dir, wanted, self.capacity, frame_size)
        self._store = FrameStore(spaces, num_envs, self.slots, mapped)
        self._rows = _rows(spaces, self.capacity)
        self.batch = zero_rows(spaces, settings.batch_size)  # reused: the next draw overwrites it
        self.num_steps = 0  # environment steps taken, whether stored yet or not
        self.num_drawn = 0  # minibatches ever drawn
        # Rows, too, are counted from the start of the run; number i lies at position i % slots
        self._oldest = np.zeros(num_envs, np.int64)  # earlier rows have lost frames
        self._complete = np.zeros(num_envs, np.int64)  # earlier rows have their n rewards
        self._started = np.zeros(num_envs, np.int64)  # earlier rows are written

    def __len__(self) -> int:
        return int((self._complete - self._oldest).sum())

    @property
    def num_rows(self) -> int:
        """Number of rows ever completed."""
        return int(self._complete.sum())

    def add(self, transition: Transition, decision: Decision) -> None:
        """Store one step of each environment."""
        valid = transition.valid
        envs = np.arange(self.num_envs) if valid is None else np.flatnonzero(valid)
        if len(envs) == 0:
            return
        self.num_steps += len(envs)
        self._store.append(envs, transition.observation[envs], 0)
        observed = self._store.num_slots[envs] - 1
        # At least one slot, so that each row has its own
        self._store.append(envs, transition.next_observation[envs], 1)
        self._drop_overwritten()
        row = self._store.place(envs, self._started[envs])
        values = (decision.action[envs], 0, 1, observed, 0)
        for array, new in zip(self._rows, values, strict=True):
            array[row] = new
        self._started[envs] += 1
        self._reward(envs, transition)

    def _reward(self, envs: Array, transition: Transition) -> None:
        """Add the new rewards to the n-step returns of the pending rows.

        A row is complete after n rewards, or at the end of its episode.
        """
        age = np.arange(self.settings.n_steps)
        numbers = self._started[envs, None] - 1 - age  # [environments, n], the newest first
        ended = (transition.terminated | transition.truncated)[envs]
        waits = numbers >= self._complete[envs, None]
        leaves = waits & (ended[:, None] | (age == age[-1]))
        places = self._store.place(envs[:, None], numbers)
        owners = np.broadcast_to(envs[:, None], numbers.shape)
        row = places[waits]
        self._rows.reward[row] += self._rows.discount[row] * transition.reward[owners[waits]]
        self._rows.discount[row] *= self.settings.gamma
        row = places[leaves]
        self._rows.next_observation[row] = self._store.num_slots[owners[leaves]] - 1
        self._rows.discount[row] *= 1 - transition.terminated[owners[leaves]].astype(np.float32)
        self._complete[envs] += leaves.sum(1)

    def _drop_overwritten(self) -> None:
        """Drop the rows whose oldest frame has been overwritten."""
        envs = np.arange(self.num_envs)
        while True:
            first = self._rows.observation[self._store.place(envs, self._oldest)] - self.stack + 1
            lost = (self._oldest < self._complete) & (first < self._store.num_slots - self.slots)
            if not lost.any():
                return
            self._oldest += lost

    def expected_updates(self, steps: int) -> int:
        """Number of updates in `steps` environment steps."""
        return expected_draws(self.settings, steps)

    def due(self, stream: np.random.Generator, final: bool = False) -> Iterator[Minibatch]:
        """Draw the minibatches that are due, like `Replay.due`."""
        return due_draws(self, stream)

    def draw(self, stream: np.random.Generator) -> None:
        """Write a random minibatch to `batch`."""
        self.take(draw_rows(self.settings, len(self), stream))
        self.num_drawn += 1

    def take(self, rows_B: Array) -> None:
        """Write these of the `len(self)` rows to `batch`.

        Rows are numbered by environment, and within an environment from the oldest to the newest.
        """
        ends = (self._complete - self._oldest).cumsum()
        envs = ends.searchsorted(rows_B, side="right")
        self.take_places(self._store.place(envs, self._complete[envs] - ends[envs] + rows_B))

    def take_places(self, places_B: Array) -> None:
        """Write the rows at these places of the rings to `batch`."""
        row, envs = places_B, places_B // self.slots
        # No index is out of bounds; mode "clip" makes NumPy write to `out` without a buffer
        for name in ("action", "reward", "discount"):
            out = getattr(self.batch, name)
            getattr(self._rows, name).take(row, axis=0, out=out, mode="clip")
        for name in ("observation", "next_observation"):
            self._store.rebuild(envs, getattr(self._rows, name)[row], getattr(self.batch, name))

    def peek(self, stream: np.random.Generator, count: int) -> tuple[Array, ...]:
        """Like `Replay.peek`, of at most as many rows as a minibatch has."""
        before = [array.copy() for array in self.batch]
        rows = stream.integers(len(self), size=len(before[0]))
        ends = (self._complete - self._oldest).cumsum()
        ages = (ends[ends.searchsorted(rows, side="right")] - 1 - rows) * self.num_envs
        self.take(rows)
        batch = self.batch
        fields = batch.observation, batch.reward, batch.discount, ages
        found = tuple(array[:count].copy() for array in fields)
        for array, old in zip(batch, before, strict=True):
            array[...] = old
        return found

    def drawable(self) -> tuple[Array, Array]:
        """By environment [E], the numbers of the oldest row that can be drawn and of the first one
        after it that cannot.

        Row number i is at place i % slots of its environment's ring.
        """
        return self._oldest.copy(), self._complete.copy()

    def forget_pending(self, envs_E: Array) -> None:
        """Drop the rows without their n rewards of the environments in this mask."""
        self._started[envs_E] = self._complete[envs_E]

    def arrays(self) -> dict[str, Array]:
        """Arrays for a checkpoint."""
        return {**self._filled(), "counts": np.stack(self._counts())}

    def _filled(self) -> dict[str, Array]:
        """Views of the written part of each ring."""
        found: dict[str, Array] = {}
        for env, rows in enumerate(self._started.tolist()):
            found |= self._store.filled(env)
            start = env * self.slots
            filled = slice(start, start + min(rows, self.slots))
            parts = self._rows._asdict().items()
            found |= {f"{env}.{name}": array[filled] for name, array in parts}
        return found

    def spans(self) -> dict[str, tuple[int, int]]:
        """Stable and written rows of each ring array.

        By array: the number of rows that stay unchanged until they are overwritten, and the number
        ever written.
        """
        found = self._store.spans()
        for env, (_, _, complete, started) in enumerate(np.stack(self._counts(), 1).tolist()):
            found |= {f"{env}.{name}": (complete, started) for name in Rows._fields}
        return found

    def _counts(self) -> tuple[Array, Array, Array, Array]:
        return self._store.num_slots, self._oldest, self._complete, self._started

    def counters(self) -> dict[str, int]:
        """Integers for a checkpoint."""
        return {"num_steps": self.num_steps, "num_drawn": self.num_drawn}

    def restore(self, arrays: dict[str, Array], counters: dict[str, Any]) -> None:
        """Continue from `arrays()` and `counters()`."""
        self.num_steps, self.num_drawn = int(counters["num_steps"]), int(counters["num_drawn"])
        for count, saved in zip(self._counts(), arrays["counts"], strict=True):
            fill(count, saved)
        for name, filled in self._filled().items():
            fill(filled, arrays[name])


def replay_for(
    spaces: Spaces, num_envs: int, settings: ReplaySettings, buffer_dir: str | None = None
) -> Replay | FrameReplay:
    """Create the replay buffer for these observations: `FrameReplay` where there are images, else
    `Replay`.

    Raises `UserError` for a `buffer_dir` if there are none.
    """
    if has_images(spaces):
        return FrameReplay(spaces, num_envs, settings, buffer_dir)
    if buffer_dir is not None:
        observed = f"{spaces.observation_dtype} of shape {spaces.observation_shape}"
        if spaces.has_leaves:
            observed = f"a Dict or Tuple of {', '.join(map(repr, spaces.observation))}"
        raise UserError(
            f"buffer_dir is {buffer_dir} - only replay of images (uint8, 3 or 4 axes) goes to a "
            f"disk, observations are {observed} - leave it out"
        )
    return Replay(spaces, num_envs, settings)


def has_images(spaces: Spaces) -> bool:
    """Whether a leaf is an image or a stack of images; a Box on its own with 3 or 4 axes."""
    if spaces.has_leaves:
        return any(leaf.is_image for leaf in spaces.observation.values())
    return spaces.observation_dtype == "uint8" and len(spaces.observation_shape) in (3, 4)


def _rows(spaces: Spaces, count: int) -> Rows:
    return Rows(
        action=np.zeros((count, spaces.action.size), spaces.action.stored_dtype),
        reward=np.zeros(count, np.float32),
        discount=np.zeros(count, np.float32),
        observation=np.zeros(count, np.int64),
        next_observation=np.zeros(count, np.int64),
    )
