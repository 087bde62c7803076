"""Named random streams, each derived from the run's seed, whose positions can be saved.

Evaluation, logging and checkpointing draw from none of the training streams, so they cannot change
a run.
"""

import zlib
from typing import Any

import numpy as np

from footlight.types import Array

_WORD = 2**64
STREAMS = ("exploration", "minibatch", "update")
MAX_SEED = 2**63 - 1


def derived_seed(seed: int, name: str, *indices: int) -> int:
    """Return a seed in [0, 2**31) for `name`, such as "episode", and its indices.

    Different names and indices give independent seeds. They have 31 bits, because many simulators
    store the seed that is passed to `reset` in a C int.
    """
    key = (zlib.crc32(name.encode()), *indices)
    return int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1)[0]) & (2**31 - 1)


def stream_words(stream: np.random.Generator) -> Array:
    """The position of a PCG64 generator as an array [6] of uint64."""
    position: Any = stream.bit_generator.state
    words = [word for name in ("state", "inc") for word in divmod(position["state"][name], _WORD)]
    return np.array([*words, position["has_uint32"], position["uinteger"]], np.uint64)


def take_words(stream: np.random.Generator, words: Array) -> None:
    """Continue from `stream_words`. Raises `ValueError` for anything else."""
    wrong = ValueError("the words are not the state of a PCG64")
    if words.shape != (6,) or words.dtype != np.uint64:
        raise wrong
    high, low, increment_high, increment_low, has_uint32, uinteger = words.tolist()
    increment = increment_high * _WORD + increment_low
    if increment % 2 == 0 or has_uint32 > 1 or uinteger >= 2**32:
        raise wrong
    stream.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": high * _WORD + low, "inc": increment},
        "has_uint32": has_uint32,
        "uinteger": uinteger,
    }


class Streams:
    """The random generators of one agent: `exploration`, `minibatch`, `update` (update noise)."""

    def __init__(self, seed: int) -> None:
        self.exploration, self.minibatch, self.update = (
            np.random.Generator(
                np.random.PCG64(
                    np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()),))
                )
            )
            for name in STREAMS
        )

    def positions(self) -> dict[str, Any]:
        """The position of each stream, as strict JSON."""
        return {name: getattr(self, name).bit_generator.state for name in STREAMS}

    def restore(self, positions: dict[str, Any]) -> None:
        """Continue from `positions()`."""
        for name in STREAMS:
            getattr(self, name).bit_generator.state = positions[name]
