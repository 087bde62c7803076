"""Multilayer perceptrons and the three networks that off-policy actor-critics are made of."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from footlight.networks.initialisation import Initialisation, initialise

Activation = Literal["relu", "tanh", "elu", "gelu", "silu"]
_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU, "tanh": nn.Tanh, "elu": nn.ELU, "gelu": nn.GELU, "silu": nn.SiLU,
}  # fmt: skip


@dataclass(frozen=True)
class Architecture:
    """The shape of a multilayer perceptron between its inputs and outputs."""

    hidden_sizes: tuple[int, ...] = (256, 256)
    activation: Activation = "relu"
    layer_norm: bool = False
    initialisation: Initialisation = "pytorch"


def mlp(num_inputs: int, num_outputs: int, architecture: Architecture) -> nn.Sequential:
    """Linear - (LayerNorm) - activation for each hidden size, then a linear layer."""
    layers: list[nn.Module] = []
    for size in architecture.hidden_sizes:
        layers.append(nn.Linear(num_inputs, size))
        if architecture.layer_norm:
            layers.append(nn.LayerNorm(size))
        layers.append(_ACTIVATIONS[architecture.activation]())
        num_inputs = size
    network = nn.Sequential(*layers, nn.Linear(num_inputs, num_outputs))
    initialise(network, architecture.initialisation)
    return network


def as_features(observation: Tensor) -> Tensor:
    """Observations [B, ...] of any stored dtype -> float [B, O]; bytes are scaled to [0, 1]."""
    flat = observation.flatten(1)
    return flat.float() / 255 if flat.dtype == torch.uint8 else flat.float()


class DeterministicActor(nn.Module):
    """a = tanh(f(s)) in [-1, 1]^A."""

    def __init__(self, observation_shape: tuple[int, ...], num_actions: int, architecture: Architecture) -> None:
        super().__init__()
        self.body = mlp(math.prod(observation_shape), num_actions, architecture)

    def forward(self, observation: Tensor) -> Tensor:
        """Actions, [B, A]."""
        return self.body(as_features(observation)).tanh()


class GaussianActor(nn.Module):
    """Mean and raw log standard deviation of a diagonal Gaussian; one last layer gives both."""

    def __init__(self, observation_shape: tuple[int, ...], num_actions: int, architecture: Architecture) -> None:
        super().__init__()
        self.body = mlp(math.prod(observation_shape), 2 * num_actions, architecture)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and raw log standard deviation, [B, A] each, before any squashing or bounding."""
        mean, raw_log_std = self.body(as_features(observation)).chunk(2, -1)
        return mean, raw_log_std


class QCritic(nn.Module):
    """Q(s, a) of an observation and an action in [-1, 1]^A."""

    def __init__(self, observation_shape: tuple[int, ...], num_actions: int, architecture: Architecture) -> None:
        super().__init__()
        self.body = mlp(math.prod(observation_shape) + num_actions, 1, architecture)

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """Values, [B]."""
        return self.body(torch.cat([as_features(observation), action], -1)).squeeze(-1)
