"""Layers of SAC's variants in their obvious form, see `sac_variants`."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn


class BatchNorm(nn.Module):
    """Ioffe & Szegedy 2015, algorithm 1, with epsilon 1e-3; running statistics move by 1 %."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(size)), nn.Parameter(torch.zeros(size))
        self.register_buffer("running_mean", torch.zeros(size))
        self.register_buffer("running_var", torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        """Normalized features, [B, size]."""
        if not self.training:
            normal = (x - self.running_mean) / (self.running_var + 1e-3).sqrt()
            return self.weight * normal + self.bias
        mean = x.sum(0) / len(x)
        variance = ((x - mean) ** 2).sum(0) / len(x)
        normal = self.corrected((x - mean) / (variance + 1e-3).sqrt(), mean, variance)
        with torch.no_grad():
            self.running_mean.copy_(0.99 * self.running_mean + 0.01 * mean)
            self.running_var.copy_(0.99 * self.running_var + 0.01 * variance)
        return self.weight * normal + self.bias

    def corrected(self, normal: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """What batch renormalization changes."""
        return normal


def perceptron(
    num_inputs: int, sizes: tuple[int, ...], num_outputs: int, norm: type[nn.Module] | None = None,
    norm_is_last: bool = False, has_bias: bool = True,
) -> nn.Sequential:  # fmt: skip
    """Linear, ReLU for each size, then a linear layer. With a norm, one of the input, too, and one
    after each linear layer, which then has no bias, or after each ReLU if `norm_is_last`."""
    layers: list[nn.Module] = [norm(num_inputs)] if norm else []
    for size in sizes:
        has_bias = has_bias and (norm is None or norm_is_last)
        layers.append(nn.Linear(num_inputs, size, bias=has_bias))
        following = [norm(size), nn.ReLU()] if norm else [nn.ReLU()]
        layers += following[::-1] if norm_is_last else following
        num_inputs = size
    return nn.Sequential(*layers, nn.Linear(num_inputs, num_outputs))


def linear_layers(network: nn.Module) -> list[nn.Linear]:
    """From the first to the last, the output layer."""
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]


def give_unit_rows(layers: list[nn.Linear]) -> None:
    """w <- w / |w| for the weights of each unit."""
    for row in (row for layer in layers for row in layer.weight.data):
        row /= (row**2).sum().sqrt()


def layers_of(network: nn.Module, kind: type[nn.Module]) -> Iterator[nn.Module]:
    """Those of a kind."""
    return (layer for layer in network.modules() if isinstance(layer, kind))
