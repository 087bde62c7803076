"""Replay for images: each frame is stored once, and stacks and next observations are rebuilt when they are drawn.

An observation is a stack of frames, the newest last, and most of them were seen before: the next observation is this one moved
on by a frame. So each environment has a ring of *slots*, one frame each, and an observation is the slot of its newest frame: the
`stack` frames up to there. A *row*, in a ring of its own, is a transition by the slots of its two observations.

What is shared is found by comparing bits and nothing else. Where an observation does not go on from the last frames, because an
episode began, however it is padded, as many of its frames are written as it takes. So no flag of the environment is trusted with
that, and an end in the middle of a game, at a lost life, costs nothing.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from footlight.buffers.memory import fill, map_disk, require_bytes
from footlight.buffers.replay import (
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
    """Transitions, by the slots of their observations; rings of all environments, one behind the other."""

    action: Array  # [E * slots, A]
    reward: Array  # [E * slots] float32, n-step
    discount: Array  # [E * slots] float32
    observation: Array  # [E * slots] int64, slot of the newest frame
    next_observation: Array  # [E * slots] int64


class FrameReplay:
    """The last `buffer_size` frames of any number of environments, an equal share of them for each.

    Same rows as `Replay`, bit for bit, and the same calls. `buffer_size` counts frames, so that memory is what was asked for: the
    transitions are fewer by those frames of an episode's first observation and by its last one. A row can be drawn as long as all
    frames that it needs are there. `buffer_dir`: folder on whose disk the frames lie, memory-mapped; None: in memory.
    """

    unit = "frames"  # what `capacity` counts

    def __init__(
        self, spaces: Spaces, num_envs: int, settings: ReplaySettings, buffer_dir: str | None = None
    ) -> None:
        require_batch(settings)
        self.settings, self.num_envs = settings, num_envs
        self.sums_rewards = settings.n_steps > 1
        self.stack = frames_per_observation(spaces)
        self.slots = settings.buffer_size // num_envs
        shortest = (
            2 * self.stack * settings.n_steps
        )  # a row's frames must not be overwritten before it has its n rewards
        if self.slots < shortest:
            raise UserError(
                f"buffer_size {settings.buffer_size} is too small - n_steps {settings.n_steps} of {num_envs} environments with "
                f"{self.stack} frames per observation need {shortest * num_envs} - raise it"
            )
        self.capacity = self.slots * num_envs  # frames
        frame_shape = spaces.observation_shape[1:] if self.stack > 1 else spaces.observation_shape
        frame_bytes, row_of_slot = (
            math.prod(frame_shape),
            sum(array.nbytes for array in _rows(spaces, 1)),
        )
        batch_bytes = settings.batch_size * row_bytes(spaces)
        self.num_bytes = (
            self.capacity * (frame_bytes + row_of_slot) + batch_bytes
        )  # in memory and on disk
        if buffer_dir is None:
            require_bytes(self.num_bytes, self.capacity, frame_bytes + row_of_slot)
            self._frames = np.zeros((self.capacity, *frame_shape), np.uint8)
        else:
            require_bytes(self.capacity * row_of_slot + batch_bytes, self.capacity, row_of_slot)
            mapped = map_disk(buffer_dir, self.capacity * frame_bytes, self.capacity, frame_bytes)
            self._frames = mapped.reshape(self.capacity, *frame_shape)
        self._rows = _rows(spaces, self.capacity)
        self.batch = zero_rows(spaces, settings.batch_size)  # reused: the next draw overwrites it
        self.num_steps = 0  # environment steps taken, whether stored yet or not
        self.num_drawn = 0  # minibatches ever drawn
        # Slots and rows are counted from the start of the run, place = count % slots; every ring begins with a black stack
        self._num_slots = np.full(num_envs, self.stack)
        self._oldest = np.zeros(num_envs, np.int64)  # rows before it have lost frames
        self._complete = np.zeros(num_envs, np.int64)  # rows before it have their n rewards
        self._started = np.zeros(num_envs, np.int64)  # rows before it are written

    def __len__(self) -> int:
        return int((self._complete - self._oldest).sum())

    @property
    def num_rows(self) -> int:
        """Rows ever completed."""
        return int(self._complete.sum())

    def add(self, transition: Transition, decision: Decision) -> None:
        """Keep one step of each environment."""
        action_EA = decision.action
        envs = (
            np.arange(self.num_envs)
            if transition.valid is None
            else np.flatnonzero(transition.valid)
        )
        if len(envs) == 0:
            return
        self.num_steps += len(envs)
        self._append(envs, transition.observation[envs], 0)
        seen = self._num_slots[envs] - 1
        self._append(
            envs, transition.next_observation[envs], 1
        )  # one at least: each row has a slot of its own
        self._drop_overwritten()
        row = self._place(envs, self._started[envs])
        for array, new in zip(self._rows, (action_EA[envs], 0, 1, seen, 0), strict=True):
            array[row] = new
        self._started[envs] += 1
        self._reward(envs, transition)

    def _append(self, envs: Array, observation: Array, least: int) -> None:
        """Write the frames that these observations do not share with the newest ones: as few as can be, but `least`."""
        frames = observation.reshape(len(envs), self.stack, *self._frames.shape[1:])
        for count in range(least, self.stack + 1):
            shared = self._num_slots[envs, None] + np.arange(count - self.stack, 0)
            stored = self._frames.take(self._place(envs[:, None], shared), 0)
            fits = (stored == frames[:, : self.stack - count]).reshape(len(envs), -1).all(1)
            there = envs[fits]
            new = self._num_slots[there, None] + np.arange(count)
            self._frames[self._place(there[:, None], new)] = frames[fits, self.stack - count :]
            self._num_slots[there] += count
            if fits.all():  # the usual way, and in the first round
                return
            envs, frames = envs[~fits], frames[~fits]

    def _reward(self, envs: Array, transition: Transition) -> None:
        """n-step returns: the new reward counts for every waiting row; a row is complete when it has n, or at an end."""
        age = np.arange(self.settings.n_steps)
        numbers = self._started[envs, None] - 1 - age  # [environments, n], the newest first
        ended = (transition.terminated | transition.truncated)[envs]
        waits = numbers >= self._complete[envs, None]
        leaves = waits & (ended[:, None] | (age == age[-1]))
        places, who = (
            self._place(envs[:, None], numbers),
            np.broadcast_to(envs[:, None], numbers.shape),
        )
        row = places[waits]
        self._rows.reward[row] += self._rows.discount[row] * transition.reward[who[waits]]
        self._rows.discount[row] *= self.settings.gamma
        row = places[leaves]
        self._rows.next_observation[row] = self._num_slots[who[leaves]] - 1
        self._rows.discount[row] *= 1 - transition.terminated[who[leaves]].astype(np.float32)
        self._complete[envs] += leaves.sum(1)

    def _drop_overwritten(self) -> None:
        """Let go of the rows whose oldest frame is no longer there."""
        envs = np.arange(self.num_envs)
        while True:
            first = self._rows.observation[self._place(envs, self._oldest)] - self.stack + 1
            lost = (self._oldest < self._complete) & (first < self._num_slots - self.slots)
            if not lost.any():
                return
            self._oldest += lost

    def _place(self, envs: Array, numbers: Array) -> Array:
        """Where the slots or rows of these numbers lie."""
        return envs * self.slots + numbers % self.slots

    def expected_updates(self, steps: int) -> int:
        """Updates that this many environment steps will bring."""
        return expected_draws(self.settings, steps)

    def due(self, stream: np.random.Generator, final: bool = False) -> Iterator[Minibatch]:
        """Minibatches until there are `updates_per_step` for each environment step since `learning_starts`, as of `Replay`."""
        return due_draws(self, stream)

    def draw(self, stream: np.random.Generator) -> None:
        """Put a minibatch into `batch`."""
        self.take(draw_rows(self.settings, len(self), stream))
        self.num_drawn += 1

    def take(self, rows_B: Array) -> None:
        """Put these of the `len(self)` rows into `batch`: those of the first environment come first, each one's oldest first."""
        ends = (self._complete - self._oldest).cumsum()
        envs = ends.searchsorted(rows_B, side="right")
        row = self._place(envs, self._complete[envs] - ends[envs] + rows_B)
        for name in ("action", "reward", "discount"):
            np.take(
                getattr(self._rows, name), row, axis=0, out=getattr(self.batch, name), mode="clip"
            )
        for name in ("observation", "next_observation"):
            newest = getattr(self._rows, name)[row]
            places = self._place(
                envs[:, None], newest[:, None] + np.arange(1 - self.stack, 1)
            ).reshape(-1)
            out = getattr(self.batch, name).reshape(-1, *self._frames.shape[1:])  # a view
            np.take(
                self._frames, places, axis=0, out=out, mode="clip"
            )  # "clip" writes to `out` unbuffered; none is outside

    def forget_pending(self, envs_E: Array) -> None:
        """Drop the steps that wait for their n-th reward in the environments of this mask."""
        self._started[envs_E] = self._complete[envs_E]

    def arrays(self) -> dict[str, Array]:
        """Everything that a checkpoint has to hold, but for the counters."""
        return {**self._filled(), "counts": np.stack(self._counts())}

    def _filled(self) -> dict[str, Array]:
        """What was written of each ring."""
        found = {}
        for env, (slots, _, _, rows) in enumerate(zip(*self._counts(), strict=True)):
            start = env * self.slots
            found[f"{env}.frames"] = self._frames[start : start + min(slots, self.slots)]
            filled = slice(start, start + min(rows, self.slots))
            found |= {
                f"{env}.{name}": array[filled] for name, array in self._rows._asdict().items()
            }
        return found

    def spans(self) -> dict[str, tuple[int, int]]:
        """By array, how many rows will stay as they are until they are overwritten, and how many were ever written."""
        found: dict[str, tuple[int, int]] = {}
        for env, (slots, _, complete, started) in enumerate(np.stack(self._counts(), 1).tolist()):
            found |= {f"{env}.{name}": (complete, started) for name in Rows._fields}
            found[f"{env}.frames"] = slots, slots
        return found

    def _counts(self) -> tuple[Array, Array, Array, Array]:
        return self._num_slots, self._oldest, self._complete, self._started

    def counters(self) -> dict[str, int]:
        """The numbers that a checkpoint has to hold."""
        return {"num_steps": self.num_steps, "num_drawn": self.num_drawn}

    def restore(self, arrays: dict[str, Array], counters: dict[str, Any]) -> None:
        """Go on from `arrays()` and `counters()`."""
        self.num_steps, self.num_drawn = int(counters["num_steps"]), int(counters["num_drawn"])
        for count, saved in zip(self._counts(), arrays["counts"], strict=True):
            fill(count, saved)
        for name, filled in self._filled().items():
            fill(filled, arrays[name])


def replay_for(
    spaces: Spaces, num_envs: int, settings: ReplaySettings, buffer_dir: str | None = None
) -> Replay | FrameReplay:
    """The replay that suits these observations: frames once for images, whole transitions for everything else."""
    if is_image(spaces):
        return FrameReplay(spaces, num_envs, settings, buffer_dir)
    if buffer_dir is not None:
        seen = f"{spaces.observation_dtype} of shape {spaces.observation_shape}"
        raise UserError(
            f"buffer_dir is {buffer_dir} - only replay of images (uint8, 3 or 4 axes) goes to a disk, observations are {seen} - "
            "leave it out"
        )
    return Replay(spaces, num_envs, settings)


def is_image(spaces: Spaces) -> bool:
    """Whether an observation is an image or a stack of images: bytes with 3 or 4 axes."""
    return spaces.observation_dtype == "uint8" and len(spaces.observation_shape) in (3, 4)


def frames_per_observation(spaces: Spaces) -> int:
    """Frames stacked along the first axis: of 4 axes always, of 3 where it is the shortest and no color (1 or 3 channels)."""
    first, *others = spaces.observation_shape
    is_stack = len(others) == 3 or (first < min(others) and first not in (1, 3))
    return first if is_stack else 1


def _rows(spaces: Spaces, count: int) -> Rows:
    return Rows(
        action=np.zeros((count, spaces.action.size), spaces.action.stored_dtype),
        reward=np.zeros(count, np.float32),
        discount=np.zeros(count, np.float32),
        observation=np.zeros(count, np.int64),
        next_observation=np.zeros(count, np.int64),
    )
