"""Replay: transitions are kept, and minibatches drawn from them uniformly.

Everything is allocated once. A stored row is what an update takes: with n-step returns the n rewards are summed when the row is
written, cut at either kind of end, so that sampling is one gather per array whatever n is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from footlight.buffers.memory import fill, require_bytes
from footlight.errors import UserError
from footlight.types import Array, Batch, Decision, Minibatch, Spaces, Transition


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
    """`ReplaySettings` where a config has other names for them."""

    gamma: float
    batch_size: int
    buffer_size: int
    learning_starts: int
    n_steps: int = 1
    updates_per_step: float = 0.0
    sample_with_replacement: bool = True
    buffer_dir: str | None = None


class Drawing(Protocol):
    """What decides when a minibatch is due."""

    settings: ReplaySettings
    num_steps: int
    num_drawn: int

    def __len__(self) -> int: ...
    def draw(self, stream: np.random.Generator) -> None: ...


class Replay:
    """The last `buffer_size` transitions of any number of environments."""

    def __init__(self, spaces: Spaces, num_envs: int, settings: ReplaySettings) -> None:
        require_batch(settings)
        self.settings = settings
        self.sums_rewards = settings.n_steps > 1
        self.capacity = settings.buffer_size
        self.row_bytes = row_bytes(spaces)
        waiting = settings.n_steps * num_envs if settings.n_steps > 1 else 0
        require_bytes(
            waiting * self.row_bytes, settings.n_steps, num_envs * self.row_bytes, "n_steps"
        )
        self.num_bytes = (self.capacity + waiting) * self.row_bytes
        require_bytes(self.num_bytes, self.capacity, self.row_bytes)
        self._rows = zero_rows(spaces, self.capacity)
        self.batch = Batch(
            *zero_rows(spaces, settings.batch_size)
        )  # reused: the next draw overwrites it
        self.num_steps = 0  # environment steps taken, whether stored yet or not
        self.num_rows = 0  # rows ever written
        self.num_drawn = 0  # minibatches ever drawn
        # Steps that still wait for their n-th reward: the oldest first, for each environment
        pending = (settings.n_steps, num_envs)
        self._pending = zero_rows(spaces, pending)
        self._num_pending = np.zeros(num_envs, np.int64)

    def __len__(self) -> int:
        return min(self.num_rows, self.capacity)

    def add(self, transition: Transition, decision: Decision) -> None:
        """Keep one step of each environment."""
        action_EA = decision.action
        valid = transition.valid
        self.num_steps += len(action_EA) if valid is None else int(valid.sum())
        if self.settings.n_steps == 1 and valid is None:
            discount = self.settings.gamma * (1 - transition.terminated.astype(np.float32))
            self._write(
                Batch(
                    transition.observation,
                    action_EA,
                    transition.reward,
                    transition.next_observation,
                    discount,
                )
            )
            return
        for env in range(len(action_EA)) if valid is None else np.flatnonzero(valid):
            self._add_pending(int(env), transition, action_EA)

    def expected_updates(self, steps: int) -> int:
        """Updates that this many environment steps will bring."""
        return expected_draws(self.settings, steps)

    def due(self, stream: np.random.Generator, final: bool = False) -> Iterator[Minibatch]:
        """Minibatches until there are `updates_per_step` for each environment step since `learning_starts`.

        Each is in `batch` when its number is yielded, in reused memory: it is gone when the next one is asked for. `final`,
        at the end of a run, asks for what would be due later; here that is nothing.
        """
        return due_draws(self, stream)

    def draw(self, stream: np.random.Generator) -> None:
        """Put a minibatch into `batch`."""
        rows = draw_rows(self.settings, len(self), stream)
        for stored, out in zip(self._rows, self.batch, strict=True):
            np.take(
                stored, rows, axis=0, out=out, mode="clip"
            )  # "clip" writes to `out` unbuffered; no row is outside
        self.num_drawn += 1

    def _write(self, rows: Batch) -> None:
        count = len(rows.reward)
        start = self.num_rows % self.capacity
        if count <= self.capacity - start:  # a slice: the usual way, and the fast one
            for stored, new in zip(self._rows, rows, strict=True):
                stored[start : start + count] = new
        else:
            places = np.arange(self.num_rows, self.num_rows + count) % self.capacity
            for stored, new in zip(self._rows, rows, strict=True):
                stored[places[-self.capacity :]] = new[-self.capacity :]
        self.num_rows += count

    def _add_pending(self, env: int, transition: Transition, action_EA: Array) -> None:
        """n-step returns: the new reward counts for every waiting step; a step leaves when it has n, or at an end."""
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
            bootstrap = 1 - np.float32(transition.terminated[env])
            successor = np.broadcast_to(
                transition.next_observation[env], waiting.observation[:leaving, env].shape
            )
            self._write(
                Batch(
                    waiting.observation[:leaving, env],
                    waiting.action[:leaving, env],
                    waiting.reward[:leaving, env],
                    successor,
                    waiting.discount[:leaving, env] * bootstrap,
                )
            )
            for array in waiting:
                array[: count - leaving, env] = array[leaving:count, env].copy()
        self._num_pending[env] = count - leaving

    def forget_pending(self, envs_E: Array) -> None:
        """Drop the steps that wait for their n-th reward in the environments of this mask."""
        self._num_pending[envs_E] = 0

    def arrays(self) -> dict[str, Array]:
        """Everything that a checkpoint has to hold, but for the counters."""
        named = {f"rows.{name}": array[: len(self)] for name, array in self._rows._asdict().items()}
        waiting = self._num_pending.max(initial=0)
        pending = {
            f"pending.{name}": array[:waiting] for name, array in self._pending._asdict().items()
        }
        return {**named, **pending, "num_pending": self._num_pending}

    def spans(self) -> dict[str, tuple[int, int]]:
        """By array, how many rows will stay as they are until they are overwritten, and how many were ever written."""
        return {f"rows.{name}": (self.num_rows, self.num_rows) for name in Batch._fields}

    def counters(self) -> dict[str, int]:
        """The numbers that a checkpoint has to hold."""
        return {"num_steps": self.num_steps, "num_rows": self.num_rows, "num_drawn": self.num_drawn}

    def restore(self, arrays: dict[str, Array], counters: dict[str, Any]) -> None:
        """Go on from `arrays()` and `counters()`."""
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
    """Raise `UserError` where a minibatch is larger than the buffer."""
    if settings.batch_size > settings.buffer_size:
        raise UserError(
            f"batch_size {settings.batch_size} is larger than buffer_size {settings.buffer_size} - "
            "a minibatch is drawn from the buffer - lower the one or raise the other"
        )


def expected_draws(settings: ReplaySettings, steps: int) -> int:
    """Minibatches that this many environment steps will make due."""
    return int(settings.updates_per_step * max(0, steps - settings.learning_starts) + 1e-6)


def due_draws(replay: Drawing, stream: np.random.Generator) -> Iterator[Minibatch]:
    """Draw until there are `updates_per_step` minibatches for each step since `learning_starts`, and yield the number of each."""
    earned = replay.settings.updates_per_step * (replay.num_steps - replay.settings.learning_starts)
    while replay.num_drawn < int(earned + 1e-6):  # 0.29 * 100 is 28.999999999999996
        if len(replay) < fewest_rows(replay.settings):
            return
        replay.draw(stream)
        yield Minibatch(replay.num_drawn - 1)


def fewest_rows(settings: ReplaySettings) -> int:
    """Number of transitions required before a minibatch can be drawn."""
    return 1 if settings.sample_with_replacement else settings.batch_size


def draw_rows(settings: ReplaySettings, num_rows: int, stream: np.random.Generator) -> Array:
    """Rows of a minibatch [B], uniformly from `num_rows`: independent draws, or all different."""
    if settings.sample_with_replacement:
        return stream.integers(0, num_rows, settings.batch_size)
    return stream.choice(num_rows, settings.batch_size, replace=False, shuffle=False)


def zero_rows(spaces: Spaces, lead: int | tuple[int, ...]) -> Batch:
    """Memory for rows, with these leading axes."""
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
    """Bytes of one row."""
    return sum(array.nbytes for array in zero_rows(spaces, 1))
