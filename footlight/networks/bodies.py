"""Multilayer perceptrons, after convolutions for images: the networks of actors and critics."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor, nn

from footlight.networks.cnn import Torso, convolutions
from footlight.networks.combined import Combined, OnCombined
from footlight.networks.dropout import Dropout
from footlight.networks.initialization import Initialization, initialize
from footlight.networks.norms import Norm, norm_layer, uses_batches
from footlight.networks.residual import ResidualKind, residual_layers
from footlight.networks.unit_weights import UnitWeights
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
    norm: Norm = "none"
    """Normalization before each activation, or of each residual block."""
    initialization: Initialization = "pytorch"
    norm_affine: bool = True
    """Whether LayerNorm and RMSNorm have a learned scale (and shift)."""
    norm_after_activation: bool = False
    """Whether the normalization comes after each activation of an mlp instead of before it."""
    normalizes_input: bool = False
    """Whether the input of the linear layers is normalized, too."""
    body: Literal["mlp"] | ResidualKind = "mlp"
    """Linear layers one after another, or residual blocks."""
    dropout: float = 0.0
    """Probability with which a hidden feature is zeroed in training."""
    unit_weights: UnitWeights = "none"
    """Which rows of weights have norm 1; hidden layers then have no bias."""
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

    Convolutions, if any, then linear - (Dropout) - (normalization) - activation for each hidden
    size (the last two the other way round with `norm_after_activation`), or residual blocks.
    """
    layers: list[nn.Module] = []
    num_features = math.prod(input_shape)
    activation = _ACTIVATIONS[architecture.activation]
    norm = norm_layer(architecture.norm, architecture.norm_affine)
    of_images = None if uses_batches(architecture.norm) else norm
    if architecture.leaves:
        features = Combined(architecture.leaves, architecture.torso, of_images, activation)
        layers, num_features = [features], features.num_features
    elif architecture.torso != "mlp":
        layers, num_features = convolutions(architecture.torso, input_shape, of_images, activation)
    if norm is not None and architecture.normalizes_input:
        layers.append(norm([num_features]))
    # A shift right before batch normalization changes nothing; unit weights are meant to be alone
    is_last = architecture.norm_after_activation
    is_before = architecture.body == "mlp" and not is_last
    is_before |= architecture.body == "residual-post-norm"
    shifts = not (is_before and uses_batches(architecture.norm))
    has_bias = architecture.unit_weights == "none" and shifts
    if architecture.body != "mlp":
        sizes = architecture.hidden_sizes
        blocks = residual_layers(architecture.body, num_features, sizes, norm, activation, has_bias)
        return [*layers, *blocks], sizes[0]
    for size in architecture.hidden_sizes:
        layers.append(nn.Linear(num_features, size, bias=has_bias))
        if architecture.dropout:
            layers.append(Dropout(architecture.dropout))
        following = [*([] if norm is None else [norm([size])]), activation()]
        layers += reversed(following) if is_last else following
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
    of_leaves = replace(architecture, hidden_sizes=(), normalizes_input=False, body="mlp")
    (features,), num_features = torso((), of_leaves)
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
    """Q(s, a) of an observation and an action in [-1, 1]^A.

    num_outputs: 1 for a value, more for its distribution: quantiles, or logits of bins.
    """

    def __init__(
        self, observation_shape: tuple[int, ...], num_actions: int, architecture: Architecture,
        num_outputs: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_outputs = num_outputs
        num_inputs = math.prod(observation_shape) + num_actions
        self.body = mlp((num_inputs,), num_outputs, architecture)

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """Values, [B], or [B, num_outputs]."""
        output: Tensor = self.body(torch.cat([as_features(observation), action], -1))
        return output.squeeze(-1) if self.num_outputs == 1 else output


class ChoiceNetwork(nn.Module):
    """One number for each choice: a policy's logits, or values Q(s, .).

    last_gain: gain of the output layer with orthogonal initialization.
    """

    def __init__(
        self, observation_shape: tuple[int, ...], num_choices: int, architecture: Architecture,
        last_gain: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__()
        # Convolutions and the features of a Dict take observations in their own shape
        self._flat = architecture.torso == "mlp" and not architecture.leaves
        self.body = mlp(observation_shape, num_choices, architecture, last_gain)

    def forward(self, observation: Tensor) -> Tensor:
        """[B, A]."""
        return self.body(as_features(observation) if self._flat else observation)


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
