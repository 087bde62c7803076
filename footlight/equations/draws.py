"""Random numbers that an update takes, as values: drawn outside of it, passed in by name."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from footlight.types import Array


class Draw(Protocol):
    """One array of random numbers."""

    def empty(self) -> Array:
        """An array to hold them."""

    def fill(self, out: Array, stream: np.random.Generator) -> None:
        """Draw new numbers into `out`."""


@dataclass(frozen=True)
class Normal:
    """Standard normal numbers."""

    shape: tuple[int, ...]

    def empty(self) -> Array:
        """Float32, of this shape."""
        return np.zeros(self.shape, np.float32)

    def fill(self, out: Array, stream: np.random.Generator) -> None:
        """Draw independent numbers; an empty array draws nothing."""
        if out.size:
            stream.standard_normal(out=out, dtype=np.float32)


@dataclass(frozen=True)
class Uniform:
    """Numbers from [0, 1)."""

    shape: tuple[int, ...]

    def empty(self) -> Array:
        """Float32, of this shape."""
        return np.zeros(self.shape, np.float32)

    def fill(self, out: Array, stream: np.random.Generator) -> None:
        """Independent draws."""
        stream.random(out=out, dtype=np.float32)


@dataclass(frozen=True)
class Bernoulli:
    """A mask: 1 with probability `p`, otherwise 0."""

    shape: tuple[int, ...]
    p: float

    def empty(self) -> Array:
        """Float32, of this shape."""
        return np.zeros(self.shape, np.float32)

    def fill(self, out: Array, stream: np.random.Generator) -> None:
        """Independent draws."""
        out[...] = stream.random(self.shape, dtype=np.float32) < self.p


@dataclass(frozen=True)
class Subset:
    """`k` different numbers out of 0, ..., `n` - 1, in random order."""

    n: int
    k: int

    def empty(self) -> Array:
        """Int64, [k]."""
        return np.zeros(self.k, np.int64)

    def fill(self, out: Array, stream: np.random.Generator) -> None:
        """Without replacement."""
        out[:] = stream.choice(self.n, self.k, replace=False)
