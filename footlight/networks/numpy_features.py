"""Features of observations with several leaves, or of choices, in NumPy."""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from torch import Tensor

from footlight.networks.combined import Combined, is_large
from footlight.trees import Leaf, leaves_of
from footlight.types import Array, FloatArray


def numpy_features(
    features: Combined, parameters: Mapping[str, Tensor]
) -> Callable[[Array], FloatArray] | None:
    """`Combined.forward` for arrays or records [E] of observations; None if there are images.

    parameters: its own, by name. It uses views of them, so it follows their updates.
    """
    if len(features.images):
        return None
    tables = (parameters[name].numpy() for name, _ in features.named_parameters())
    encoders = {name: _encoder(leaf, tables) for name, leaf in features.others.items()}

    def forward(observation: Array) -> FloatArray:
        observed = leaves_of(observation)
        parts = [part for name, encode in encoders.items() for part in encode(observed[name])]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, 1)

    return forward


def _encoder(leaf: Leaf, tables: Iterator[FloatArray]) -> Callable[[Array], Iterator[FloatArray]]:
    """A function from a leaf's values [E, ...] to its features, in parts [E, F]."""
    choices = [
        (np.arange(each.start, each.stop), next(tables) if is_large(each) else None)
        for each in leaf.choices
    ]

    def encode(values: Array) -> Iterator[FloatArray]:
        rows = values.reshape(len(values), math.prod(values.shape[1:]))
        for index, (options, table) in enumerate(choices):
            if table is not None:
                yield table.take(rows[:, index] - options[0], 0, mode="clip")
            else:
                yield (rows[:, index, None] == options).astype(np.float32)
        if not choices:
            numbers: FloatArray = rows.astype(np.float32, copy=False)
            yield numbers / np.float32(255) if rows.dtype == np.uint8 else numbers

    return encode
