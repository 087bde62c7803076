"""The deterministic policy as one torch module, from raw observations to environment actions.

Written in torch alone, because only torch can be exported: normalizer, network, the mode of the
head, and rescaling. `Policy` does most of this in NumPy.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from footlight.learning.normalization import CUT_OFF
from footlight.learning.policy import Policy
from footlight.trees import leaves_of, rebuilt
from footlight.types import DiscreteAction


class DeterministicPolicy(nn.Module):
    """`Policy.act` as a graph: raw observations [B, ...] -> environment actions [B, ...].

    Observations of a Dict are dicts of tensors by leaf.
    """

    middle: Tensor
    half_range: Tensor
    low: Tensor
    high: Tensor
    starts: Tensor

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.network, self.head = policy.acting_module(), policy.head
        self.action = policy.spaces.action
        buffers: dict[str, Any] = {}
        self.normalized: dict[str, str] = {}  # by leaf, the suffix of its buffers' names
        if policy.normalizer is not None and policy.normalizer.observations:
            for index, name in enumerate(policy.normalizer.means):
                self.normalized[name] = suffix = f"_{index}" if name else ""
                buffers[f"mean{suffix}"] = policy.normalizer.means[name]
                buffers[f"scale{suffix}"] = policy.normalizer.scales[name]
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

    def forward(self, observation: Any) -> Tensor:
        """Return the actions for a batch of observations."""
        unit_BA = self.head.unit_mode(self.output(observation))
        return self._to_environment(unit_BA.reshape(-1, *self.action.shape))

    def output(self, observation: Any) -> Tensor:
        """The input of the head [B, H], without the values."""
        leaves = leaves_of(observation)
        for name, suffix in self.normalized.items():
            mean, scale = self.get_buffer(f"mean{suffix}"), self.get_buffer(f"scale{suffix}")
            leaves[name] = ((leaves[name].float() - mean) * scale).clamp(-CUT_OFF, CUT_OFF)
        output = self.network(rebuilt(leaves))
        return output[0] if isinstance(output, tuple) else output

    def _to_environment(self, unit: Tensor) -> Tensor:
        """Map [-1, 1], or choices counted from 0, to environment actions within their bounds."""
        if isinstance(self.action, DiscreteAction):
            return (unit + self.starts).to(getattr(torch, self.action.dtype))
        action = unit.to(self.half_range.dtype) * self.half_range + self.middle
        return action.clamp(self.low, self.high).to(getattr(torch, str(self.action.low.dtype)))
