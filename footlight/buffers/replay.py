"""Replay buffer of transitions, with minibatches drawn uniformly.

All memory is allocated once. A stored row is what an update uses: with n-step returns, the n
rewards are summed when the row is written, up to the end of the episode, so that sampling is one
gather per array for any n.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from footlight.buffers.inheritance import take_over_rows
from footlight.buffers.memory import fill, require_bytes
from footlight.errors import UserError
from footlight.types import Array, Batch, Decision, Minibatch, Spaces, Transition

CHUNK_STEPS = 32
"""Steps of each environment that a collector takes with the same parameters: a task and its answer
cost about as much as a few steps of a cheap environment. See `collection.chunks.Chunked`."""


class ReplaySettings(Protocol):
    """The fields of an algorithm's config that concern replay."""

    @property
    def gamma(self) -> float: ...
    @property
    def n_steps(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def buffer_size(self) -> int: ...
    @property
    def learning_starts(self) -> int: ...
    @property
    def updates_per_step(self) -> float: ...
    @property
    def sample_with_replacement(self) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class ReplayPlan:
    """`ReplaySettings` of a config whose fields have other names."""

    gamma: float
    batch_size: int
    buffer_size: int
    learning_starts: int
    n_steps: int = 1
    updates_per_step: float = 0.0
    sample_with_replacement: bool = True
    buffer_dir: str | None = None


class Drawing(Protocol):
    """A buffer from which `due_draws` draws minibatches."""

    @property
    def settings(self) -> ReplaySettings: ...
    @property
    def num_steps(self) -> int: ...
    @property
    def num_drawn(self) -> int: ...
    def __len__(self) -> int: ...
    def draw(self, stream: np.random.Generator) -> None: ...


class Replay:
    """Replay buffer of the last `buffer_size` transitions of any number of environments."""

    chunk_steps, max_lag = CHUNK_STEPS, 1

    def __init__(self, spaces: Spaces, num_envs: int, settings: ReplaySettings) -> None:
        require_batch(settings)
        self.settings = settings
        self.sums_rewards = settings.n_steps > 1
        self.capacity = settings.buffer_size
        self.row_bytes = row_bytes(spaces)
        waiting = settings.n_steps * num_envs if settings.n_steps > 1 else 0
        pending_bytes, step_bytes = waiting * self.row_bytes, num_envs * self.row_bytes
        require_bytes(pending_bytes, settings.n_steps, step_bytes, "n_steps")
        self.num_bytes = (self.capacity + waiting) * self.row_bytes
        require_bytes(self.num_bytes, self.capacity, self.row_bytes)
        self._rows = zero_rows(spaces, self.capacity)
        # Reused: the next draw overwrites it
        self.batch = Batch(*zero_rows(spaces, settings.batch_size))
        self.num_steps = 0  # environment steps taken, whether stored yet or not
        self.num_rows = 0  # rows ever written
        self.num_drawn = 0  # minibatches ever drawn
        # Steps of each environment that wait for their n-th reward, from the oldest to the newest
        self._pending = zero_rows(spaces, (settings.n_steps, num_envs))
        self._num_pending = np.zeros(num_envs, np.int64)

    take_over = take_over_rows

    def __len__(self) -> int:
        return min(self.num_rows, self.capacity)

    def add(self, transition: Transition, decision: Decision) -> None:
        """Store one step of each environment."""
        action_EA, valid = decision.action, transition.valid
        self.num_steps += len(action_EA) if valid is None else int(valid.sum())
        if self.settings.n_steps == 1:
            rows = Batch(
                observation=transition.observation,
                action=action_EA,
                reward=transition.reward,
                next_observation=transition.next_observation,
                # 0 after a termination only, so that targets bootstrap at a time limit
                discount=self.settings.gamma * (1 - transition.terminated.astype(np.float32)),
            )
            self._write(rows if valid is None else Batch(*(field[valid] for field in rows)))
            return
        for env in range(len(action_EA)) if valid is None else np.flatnonzero(valid):
            self._add_pending(int(env), transition, action_EA)

    def expected_updates(self, steps: int) -> int:
        """Number of updates in `steps` environment steps."""
        return expected_draws(self.settings, steps)

    def due(self, stream: np.random.Generator, final: bool = False) -> Iterator[Minibatch]:
        """Draw the minibatches that are due: `updates_per_step` per step since `learning_starts`.

        Each is in `batch` when it is yielded, whose memory is reused by the next one. `final`, at
        the end of a run, asks for what would only be due later; for this buffer that is nothing.
        """
        return due_draws(self, stream)

    def draw(self, stream: np.random.Generator) -> None:
        """Write a random minibatch to `batch`."""
        self.take_places(draw_rows(self.settings, len(self), stream))
        self.num_drawn += 1

    def take_places(self, places_B: Array) -> None:
        """Write the rows at these places of the ring to `batch`."""
        # No index is out of bounds; mode "clip" makes NumPy write to `out` without a buffer
        for stored, out in zip(self._rows, self.batch, strict=True):
            stored.take(places_B, axis=0, out=out, mode="clip")  # a third of np.take's time

    def peek(self, stream: np.random.Generator, count: int) -> tuple[Array, ...]:
        """Observations, rewards and discounts of `count` random rows, and the age of each in
        environment steps. The buffer must not be empty."""
        places = stream.integers(len(self), size=count)
        rows, ages = self._rows, (self.num_rows - 1 - places) % self.capacity
        return rows.observation[places], rows.reward[places], rows.discount[places], ages

    def drawable(self) -> tuple[Array, Array]:
        """By ring [1], the numbers of the oldest row and of the next one to be written.

        Row number i is at place i % capacity.
        """
        return np.array([max(0, self.num_rows - self.capacity)]), np.array([self.num_rows])

    def _write(self, rows: Batch) -> None:
        count = len(rows.reward)
        start = self.num_rows % self.capacity
        if count <= self.capacity - start:  # the usual case, in which a slice is faster
            for stored, new in zip(self._rows, rows, strict=True):
                stored[start : start + count] = new
        else:
            places = np.arange(self.num_rows, self.num_rows + count) % self.capacity
            for stored, new in zip(self._rows, rows, strict=True):
                stored[places[-self.capacity :]] = new[-self.capacity :]
        self.num_rows += count

    def _add_pending(self, env: int, transition: Transition, action_EA: Array) -> None:
        """Add the new reward to the n-step returns of the pending steps, and store complete ones.

        A step is complete after n rewards, or at the end of its episode.
        """
        gamma, waiting = self.settings.gamma, self._pending
        count = self._num_pending[env]
        waiting.observation[count, env] = transition.observation[env]
        waiting.action[count, env] = action_EA[env]
        waiting.reward[count, env] = 0
        waiting.discount[count, env] = 1
        count += 1
        waiting.reward[:count, env] += waiting.discount[:count, env] * transition.reward[env]
        waiting.discount[:count, env] *= gamma
        ended = transition.terminated[env] or transition.truncated[env]
        leaving = count if ended else max(0, count - self.settings.n_steps + 1)
        if leaving:
            # 0 after a termination only, so that targets bootstrap at a time limit
            bootstrap = 1 - np.float32(transition.terminated[env])
            observation = waiting.observation[:leaving, env]
            rows = Batch(
                observation=observation,
                action=waiting.action[:leaving, env],
                reward=waiting.reward[:leaving, env],
                next_observation=np.broadcast_to(
                    transition.next_observation[env], observation.shape
                ),
                discount=waiting.discount[:leaving, env] * bootstrap,
            )
            self._write(rows)
            for array in waiting:
                array[: count - leaving, env] = array[leaving:count, env].copy()
        self._num_pending[env] = count - leaving

    def forget_pending(self, envs_E: Array) -> None:
        """Drop the pending steps of the environments in this mask."""
        self._num_pending[envs_E] = 0

    def arrays(self) -> dict[str, Array]:
        """Arrays for a checkpoint."""
        named = {f"rows.{name}": array[: len(self)] for name, array in self._rows._asdict().items()}
        waiting = self._num_pending.max(initial=0)
        pending = {
            f"pending.{name}": array[:waiting] for name, array in self._pending._asdict().items()
        }
        return {**named, **pending, "num_pending": self._num_pending}

    def spans(self) -> dict[str, tuple[int, int]]:
        """Stable and written rows of each ring array.

        By array: the number of rows that stay unchanged until they are overwritten, and the number
        ever written.
        """
        return {f"rows.{name}": (self.num_rows, self.num_rows) for name in Batch._fields}

    def counters(self) -> dict[str, int]:
        """Integers for a checkpoint."""
        return {"num_steps": self.num_steps, "num_rows": self.num_rows, "num_drawn": self.num_drawn}

    def restore(self, arrays: dict[str, Array], counters: dict[str, Any]) -> None:
        """Continue from `arrays()` and `counters()`."""
        self.num_steps, self.num_rows, self.num_drawn = (
            int(counters[name]) for name in ("num_steps", "num_rows", "num_drawn")
        )
        for name, saved in arrays.items():
            group, _, field = name.partition(".")
            if name == "num_pending":
                fill(self._num_pending, saved)
            elif group == "rows":
                fill(getattr(self._rows, field)[: len(self)], saved)
            else:
                fill(getattr(self._pending, field)[: len(saved)], saved)


def require_batch(settings: ReplaySettings) -> None:
    """Raise `UserError` if a minibatch is larger than the buffer."""
    if settings.batch_size > settings.buffer_size:
        raise UserError(
            f"batch_size {settings.batch_size} is larger than buffer_size {settings.buffer_size} - "
            "a minibatch is drawn from the buffer - lower the one or raise the other"
        )


def expected_draws(settings: ReplaySettings, steps: int) -> int:
    """Number of minibatches that are due after `steps` environment steps."""
    return int(settings.updates_per_step * max(0, steps - settings.learning_starts) + 1e-6)


def due_draws(replay: Drawing, stream: np.random.Generator) -> Iterator[Minibatch]:
    """Draw minibatches until there are `updates_per_step` per step since `learning_starts`.

    Yields each one as soon as it is drawn.
    """
    settings = replay.settings
    num_due = settings.updates_per_step * (replay.num_steps - settings.learning_starts)
    while replay.num_drawn < int(num_due + 1e-6):  # 0.29 * 100 is 28.999999999999996
        if len(replay) < fewest_rows(settings):
            return
        replay.draw(stream)
        yield Minibatch(replay.num_drawn - 1)


def fewest_rows(settings: ReplaySettings) -> int:
    """Minimum number of transitions from which a minibatch can be drawn."""
    return 1 if settings.sample_with_replacement else settings.batch_size


def draw_rows(settings: ReplaySettings, num_rows: int, stream: np.random.Generator) -> Array:
    """Draw the rows of a minibatch [B] uniformly, independently or without replacement."""
    if settings.sample_with_replacement:
        return stream.integers(0, num_rows, settings.batch_size)
    return stream.choice(num_rows, settings.batch_size, replace=False, shuffle=False)


def zero_rows(spaces: Spaces, lead: int | tuple[int, ...]) -> Batch:
    """Allocate rows with these leading axes, filled with zeros."""
    lead = (lead,) if isinstance(lead, int) else lead
    dtype = np.dtype(spaces.observation_dtype)
    return Batch(
        observation=np.zeros((*lead, *spaces.observation_shape), dtype),
        action=np.zeros((*lead, spaces.action.size), spaces.action.stored_dtype),
        reward=np.zeros(lead, np.float32),
        next_observation=np.zeros((*lead, *spaces.observation_shape), dtype),
        discount=np.zeros(lead, np.float32),
    )


def row_bytes(spaces: Spaces) -> int:
    """Size of one row in bytes."""
    return sum(array.nbytes for array in zero_rows(spaces, 1))
