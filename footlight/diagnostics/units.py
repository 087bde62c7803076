"""Hidden units on a batch of states: dormant, saturated, and the rank of the last layer."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

DORMANT = 0.025
"""Share of a layer's mean activation below which a unit is dormant: Sokar et al. 2023,
arXiv:2302.12902, with the level of Xu et al. 2024, arXiv:2310.19668."""
SATURATED, MOSTLY = 0.99, 0.95
"""A bounded unit is saturated if its absolute value is above the first in that share of states."""
RANK_ROWS = 128  # the time of eigenvalues grows with the cube
_BOUNDED = nn.Tanh, nn.Softsign
_UNBOUNDED = nn.ReLU, nn.ELU, nn.GELU, nn.SiLU, nn.LeakyReLU, nn.Mish, nn.Softplus


class Activation(NamedTuple):
    """The output of an activation layer."""

    layer: nn.Module
    output: Tensor  # [B, ...]


@contextlib.contextmanager
def recorded(modules: Iterable[nn.Module]) -> Iterator[list[Activation]]:
    """The outputs of all activation layers in `modules` that are called in the block."""
    found: list[Activation] = []

    def keep(layer: nn.Module, _: object, output: object) -> None:
        if isinstance(output, Tensor):
            found.append(Activation(layer, output))

    hooks = [
        layer.register_forward_hook(keep)
        for module in modules
        for layer in module.modules()
        if isinstance(layer, (*_BOUNDED, *_UNBOUNDED))
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def hidden_units(activations: Sequence[Activation]) -> dict[str, float]:
    """`dormant`, `saturated` and `rank`, as far as there are layers that can be judged."""
    units = [
        (layer, output.detach().flatten(1).float())
        for layer, output in activations
        if output.dim() > 1 and len(output) > 1
    ]
    if not units:
        return {}
    dormant = torch.cat([_dormant(output_BH) for _, output_BH in units])
    found = {"dormant": float(dormant.float().mean())}
    bounded = [output_BH for layer, output_BH in units if isinstance(layer, _BOUNDED)]
    if bounded:
        full = [(output.abs() > SATURATED).float().mean(0) >= MOSTLY for output in bounded]
        found["saturated"] = float(torch.cat(full).float().mean())
    found["rank"] = effective_rank(units[-1][1][:: max(1, len(units[-1][1]) // RANK_ROWS)])
    return found


def _dormant(output_BH: Tensor) -> Tensor:
    """Which units have a small mean absolute activation, relative to their layer's."""
    score_H = output_BH.abs().mean(0)
    return score_H <= DORMANT * score_H.mean()


def effective_rank(feature_BH: Tensor) -> float:
    """exp(entropy of the singular values' shares), as a share of the largest possible rank.

    Roy & Vetterli 2007; of value networks, Kumar et al. 2021, arXiv:2010.14498.
    """
    feature_BH = feature_BH.double()
    is_wide = feature_BH.shape[0] <= feature_BH.shape[1]
    gram = feature_BH @ feature_BH.T if is_wide else feature_BH.T @ feature_BH
    value = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    if (total := value.sum()) <= 0:
        return 0.0
    share = value / total
    entropy = -(share * share.clamp(min=1e-30).log()).sum()
    return float(entropy.exp()) / len(value)
