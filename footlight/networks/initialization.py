"""Initial weights of the built-in networks. A user's module keeps its own."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import nn

Initialization = Literal["pytorch", "kaiming", "orthogonal", "sparse"]


def initialize(
    network: Iterable[nn.Module],
    kind: Initialization,
    last_gain: float = 1.0,
    has_output: bool = True,
) -> None:
    """Initialize the linear and convolutional layers of a network in place.

    network: its layers in order. has_output: whether the last of them is its output layer. kind:

    - `pytorch`: weights and biases uniform in ±1/sqrt(fan in), PyTorch's default for linear layers,
      which Fujimoto et al. 2018 and Haarnoja et al. 2018 used, too;
    - `kaiming`: normal with variance 2/fan in (He et al. 2015), biases 0, the last layer uniform in
      ±3e-3, so that initial outputs are close to 0 (Lillicrap et al. 2015);
    - `orthogonal`: gain sqrt(2), biases 0, the last layer with `last_gain` (Saxe et al. 2014;
      Andrychowicz et al. 2021);
    - `sparse`: uniform in ±1/sqrt(fan in), biases 0; then nine tenths of each unit's incoming
      weights, rounded up, are set to 0 (Elsayed et al. 2024, algorithm 1).
    """
    layers = (layer for module in network for layer in module.modules())
    weighted = [layer for layer in layers if isinstance(layer, nn.Linear | nn.Conv2d)]
    has_no_data = any(layer.weight.is_meta for layer in weighted)  # on the meta device
    if kind == "pytorch" or has_no_data:
        return
    last = weighted[-1] if has_output else None
    for layer in weighted:
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        if kind == "kaiming":
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        elif kind == "sparse":
            fan_in = layer.weight[0].numel()
            nn.init.uniform_(layer.weight, -(fan_in**-0.5), fan_in**-0.5)
            with torch.no_grad():
                num_zeros = -(-9 * fan_in // 10)
                for incoming in layer.weight.flatten(1):
                    incoming[torch.randperm(fan_in)[:num_zeros]] = 0
        else:
            nn.init.orthogonal_(layer.weight, gain=last_gain if layer is last else 2**0.5)
    if kind == "kaiming" and last is not None:
        nn.init.uniform_(last.weight, -3e-3, 3e-3)
        if last.bias is not None:
            nn.init.uniform_(last.bias, -3e-3, 3e-3)
