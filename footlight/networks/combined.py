"""Features of observations of several leaves, or of choices: those of all leaves, concatenated."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from footlight.networks.cnn import Torso, choose_torso, convolutions
from footlight.trees import Leaf, leaves_of
from footlight.types import Spaces

MAX_ONE_HOT = 1_000
"""Options up to which a choice becomes a one-hot vector; with more it is embedded."""
EMBEDDING_SIZE = 64


def encoded_leaves(spaces: Spaces) -> dict[str, Leaf]:
    """The leaves that networks encode one by one; {} for a Box, which is one array of numbers."""
    leaves = spaces.observation
    if spaces.has_leaves:
        return leaves
    return leaves if leaves[""].choices or leaves[""].shape == () else {}


class Combined(nn.Module):
    """Convert observations {leaf: [B, ...]}, or those of the one leaf "", to features [B, F].

    Images go through the convolutions of `torso`. Choices become one-hot vectors, or, with more
    than `MAX_ONE_HOT` options, learned vectors. Everything else is flattened; bytes that are not
    images, or too small for "auto", are scaled to [0, 1].
    """

    def __init__(
        self, leaves: Mapping[str, Leaf], torso: Torso = "auto",
        layer_norm: Callable[[list[int]], nn.Module] | None = None,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:  # fmt: skip
        super().__init__()
        self._leaves = dict(leaves)
        self.images = nn.ModuleList()
        self.embeddings = nn.ModuleList()
        self._image_names: list[str] = []
        self.num_features = 0
        for name, leaf in leaves.items():
            if leaf_torso(torso, leaf) != "mlp":
                layers, count = convolutions(
                    leaf_torso(torso, leaf), leaf.shape, layer_norm, activation
                )
                self.images.append(nn.Sequential(*layers))
                self._image_names.append(name)
            elif leaf.choices:
                count = sum(
                    EMBEDDING_SIZE if is_large(each) else len(each) for each in leaf.choices
                )
                self.embeddings.extend(
                    nn.Embedding(len(each), EMBEDDING_SIZE)
                    for each in leaf.choices
                    if is_large(each)
                )
            else:
                count = math.prod(leaf.shape)
            self.num_features += count

    @property
    def others(self) -> dict[str, Leaf]:
        """The leaves that go through no convolutions."""
        return {n: leaf for n, leaf in self._leaves.items() if n not in self._image_names}

    def forward(self, observation: Any) -> Tensor:
        """Features [B, F], those of the images first, then those of the other leaves in order."""
        observed = leaves_of(observation)
        parts = [
            convolve(observed[name])
            for name, convolve in zip(self._image_names, self.images, strict=True)
        ]
        embeddings = self.embeddings.parameters()
        parts += [_flat(observed[name], leaf, embeddings) for name, leaf in self.others.items()]
        return torch.cat(parts, -1)


class OnCombined(nn.Module):
    """A network on the features of a Dict's leaves."""

    def __init__(self, features: Combined, body: nn.Module) -> None:
        super().__init__()
        self.features, self.body = features, body

    def forward(self, observation: Any, *inputs: Tensor) -> Any:
        """Apply the body to the features; `inputs` follow them."""
        return self.body(self.features(observation), *inputs)


def leaf_torso(torso: Torso, leaf: Leaf) -> Torso:
    """The torso of one leaf of a Dict; "mlp" for all but images."""
    return choose_torso(torso, leaf.shape, leaf.dtype) if leaf.is_image else "mlp"


def is_large(options: range) -> bool:
    """Whether a choice of these options is embedded."""
    return len(options) > MAX_ONE_HOT


def _flat(values: Tensor, leaf: Leaf, embeddings: Iterator[Tensor]) -> Tensor:
    rows = values[:, None] if values.dim() == 1 else values.flatten(1)
    if leaf.choices:
        parts = []
        for index, each in enumerate(leaf.choices):
            options = torch.arange(each.start, each.stop, device=rows.device)
            one_hot = rows[:, index, None] == options
            if is_large(each):
                # A product instead of a lookup, whose gradient is a sum in no fixed order
                parts.append(one_hot.float() @ next(embeddings))
            else:
                parts.append(one_hot.float())
        return torch.cat(parts, -1)
    return rows.float() / 255 if rows.dtype == torch.uint8 else rows.float()
