"""Weights of constant norm, restored after each step of the optimizer: what a layer learns is then
only a direction, and its effective learning rate does not fall as its weights grow."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from footlight.networks.norms import BatchNorm

UnitWeights = Literal["none", "hidden", "all", "all-and-norms"]
"""Rows of hidden layers (CrossQ with weight normalization), of all layers (XQC), or of all layers
with the scales of normalizations beside them (FlashSAC)."""


def restore_norms_(module: nn.Module, views: Mapping[str, Tensor], kind: UnitWeights) -> None:
    """Divide rows of weights by their norm, in place.

    views: the parameters by name, [..., out, in], also those of an ensemble. With `all-and-norms`
    the scale and shift of a BatchNorm of size d, and the scale of an RMSNorm, get the norm sqrt(d).
    """
    if kind == "none":
        return
    linear = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)]
    for name in linear[:-1] if kind == "hidden" else linear:
        weight = views[f"{name}.weight".lstrip(".")]  # a module that is itself a layer has no name
        weight.copy_(weight / weight.norm(dim=-1, keepdim=True).clamp(min=1e-8))
    if kind != "all-and-norms":
        return
    for name, part in module.named_modules():
        if isinstance(part, BatchNorm | nn.RMSNorm):
            own = [views[each] for each, _ in part.named_parameters(name, recurse=False)]
            square = torch.stack([each.square().sum(-1, keepdim=True) for each in own]).sum(0)
            for each in own:
                each.copy_(each * (each.shape[-1] / square.clamp(min=1e-8)).sqrt())
