"""The algorithms that are sets of values of SAC, at a size for tests."""

from typing import Any

from footlight.algorithms import ALGORITHMS, find

VARIANTS = [name for name in ALGORITHMS if name != "sac" and find(name) is find("sac")]

DIFFERENT = [name for name in ALGORITHMS if name not in VARIANTS or name in ("crossq", "droq")]
"""Algorithms whose states differ in kind: of the variants, one with the statistics of batches and
one with the counters of dropout."""


def small(name: str) -> dict[str, Any]:
    """Fields that make an agent small and let it learn early; all else is the variant's own."""
    fields = {
        "hidden_sizes": (16, 16), "actor_hidden_sizes": (16,), "batch_size": 8, "buffer_size": 100,
        "learning_starts": 8,
    }  # fmt: skip
    return fields | ({"num_critics": 3} if name in ("redq", "tqc") else {})
