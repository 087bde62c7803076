"""The modules that a network is made of: which are refused, and the names of their tensors."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from footlight.errors import UserError


def require_parameters(module: nn.Module, kind: str) -> None:
    """Raise `UserError` for a module without parameters. kind: the name of its class."""
    if next(module.parameters(), None) is None:
        raise UserError(
            f"the network's part {kind} has no parameters - nothing in it can learn - assign each "
            "layer to an attribute, or a list of layers as a torch.nn.ModuleList"
        )


def require_no_hidden_state(module: nn.Module, keeps_statistics: bool) -> None:
    """Raise `UserError` for layers that change, or draw random numbers, when they are called.

    keeps_statistics: whether running statistics are part of the state, and so not hidden.
    """
    for name, part in module.named_modules():
        is_random = isinstance(part, nn.modules.dropout._DropoutNd | nn.RReLU)
        is_tracking = getattr(part, "track_running_stats", False) and not keeps_statistics
        if is_random or is_tracking:
            kind = type(part).__name__
            raise UserError(
                f"the network's part {name or kind!r} is a {kind} - its running statistics or "
                "random draws would be hidden state, and a resumed run would differ - use "
                "LayerNorm, or none"
            )


def require_equal(modules: Sequence[nn.Module], keeps_statistics: bool) -> None:
    """Raise `UserError` where the modules of an ensemble differ in more than their parameters.

    Each is called as the first one is, with the first one's buffers.
    keeps_statistics: whether each has buffers of its own instead, as part of the state.
    """
    first = modules[0]
    for module in modules[1:]:
        if _shapes(module) != _shapes(first):
            raise UserError(
                "the critics of an ensemble differ in shape - each call of `network` must build "
                "the same one"
            )
    if keeps_statistics:
        return
    for module in modules[1:]:
        mine, other = dict(first.named_buffers()), dict(module.named_buffers())
        if mine.keys() != other.keys() or not all(torch.equal(mine[n], other[n]) for n in mine):
            names = ", ".join(sorted({*mine, *other}))
            raise UserError(
                f"the critics of an ensemble differ in their buffers ({names}) - buffers are "
                "constants - make them equal"
            )


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: parameter.shape for name, parameter in module.named_parameters()}


def stacked(named: Sequence[Mapping[str, Tensor]], ensemble: bool) -> dict[str, Tensor]:
    """The tensors of N modules by name, along a new first dimension N; without an ensemble, those
    of the first module as they are."""
    if not ensemble:
        return {name: tensor.detach() for name, tensor in named[0].items()}
    return {name: _stack([each[name].detach() for each in named]) for name in named[0]}


def _stack(parts: list[Tensor]) -> Tensor:
    if parts[0].is_meta:  # `torch.stack` would import the compiler, which takes seconds
        return torch.empty((len(parts), *parts[0].shape), device="meta")
    return torch.stack(parts)


def paths(module: nn.Module) -> dict[str, list[str]]:
    """All names of each parameter, by its name in `named_parameters()`."""
    first = {id(parameter): name for name, parameter in module.named_parameters()}
    found: dict[str, list[str]] = {name: [] for name in first.values()}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        found[first[id(parameter)]].append(name)
    return found


def aliases(module: nn.Module) -> dict[str, str]:
    """Further names of parameters that several modules hold, each with the name in
    `named_parameters()`. A module that is reachable under several names counts once."""
    first = {id(parameter): name for name, parameter in module.named_parameters()}
    found = {}
    for path, part in module.named_modules():
        for name, parameter in part.named_parameters(path, recurse=False, remove_duplicate=False):
            if name != first[id(parameter)]:
                found[name] = first[id(parameter)]
    return found
