"""A replay buffer for hand-written code, without anything to configure."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from footlight.buffers.memory import require_bytes
from footlight.config.fields import Range, integer
from footlight.errors import UserError
from footlight.types import Array

_PARTS = "observation", "action", "next_observation"


class Batch(NamedTuple):
    """A minibatch of transitions, as torch tensors."""

    observation: Tensor  # [B, O]
    action: Tensor  # [B, A]
    reward: Tensor  # [B]
    next_observation: Tensor  # [B, O]
    terminated: Tensor  # [B], 1.0 where the episode terminated, else 0.0


class ReplayBuffer:
    """The last `capacity` transitions, and minibatches that are drawn uniformly from them.

    seed: of the minibatches.

    Memory is allocated once, with the first transition. Floating-point numbers are stored as
    float32, integers (images, choices) as they are; a single number becomes a vector of length 1.

        buffer = footlight.ReplayBuffer(100_000, seed=1)
        buffer.add(observation, action, reward, next_observation, terminated)
        if len(buffer) >= 64:
            batch = buffer.sample(64)
            target = batch.reward + 0.99 * (1 - batch.terminated) * next_value
    """

    def __init__(self, capacity: int, seed: int = 0) -> None:
        self.capacity = integer("capacity", capacity, Range(1))
        self._stream = np.random.default_rng(integer("seed", seed, Range(0)))
        self._rows: dict[str, Array] = {}
        self._size = self._next = 0

    def __len__(self) -> int:
        return self._size

    def add(
        self, observation: Any, action: Any, reward: Any, next_observation: Any, terminated: Any
    ) -> None:
        """Store a transition; the oldest one is overwritten once the buffer is full.

        next_observation: the true successor, not the first observation of a new episode.
        terminated: whether the episode ended in `next_observation`, whose value is then 0. An
            episode that was only cut off (truncated) is passed as False.

        Raises `UserError` for shapes or types other than those of the first transition.
        """
        parts = (observation, action, next_observation)
        given = {name: _array(name, part) for name, part in zip(_PARTS, parts, strict=True)}
        given["reward"], given["terminated"] = _number("reward", reward), _flag(terminated)
        if not self._rows:
            self._allocate(given)
        for name, value in given.items():
            self._require_like_first(name, value)
        for name, value in given.items():
            self._rows[name][self._next] = value
        self._next = (self._next + 1) % self.capacity
        self._size = min(self._size + 1, self.capacity)

    def sample(self, batch_size: int, *, device: str | torch.device = "cpu") -> Batch:
        """Draw `batch_size` different transitions. Raises `UserError` if there are not so many."""
        batch_size = integer("batch_size", batch_size, Range(1))
        if batch_size > self._size:
            raise UserError(
                f"a batch of {batch_size} was asked of a buffer of {self._size} - its transitions "
                "are all different - begin to learn when len(buffer) >= batch_size"
            )
        chosen = self._stream.choice(self._size, batch_size, replace=False, shuffle=False)
        rows = {name: torch.from_numpy(stored[chosen]) for name, stored in self._rows.items()}
        return Batch(**{name: rows[name].to(device) for name in Batch._fields})

    def _allocate(self, given: dict[str, Array]) -> None:
        row_bytes = sum(value.nbytes for value in given.values())
        require_bytes(self.capacity * row_bytes, self.capacity, row_bytes, "capacity")
        for name, value in given.items():
            self._rows[name] = np.zeros((self.capacity, *value.shape), value.dtype)

    def _require_like_first(self, name: str, value: Array) -> None:
        stored = self._rows[name]
        if value.shape != stored.shape[1:]:
            one, other = list(value.shape), list(stored.shape[1:])
            raise UserError(
                f"{name} has the shape {one} - that of the first transition was {other} - add one "
                "transition at a time, each of the same shape"
            )
        if value.dtype.kind == "f" and stored.dtype.kind != "f":
            raise UserError(
                f"{name} is of floating point - in the first transition it was an integer, "
                f"{stored.dtype} - give it as float from the first on"
            )


def _array(name: str, part: Any) -> Array:
    if isinstance(part, Tensor):
        part = part.detach().cpu().numpy()
    found = np.atleast_1d(np.asarray(part))
    if found.dtype.kind not in "fiub":
        raise UserError(
            f"{name} is {part!r:.80} - a buffer stores numbers - give an array, a tensor or a "
            "number; flatten a dict with gymnasium.wrappers.FlattenObservation"
        )
    return found.astype(np.float32) if found.dtype.kind == "f" else found


def _number(name: str, value: Any) -> Array:
    found = _array(name, value)
    if found.size != 1:
        raise UserError(f"{name} has {found.size} numbers - it is one number for a transition")
    return found.astype(np.float32).reshape(())


def _flag(value: Any) -> Array:
    found = _number("terminated", value)
    if found not in (0, 1):
        raise UserError(f"terminated is {value!r:.80} - it must be True or False")
    return found
