"""Target networks of hand-written code: a running average of the network that learns."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from footlight.errors import UserError


@torch.no_grad()
def soft_update(target: nn.Module, online: nn.Module, tau: float) -> None:
    """Move the parameters of `target` towards those of `online` by the fraction `tau`.

    target ← (1 − tau) · target + tau · online for each parameter; buffers, such as the running
    statistics of a BatchNorm layer, are copied. tau: in [0, 1]; 1 copies everything. Raises
    `UserError` unless both modules have the same parameters, of the same shapes.

        target = copy.deepcopy(critic)              # once, before the first update
        footlight.soft_update(target, critic, tau=0.005)
    """
    if isinstance(tau, bool) or not isinstance(tau, int | float) or not 0 <= tau <= 1:
        raise UserError(f"tau is {tau!r} - it must be a number in [0, 1] - use 0.005, for example")
    if target is online:
        raise UserError(
            "target and online are one module - the target has to be a copy, which stays behind - "
            "make it with copy.deepcopy(online)"
        )
    parameters, buffers = dict(target.named_parameters()), dict(target.named_buffers())
    learned, counted = dict(online.named_parameters()), dict(online.named_buffers())
    _require_same(parameters, learned)
    _require_same(buffers, counted)
    for name, parameter in parameters.items():
        parameter.lerp_(learned[name].to(parameter.device), tau)
    for name, buffer in buffers.items():
        buffer.copy_(counted[name])


def _require_same(targets: Mapping[str, Tensor], onlines: Mapping[str, Tensor]) -> None:
    remedy = "make the target with copy.deepcopy(online)"
    if different := sorted(targets.keys() ^ onlines.keys()):
        where = "target" if different[0] in onlines else "online"
        raise UserError(f"{where} has no {different[0]} - both need the same parts - {remedy}")
    for name, part in targets.items():
        one, other = list(part.shape), list(onlines[name].shape)
        if one != other:
            raise UserError(f"{name} is {one} in target and {other} in online - {remedy}")
