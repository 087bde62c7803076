"""The deterministic policy as one torch module, from raw observations to environment actions.

Written in torch alone, because only torch can be exported: normalizer, network, the mode of the
head, and rescaling. `Policy` does most of this in NumPy.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from footlight.errors import UserError
from footlight.learning.normalization import CUT_OFF
from footlight.learning.policy import Policy
from footlight.networks.heads import Categorical, Gaussian, SquashedGaussian
from footlight.types import DiscreteAction


class DeterministicPolicy(nn.Module):
    """`Policy.act` as a graph: raw observations [B, ...] -> environment actions [B, ...]."""

    mean: Tensor
    scale: Tensor
    middle: Tensor
    half_range: Tensor
    low: Tensor
    high: Tensor
    starts: Tensor

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.network, self.head = policy.acting_module(), policy.head
        self.action = policy.spaces.action
        if not (self.head is None or isinstance(self.head, Categorical | Gaussian)):
            raise UserError(
                f"cannot export the head {type(self.head).__name__} - it is not footlight's - "
                "use a built-in action head"
            )
        buffers: dict[str, Any] = {}
        if policy.normalizer is not None and policy.normalizer.observations:
            buffers = {"mean": policy.normalizer.mean, "scale": policy.normalizer.scale}
        self.normalizes = bool(buffers)
        if isinstance(self.action, DiscreteAction):
            buffers["starts"] = np.reshape(self.action.starts, self.action.shape)
        else:
            # Single precision if it suffices: many runtimes support no other.
            dtype = np.promote_types(self.action.low.dtype, np.float32)
            low, high = self.action.low.astype(np.float64), self.action.high.astype(np.float64)
            bounds = {
                "middle": low / 2 + high / 2,
                "half_range": high / 2 - low / 2,
                "low": low,
                "high": high,
            }
            buffers |= {name: value.astype(dtype) for name, value in bounds.items()}
        for name, value in buffers.items():
            self.register_buffer(name, torch.tensor(value))

    def forward(self, observation: Tensor) -> Tensor:
        """Return the actions for a batch of observations."""
        output_BH = self.output(observation)
        if isinstance(self.head, Categorical):
            unit_BA = torch.stack(
                [logits.argmax(1) for logits in torch.split(output_BH, list(self.head.sizes), 1)], 1
            )
        elif isinstance(self.head, Gaussian):
            mean_BA = output_BH[:, : self.head.num_actions]
            unit_BA = (
                mean_BA.tanh() if isinstance(self.head, SquashedGaussian) else mean_BA.clamp(-1, 1)
            )
        else:
            unit_BA = output_BH
        return self._to_environment(unit_BA.reshape(-1, *self.action.shape))

    def output(self, observation: Tensor) -> Tensor:
        """The input of the head [B, H]; without a head, actions [B, A] in [-1, 1]."""
        if self.normalizes:
            observation = ((observation.float() - self.mean) * self.scale).clamp(-CUT_OFF, CUT_OFF)
        output = self.network(observation)
        if not isinstance(output, tuple):
            return output
        first: Tensor = output[0]  # without the values; or SAC's mean, before it is squashed
        return first.tanh() if self.head is None else first

    def _to_environment(self, unit: Tensor) -> Tensor:
        """Map [-1, 1], or choices counted from 0, to environment actions within their bounds."""
        if isinstance(self.action, DiscreteAction):
            return (unit + self.starts).to(getattr(torch, self.action.dtype))
        action = unit.to(self.half_range.dtype) * self.half_range + self.middle
        return action.clamp(self.low, self.high).to(getattr(torch, str(self.action.low.dtype)))
