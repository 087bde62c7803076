"""Rings of frames, from which the observations of each environment are rebuilt.

Each environment has a ring of *slots*. A slot holds one frame of each image leaf of an observation,
and the whole of every other leaf. An observation is identified by its newest slot: an image leaf is
the stack of its last frames up to there, any other leaf lies in that slot.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from footlight.trees import Leaf, leaves_of
from footlight.types import Array, Spaces

_ALIGNMENT = 64  # of the leaves' arrays in one block of memory


class _Frames:
    """The frames of one leaf in all slots."""

    def __init__(self, leaf: Leaf, slots: int, memory: Array | None) -> None:
        """memory: bytes to hold them; None: they get their own."""
        self.stack = stack_size(leaf)
        shape, dtype = frame_shape(leaf), np.dtype(leaf.dtype)
        if memory is None:
            self.array = np.zeros((slots, *shape), dtype)
        else:
            self.array = memory.view(dtype).reshape(slots, *shape)
        # Floats are compared as integers: 0.0 equals -0.0, and no NaN equals itself
        self._bits = dtype if dtype.kind != "f" else np.dtype(f"u{dtype.itemsize}")

    def split(self, observation: Array) -> Array:
        """Observations of this leaf [n, *leaf shape] -> [n, stack, *frame shape]."""
        return observation.reshape(len(observation), self.stack, *self.array.shape[1:])

    def equal(self, places: Array, frames: Array) -> Array:
        """Whether the frames in these places [n, k] are these [n, k, *frame shape], as a mask
        [n]."""
        stored = self.array.take(places, 0).view(self._bits)
        same: Array = (stored == frames.view(self._bits)).reshape(len(places), -1).all(1)
        return same


class FrameStore:
    """The observations of several environments, each frame stored once.

    Frames that consecutive observations share are found by comparing their bits.
    """

    def __init__(self, spaces: Spaces, num_envs: int, slots: int, memory: Array | None) -> None:
        """slots: for each environment. memory: `store_bytes` zero bytes to hold them; None: they
        are in memory of their own."""
        leaves = spaces.observation
        self.slots, self.stack = slots, longest_stack(spaces)
        parts = (
            dict.fromkeys(leaves) if memory is None else _parts(memory, leaves, slots * num_envs)
        )
        self._frames = {
            name: _Frames(leaf, slots * num_envs, parts[name]) for name, leaf in leaves.items()
        }
        # Slots are counted from the start of the run; number i lies at position i % slots. Every
        # ring begins with a black stack.
        self.num_slots = np.full(num_envs, self.stack)

    def append(self, envs: Array, observation: Array, least: int) -> None:
        """Write the frames that these observations do not share with the newest slots.

        As few as possible, but at least `least`.
        """
        found = leaves_of(observation)
        frames = {name: held.split(found[name]) for name, held in self._frames.items()}
        for count in range(least, self.stack + 1):
            fits = self._fits(envs, frames, count)
            matching = envs[fits]
            for name, held in self._frames.items():
                new = min(count, held.stack)
                numbers = self.num_slots[matching, None] + np.arange(count - new, count)
                written = frames[name][fits, held.stack - new :]
                held.array[self.place(matching[:, None], numbers)] = written
            self.num_slots[matching] += count
            if fits.all():  # usually in the first iteration
                return
            envs, frames = envs[~fits], {name: each[~fits] for name, each in frames.items()}

    def _fits(self, envs: Array, frames: Mapping[str, Array], count: int) -> Array:
        """Whether all frames but the last `count` are those of the newest slots, as a mask [n]."""
        fits = np.ones(len(envs), bool)
        for name, held in self._frames.items():
            if count < held.stack:
                shared = self.num_slots[envs, None] + np.arange(count - held.stack, 0)
                known = frames[name][:, : held.stack - count]
                fits &= held.equal(self.place(envs[:, None], shared), known)
        return fits

    def rebuild(self, envs: Array, newest: Array, out: Array) -> None:
        """Write the observations whose newest slots these are."""
        for name, target in leaves_of(out).items():
            held = self._frames[name]
            numbers = newest[:, None] + np.arange(1 - held.stack, 1)
            places = self.place(envs[:, None], numbers).reshape(-1)
            if target.flags.c_contiguous:
                frames = target.reshape(-1, *held.array.shape[1:])  # a view
                # No index is out of bounds; mode "clip" makes NumPy write without a buffer
                np.take(held.array, places, axis=0, out=frames, mode="clip")
            else:
                target[...] = held.array.take(places, 0).reshape(target.shape)

    def place(self, envs: Array, numbers: Array) -> Array:
        """Positions in the arrays of the slots, or of the rows, with these numbers."""
        return envs * self.slots + numbers % self.slots

    def filled(self, env: int) -> dict[str, Array]:
        """Views of the written part of an environment's ring, by the name in a checkpoint."""
        start = env * self.slots
        end = start + min(int(self.num_slots[env]), self.slots)
        return {name: held.array[start:end] for name, held in self._names(env)}

    def spans(self) -> dict[str, tuple[int, int]]:
        """Slots of each ring that stay unchanged until they are overwritten, and those ever
        written."""
        return {
            name: (slots, slots)
            for env, slots in enumerate(self.num_slots.tolist())
            for name, _ in self._names(env)
        }

    def _names(self, env: int) -> Iterator[tuple[str, _Frames]]:
        for name, held in self._frames.items():
            yield f"{env}.frames.{name}".removesuffix("."), held


def stack_size(leaf: Leaf) -> int:
    """Number of frames stacked along the first axis; 1 for single images and anything else.

    With 4 axes the first one is always a stack, with 3 if it is the shortest and has neither 1 nor
    3 elements, which would be color channels.
    """
    if not leaf.is_image or len(leaf.shape) < 3:
        return 1
    first, *others = leaf.shape
    is_stack = len(others) == 3 or (first < min(others) and first not in (1, 3))
    return first if is_stack else 1


def longest_stack(spaces: Spaces) -> int:
    """The largest number of frames of a leaf."""
    return max(map(stack_size, spaces.observation.values()))


def frame_shape(leaf: Leaf) -> tuple[int, ...]:
    """The shape of one frame."""
    return leaf.shape[1:] if stack_size(leaf) > 1 else leaf.shape


def slot_bytes(spaces: Spaces) -> int:
    """Size of the frames of one slot."""
    return sum(map(_frame_bytes, spaces.observation.values()))


def store_bytes(spaces: Spaces, count: int) -> int:
    """Size of one block of memory for `count` slots, of all environments."""
    *others, last = (count * _frame_bytes(leaf) for leaf in spaces.observation.values())
    return sum(map(_padded, others)) + last


def _frame_bytes(leaf: Leaf) -> int:
    return math.prod(frame_shape(leaf)) * np.dtype(leaf.dtype).itemsize


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _parts(memory: Array, leaves: Mapping[str, Leaf], count: int) -> dict[str, Any]:
    """The bytes of each leaf."""
    parts, start = {}, 0
    for name, leaf in leaves.items():
        size = count * _frame_bytes(leaf)
        parts[name] = memory[start : start + size]
        start += _padded(size)
    return parts
