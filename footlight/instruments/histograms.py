"""Histograms of weights and last gradients, by the names of the parameters."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from footlight.algorithms.ordinary_parts import LiveNetworks
from footlight.equations.optimizers import memories
from footlight.networks.flat import Network

NUM_BINS = 32


def histograms(networks: Any, state: Any) -> dict[str, Any]:
    """Return histograms of `weights` and `gradients` by parameter name.

    Each has the `counts` of the values in bins of equal width between `low` and `high`. Gradients
    are present if optimizers keep them; if two optimizers share parameters, the name of a gradient
    begins with that of its optimizer.
    """
    if isinstance(networks, LiveNetworks):
        return _of_modules(networks.modules)
    weights: dict[str, Any] = {}
    gradients: dict[str, Any] = {}
    for name, network in vars(networks).items():
        if isinstance(network, Network):
            parameters_P = getattr(state, name)
            weights |= _of_parts(name, network.unflatten(parameters_P))
            kept = _gradients(state, name, parameters_P)
            for memory, gradient_P in kept.items():
                prefix = f"{memory}.{name}" if len(kept) > 1 else name
                gradients |= _of_parts(prefix, network.unflatten(gradient_P))
    return {"weights": weights, "gradients": gradients}


def _of_modules(modules: Mapping[str, nn.Module]) -> dict[str, Any]:
    """Of an algorithm in ordinary PyTorch, whose gradients are where `backward` has put them."""
    weights: dict[str, Tensor] = {}
    for name, module in modules.items():
        weights |= {f"{name}.{part}": tensor for part, tensor in module.named_parameters()}
    gradients = {name: tensor.grad for name, tensor in weights.items() if tensor.grad is not None}
    return {
        "weights": {name: _histogram(tensor) for name, tensor in weights.items()},
        "gradients": {name: _histogram(tensor) for name, tensor in gradients.items()},
    }


def _gradients(state: Any, name: str, parameters_P: Tensor) -> dict[str, Tensor]:
    """The gradients kept for the parameters `name`, by the field of their optimizer's state.

    `actor_optimizer` belongs to the actor, `optimizer` to all parameters.
    """
    matching = {
        field: memory.gradient
        for field, memory in memories(state)
        if memory.gradient is not None and memory.gradient.shape == parameters_P.shape
    }
    return {
        field: gradient_P for field, gradient_P in matching.items() if field.startswith(name)
    } or matching


def _of_parts(prefix: str, parts: dict[str, Tensor]) -> dict[str, Any]:
    return {f"{prefix}.{part}": _histogram(values) for part, values in parts.items()}


def _histogram(values: Tensor) -> dict[str, Any]:
    numbers = values.detach().cpu().numpy().astype(np.float64).ravel()
    counts, edges = np.histogram(numbers[np.isfinite(numbers)], NUM_BINS)
    return {"counts": counts.tolist(), "low": float(edges[0]), "high": float(edges[-1])}
