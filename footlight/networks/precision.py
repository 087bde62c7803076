"""Mixed precision: hidden layers multiply in bfloat16, output layers in float32.

Neighbors of the value 90 in bfloat16 are 0.5 away, which would hide most of what a critic has
learned. Logits and means of a policy also keep their full precision.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


def output_layers(module: nn.Module, *inputs: Any) -> list[nn.Module]:
    """The last layers with weights on each path from `inputs` to an output of `module`.

    They are found by following the autograd graph back from the outputs, so the module may be
    written in any way. One that multiplies with its own parameters, outside of any layer, counts as
    one layer.
    """
    layers: dict[Any, nn.Module] = {}  # by the graph node of a layer's result

    def record(layer: nn.Module, _: Any, result: Any) -> None:
        for part in _tensors(result):
            if part.grad_fn is not None:
                layers[part.grad_fn] = layer

    weighted = [
        part
        for part in module.modules()
        if any(weight.dim() > 1 for weight in part.parameters(recurse=False))
    ]
    handles = [layer.register_forward_hook(record) for layer in weighted]
    parameters = module.named_parameters()
    leaves = {name: value.detach().clone().requires_grad_() for name, value in parameters}
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


def in_fp32(output: Any) -> Any:
    """A network's output, or each of its parts, with bfloat16 as float32."""
    if isinstance(output, tuple):
        return tuple(in_fp32(part) for part in output)
    return output.float() if output.dtype == torch.bfloat16 else output


class _InFp32:
    """The `forward` of a layer, in float32 even within autocast.

    A copy of the layer has a copy of this object, which calls the copied layer.
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
    """Make these layers multiply in float32 from now on.

    Permanently rather than per call, since several threads may act at the same time.
    """
    for layer in layers:
        if not isinstance(layer.forward, _InFp32):
            layer.forward = _InFp32(layer.forward)


def restore_forward(module: nn.Module) -> None:
    """Undo `keep_in_fp32` in all layers of `module`."""
    for layer in module.modules():
        if isinstance(kept := vars(layer).get("forward"), _InFp32):
            del layer.forward
            # A user may have replaced the method of the class
            if getattr(kept.forward, "__func__", None) is not type(layer).forward:
                layer.forward = kept.forward


def _tensors(result: Any) -> list[Tensor]:
    parts = result if isinstance(result, tuple | list) else [result]
    return [part for part in parts if isinstance(part, Tensor)]
