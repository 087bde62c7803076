"""Features of Dict observations: those of all leaves, concatenated."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from footlight.networks.cnn import Torso, choose_torso, convolutions
from footlight.trees import Leaf


class Combined(nn.Module):
    """Convert observations {leaf: [B, ...]} to features [B, F].

    Images go through the convolutions of `torso`, choices become one-hot vectors, and everything
    else is flattened; bytes that are no images, or too small for "auto", are scaled to [0, 1].
    """

    def __init__(
        self, leaves: Mapping[str, Leaf], torso: Torso = "auto",
        layer_norm: Callable[[list[int]], nn.Module] | None = None,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:  # fmt: skip
        super().__init__()
        self._leaves = dict(leaves)
        self.images = nn.ModuleList()
        self._image_names: list[str] = []
        self.num_features = 0
        for name, leaf in leaves.items():
            if leaf_torso(torso, leaf) != "mlp":
                layers, count = convolutions(
                    leaf_torso(torso, leaf), leaf.shape, layer_norm, activation
                )
                self.images.append(nn.Sequential(*layers))
                self._image_names.append(name)
            else:
                count = sum(map(len, leaf.choices)) or math.prod(leaf.shape)
            self.num_features += count

    def forward(self, observation: Mapping[str, Tensor]) -> Tensor:
        """Features [B, F], those of the images first, then those of the other leaves in order."""
        parts = [
            convolve(observation[name])
            for name, convolve in zip(self._image_names, self.images, strict=True)
        ]
        parts += [
            _flat(observation[name], leaf)
            for name, leaf in self._leaves.items()
            if name not in self._image_names
        ]
        return torch.cat(parts, -1)


class OnCombined(nn.Module):
    """A network on the features of a Dict's leaves."""

    def __init__(self, features: Combined, body: nn.Module) -> None:
        super().__init__()
        self.features, self.body = features, body

    def forward(self, observation: Mapping[str, Tensor], *inputs: Tensor) -> Any:
        """Apply the body to the features; `inputs` follow them."""
        return self.body(self.features(observation), *inputs)


def leaf_torso(torso: Torso, leaf: Leaf) -> Torso:
    """The torso of one leaf of a Dict; "mlp" for all but images."""
    return choose_torso(torso, leaf.shape, leaf.dtype) if leaf.is_image else "mlp"


def _flat(values: Tensor, leaf: Leaf) -> Tensor:
    rows = values[:, None] if values.dim() == 1 else values.flatten(1)
    if leaf.choices:
        one_hot = [
            rows[:, index, None] == torch.arange(each.start, each.stop, device=rows.device)
            for index, each in enumerate(leaf.choices)
        ]
        return torch.cat(one_hot, -1).float()
    return rows.float() / 255 if rows.dtype == torch.uint8 else rows.float()
