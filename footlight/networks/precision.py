"""Mixed precision: hidden layers multiply in bfloat16, the layers that outputs come from in float32.

A value of 90 in bfloat16 has neighbors 0.5 away, which would hide most of what a critic has learned, and a policy's logits and
means are read as exactly as they are written.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


def output_layers(module: nn.Module, *inputs: Any) -> list[nn.Module]:
    """The layers with weights whose result reaches an output of `module` without passing through another such layer.

    Found by following the graph that autograd records back from the outputs, so a module may be written in any way. One that
    multiplies with parameters of its own, outside of any layer, counts as a layer as a whole.
    """
    layers: dict[Any, nn.Module] = {}  # by the node of the graph that a layer's result comes from

    def note(layer: nn.Module, _: Any, result: Any) -> None:
        layers.update(
            {part.grad_fn: layer for part in _tensors(result) if part.grad_fn is not None}
        )

    weighted = [
        part
        for part in module.modules()
        if any(weight.dim() > 1 for weight in part.parameters(recurse=False))
    ]
    handles = [layer.register_forward_hook(note) for layer in weighted]
    leaves = {
        name: value.detach().clone().requires_grad_() for name, value in module.named_parameters()
    }
    try:
        with torch.enable_grad():
            outputs = functional_call(module, leaves, inputs)
    finally:
        for handle in handles:
            handle.remove()
    found: list[nn.Module] = []
    waiting, visited = [part.grad_fn for part in _tensors(outputs)], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        if node in layers:
            found.append(layers[node])
        else:
            waiting += [following for following, _ in node.next_functions]
    return list(dict.fromkeys(found))


class _InFp32:
    """The `forward` of a layer that multiplies in float32, also within autocast.

    A copy of the layer gets a copy of this, which calls the copied layer.
    """

    def __init__(self, forward: Callable[..., Any]) -> None:
        self.forward = forward

    def __call__(self, *inputs: Any) -> Any:
        wide = [
            x.float() if isinstance(x, Tensor) and x.dtype == torch.bfloat16 else x for x in inputs
        ]
        device_type = next((x.device.type for x in wide if isinstance(x, Tensor)), "cpu")
        with torch.autocast(device_type, enabled=False):
            return self.forward(*wide)


def keep_in_fp32(layers: Sequence[nn.Module]) -> None:
    """Let these layers multiply in float32 from now on: once and for all, since several threads may act at the same time."""
    for layer in layers:
        if not isinstance(layer.forward, _InFp32):
            layer.forward = _InFp32(layer.forward)


def restore_forward(module: nn.Module) -> None:
    """Undo `keep_in_fp32` in all layers of `module`."""
    for layer in module.modules():
        if isinstance(kept := vars(layer).get("forward"), _InFp32):
            del layer.forward
            if (
                getattr(kept.forward, "__func__", None) is not type(layer).forward
            ):  # of a user who has replaced it
                layer.forward = kept.forward


def _tensors(result: Any) -> list[Tensor]:
    return [
        part
        for part in (result if isinstance(result, tuple | list) else [result])
        if isinstance(part, Tensor)
    ]
