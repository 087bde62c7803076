"""Random observations on which an exported policy is compared with the original."""

import numpy as np

from footlight.learning.normalization import Normalizer
from footlight.trees import Leaf, packed
from footlight.types import Array, Spaces


def draw_observations(
    stream: np.random.Generator, number: int, spaces: Spaces, normalizer: Normalizer | None
) -> Array:
    """Observations [number, ...], or records of a Dict's leaves, that tell policies apart."""
    drawn = {
        name: _draw(stream, number, leaf, name, normalizer)
        for name, leaf in spaces.observation.items()
    }
    if not spaces.has_leaves:
        return drawn[""]
    return np.asarray(packed(drawn, np.dtype(spaces.observation_dtype), (number,)))


def _draw(
    stream: np.random.Generator, number: int, leaf: Leaf, name: str, normalizer: Normalizer | None
) -> Array:
    """One leaf, uniform where it is a choice.

    Bytes are noise, darker in some places than in others, for even noise looks always the same to
    convolutions. Other numbers lie around what was seen, or 0, spread by a tenth to ten times its
    standard deviation, or 1.
    """
    shape, dtype = (number, *leaf.shape), np.dtype(leaf.dtype)
    if leaf.choices:
        starts, stops = ([of(each) for each in leaf.choices] for of in (min, max))
        chosen = stream.integers(starts, stops, (number, len(starts)), endpoint=True)
        return chosen.reshape(shape).astype(dtype)
    rest = [1] * (len(leaf.shape) - 1)
    if dtype == np.uint8:
        drawn = stream.integers(0, 256, shape) * stream.uniform(0, 1, (*shape[:2], *rest))
    else:
        spread_shape = (number, 1, *rest) if leaf.shape else (number,)
        drawn = stream.standard_normal(shape) * 10 ** stream.uniform(-1, 1, spread_shape)
        if normalizer is not None and normalizer.observations and name in normalizer.means:
            drawn = drawn / normalizer.scales[name] + normalizer.means[name]
    if dtype.kind in "iu":
        drawn = np.clip(np.rint(drawn), np.iinfo(dtype).min, np.iinfo(dtype).max)
    return drawn.astype(dtype)
