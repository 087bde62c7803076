"""Named random streams, each derived from the run's seed, whose positions can be saved.

Evaluation, logging and checkpointing draw from none of the training streams, so they cannot change
a run.
"""

import zlib
from typing import Any

import numpy as np

STREAMS = ("exploration", "minibatch", "update")
MAX_SEED = 2**63 - 1


def derived_seed(seed: int, name: str, *indices: int) -> int:
    """Return a seed in [0, 2**31) for `name`, such as "episode", and its indices.

    Different names and indices give independent seeds. They have 31 bits, because many simulators
    store the seed that is passed to `reset` in a C int.
    """
    key = (zlib.crc32(name.encode()), *indices)
    return int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1)[0]) & (2**31 - 1)


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
