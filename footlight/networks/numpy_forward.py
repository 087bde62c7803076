"""The forward pass of our own actors in NumPy: for one observation, torch spends more time on dispatch than on arithmetic."""

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor, nn

from footlight.networks.mlp import DeterministicActor, GaussianActor
from footlight.types import Array, FloatArray

Step = Callable[[FloatArray], FloatArray]


def numpy_forward(module: nn.Module, parameters: dict[str, Tensor]) -> Callable[[Array], Any] | None:
    """`module` as a function of observations [E, ...], on views of `parameters`; None for a module that only torch can run."""
    if type(module) is DeterministicActor:
        head: Callable[[FloatArray], Any] = np.tanh
    elif type(module) is GaussianActor:
        head = _halves
    else:
        return None
    steps: list[Step] = []
    for index, layer in enumerate(module.body):
        views = [parameters[f"body.{index}.{name}"].numpy() for name, _ in layer.named_parameters()]
        step = _step(layer, views)
        if step is None:
            return None
        steps.append(step)

    def forward(observation: Array) -> Any:
        flat = observation.reshape(len(observation), -1)
        x: FloatArray = flat.astype(np.float32, copy=False)
        if flat.dtype == np.uint8:
            x = x / np.float32(255)
        for step in steps:
            x = step(x)
        return head(x)

    return forward


def _step(layer: nn.Module, views: list[FloatArray]) -> Step | None:
    if type(layer) is nn.Linear and len(views) == 2:
        return _linear(*views)
    if type(layer) is nn.LayerNorm and len(views) == 2:
        return _layer_norm(layer.eps, *views)
    if type(layer) is nn.ReLU:
        return lambda x: np.maximum(x, np.float32(0), out=x)
    if type(layer) is nn.Tanh:
        return lambda x: np.tanh(x, out=x)
    return None


def _linear(weight: FloatArray, bias: FloatArray) -> Step:
    transposed = weight.T

    def step(x: FloatArray) -> FloatArray:
        out: FloatArray = np.dot(x, transposed)
        out += bias
        return out

    return step


def _layer_norm(epsilon: float, weight: FloatArray, bias: FloatArray) -> Step:
    def step(x: FloatArray) -> FloatArray:
        centred = x - x.mean(-1, keepdims=True)
        deviation = np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(epsilon))
        return centred / deviation * weight + bias

    return step


def _halves(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    half = x.shape[1] // 2
    return x[:, :half], x[:, half:]
