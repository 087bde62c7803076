"""Histograms of an agent's weights and of its optimizers' last gradients, by the parameters' own names."""

from typing import Any

import numpy as np
from torch import Tensor

from footlight.equations.optimizers import memories
from footlight.networks.flat import Network

NUM_BINS = 32


def histograms(networks: Any, state: Any) -> dict[str, Any]:
    """`weights` and `gradients`: for each parameter the `counts` of its values in bins of one width between `low` and `high`.

    Gradients are there where optimizers keep them. An optimizer's name is part of a gradient's where two share parameters.
    """
    weights: dict[str, Any] = {}
    gradients: dict[str, Any] = {}
    for name, network in vars(networks).items():
        if isinstance(network, Network):
            parameters_P = getattr(state, name)
            weights |= _of_parts(name, network.named(parameters_P))
            kept = _gradients(state, name, parameters_P)
            for memory, gradient_P in kept.items():
                prefix = f"{memory}.{name}" if len(kept) > 1 else name
                gradients |= _of_parts(prefix, network.named(gradient_P))
    return {"weights": weights, "gradients": gradients}


def _gradients(state: Any, name: str, parameters_P: Tensor) -> dict[str, Tensor]:
    """The gradients kept for the parameters `name`, by their memory's name: `actor_optimizer` is
    the actor's, `optimizer` anyone's."""
    fitting = {
        field: memory.gradient
        for field, memory in memories(state)
        if memory.gradient is not None and memory.gradient.shape == parameters_P.shape
    }
    return {
        field: gradient_P for field, gradient_P in fitting.items() if field.startswith(name)
    } or fitting


def _of_parts(prefix: str, parts: dict[str, Tensor]) -> dict[str, Any]:
    return {f"{prefix}.{part}": _histogram(values) for part, values in parts.items()}


def _histogram(values: Tensor) -> dict[str, Any]:
    numbers = values.detach().cpu().numpy().astype(np.float64).ravel()
    counts, edges = np.histogram(numbers[np.isfinite(numbers)], NUM_BINS)
    return {"counts": counts.tolist(), "low": float(edges[0]), "high": float(edges[-1])}
