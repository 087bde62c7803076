"""Multilayer perceptrons, after convolutions for images: the networks of actors and critics."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor, nn

from footlight.networks.cnn import Torso, convolutions
from footlight.networks.combined import Combined, OnCombined
from footlight.networks.initialization import Initialization, initialize
from footlight.trees import Leaf

Activation = Literal["relu", "tanh", "elu", "gelu", "silu", "leaky-relu"]
_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "leaky-relu": nn.LeakyReLU,
}


@dataclass(frozen=True)
class Architecture:
    """The shape of a network between its inputs and outputs."""

    hidden_sizes: tuple[int, ...] = (256, 256)
    activation: Activation = "relu"
    layer_norm: bool = False
    initialization: Initialization = "pytorch"
    layer_norm_affine: bool = True
    """Whether LayerNorm has a learned scale and shift."""
    torso: Torso = "mlp"
    """Convolutions before the linear layers, or "mlp" for none."""
    leaves: Mapping[str, Leaf] = field(default_factory=dict)
    """Leaves of Dict observations, whose features are the input of the linear layers."""


POLICY_GAIN = 0.01
"""Gain of the policy's output layer with orthogonal initialization.

Small, so that the initial policy hardly prefers any action.
"""


def torso(input_shape: tuple[int, ...], architecture: Architecture) -> tuple[list[nn.Module], int]:
    """Create the layers before the output layer; return them and their number of features.

    Convolutions, if any, then linear - (LayerNorm) - activation for each hidden size.
    """
    layers: list[nn.Module] = []
    num_features = math.prod(input_shape)

    def layer_norm(shape: list[int]) -> nn.Module:
        return nn.LayerNorm(shape, elementwise_affine=architecture.layer_norm_affine)

    activation = _ACTIVATIONS[architecture.activation]
    norm = layer_norm if architecture.layer_norm else None
    if architecture.leaves:
        features = Combined(architecture.leaves, architecture.torso, norm, activation)
        layers, num_features = [features], features.num_features
    elif architecture.torso != "mlp":
        layers, num_features = convolutions(architecture.torso, input_shape, norm, activation)
    for size in architecture.hidden_sizes:
        layers.append(nn.Linear(num_features, size))
        if architecture.layer_norm:
            layers.append(layer_norm([size]))
        layers.append(activation())
        num_features = size
    return layers, num_features


def mlp(
    input_shape: tuple[int, ...],
    num_outputs: int,
    architecture: Architecture,
    last_gain: float = 1.0,
) -> nn.Sequential:
    """Create a torso followed by a linear output layer."""
    layers, num_features = torso(input_shape, architecture)
    network = nn.Sequential(*layers, nn.Linear(num_features, num_outputs))
    initialize(network, architecture.initialization, last_gain)
    return network


def as_features(observation: Tensor) -> Tensor:
    """Flatten observations [B, ...] of any dtype to float [B, O]; bytes are scaled to [0, 1]."""
    flat = observation.flatten(1)
    return flat.float() / 255 if flat.dtype == torch.uint8 else flat.float()


def combined(
    architecture: Architecture, make: Callable[[tuple[int, ...], Architecture], nn.Module]
) -> OnCombined:
    """Create a body on the features of leaves; `make` receives their shape."""
    layers, num_features = torso((), replace(architecture, hidden_sizes=()))
    (features,) = layers
    assert isinstance(features, Combined)
    initialize(features.images, architecture.initialization, has_output=False)
    body = make((num_features,), replace(architecture, torso="mlp", leaves={}))
    return OnCombined(features, body)


class DeterministicActor(nn.Module):
    """Deterministic actor, a = tanh(f(s)) in [-1, 1]^A."""

    def __init__(
        self, observation_shape: tuple[int, ...], num_actions: int, architecture: Architecture
    ) -> None:
        super().__init__()
        self.body = mlp((math.prod(observation_shape),), num_actions, architecture)

    def forward(self, observation: Tensor) -> Tensor:
        """Actions, [B, A]."""
        return self.body(as_features(observation)).tanh()


class GaussianActor(nn.Module):
    """Mean and raw log standard deviation of a diagonal Gaussian, from one output layer."""

    def __init__(
        self, observation_shape: tuple[int, ...], num_actions: int, architecture: Architecture
    ) -> None:
        super().__init__()
        self.body = mlp((math.prod(observation_shape),), 2 * num_actions, architecture)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and raw log standard deviation, [B, A] each, before any squashing or bounding."""
        mean, raw_log_std = self.body(as_features(observation)).chunk(2, -1)
        return mean, raw_log_std


class QCritic(nn.Module):
    """Q(s, a) of an observation and an action in [-1, 1]^A."""

    def __init__(
        self, observation_shape: tuple[int, ...], num_actions: int, architecture: Architecture
    ) -> None:
        super().__init__()
        self.body = mlp((math.prod(observation_shape) + num_actions,), 1, architecture)

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """Values, [B]."""
        return self.body(torch.cat([as_features(observation), action], -1)).squeeze(-1)


class ActorCritic(nn.Module):
    """Policy outputs and values, from two networks or from two output layers on a shared torso.

    num_outputs: outputs of the policy that depend on the observation; the last `num_raw_log_std` of
    them are log standard deviations.
    num_log_std: learned log standard deviations that do not depend on the observation.
    initial_log_std: initial value of both kinds.
    num_values: 1 for V(s), more for Q(s, .).
    """

    def __init__(
        self, observation_shape: tuple[int, ...], num_outputs: int, architecture: Architecture, *,
        shared: bool = False, num_log_std: int = 0, num_raw_log_std: int = 0,
        initial_log_std: float = 0.0, num_values: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_values = num_values
        # Convolutions and the features of a Dict take observations in their own shape
        self._flat = architecture.torso == "mlp" and not architecture.leaves
        if shared:
            layers, num_features = torso(observation_shape, architecture)
            self.torso = nn.Sequential(*layers)
            self.actor = nn.Sequential(nn.Linear(num_features, num_outputs))
            self.critic = nn.Sequential(nn.Linear(num_features, num_values))
            initialize([*self.torso, *self.actor], architecture.initialization, POLICY_GAIN)
            initialize(self.critic, architecture.initialization)
        else:
            self.torso = nn.Sequential()
            self.actor = mlp(observation_shape, num_outputs, architecture, POLICY_GAIN)
            self.critic = mlp(observation_shape, num_values, architecture)
        log_std = torch.full((num_log_std,), initial_log_std)
        self.log_std = nn.Parameter(log_std) if num_log_std else None
        if num_raw_log_std:
            output_bias = list(self.actor.parameters())[-1]
            with torch.no_grad():
                output_bias[-num_raw_log_std:] += initial_log_std

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """The policy's outputs [B, H], and values [B], or [B, num_values] if there are several."""
        features = self.torso(as_features(observation) if self._flat else observation)
        output, value = self.actor(features), self.critic(features)
        if self.log_std is not None:
            output = torch.cat([output, self.log_std.expand_as(output)], -1)
        return output, value.squeeze(-1) if self.num_values == 1 else value
