"""Matrix products of compiled updates: which of them oneDNN computes, and which MKL."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from footlight.config.tuning import tuning


def products() -> dict[Any, Callable[..., Any]]:
    """Decompositions of large matrix products into those of oneDNN, where that is faster."""
    if onednn_from() is None:
        return {}
    aten = torch.ops.aten
    return {aten.mm.default: _mm, aten.addmm.default: _addmm, aten.bmm.default: _bmm}


def onednn_from() -> int | None:
    """Multiplications of a matrix product from which on oneDNN computes it; None: MKL always."""
    has_mkl = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return tuning().onednn_from if has_mkl and has_onednn else None


def _is_large(a: Tensor, b: Tensor) -> bool:
    least = onednn_from()
    on_cpu = a.device.type == "cpu" and a.dtype == b.dtype == torch.float32
    return on_cpu and least is not None and a.shape[-2] * a.shape[-1] * b.shape[-1] >= least


def _mm(a: Tensor, b: Tensor) -> Any:
    return _linear()(a, b.mT, None) if _is_large(a, b) else NotImplemented


def _addmm(bias: Tensor, a: Tensor, b: Tensor, **scales: Any) -> Any:
    return (
        _linear()(a, b.mT, bias)
        if _is_large(a, b) and bias.dim() == 1 and not scales
        else NotImplemented
    )


def _bmm(a: Tensor, b: Tensor) -> Any:
    if not _is_large(a, b):
        return NotImplemented
    return torch.stack([_linear()(one, other.mT, None) for one, other in zip(a, b, strict=True)])


@functools.cache
def _linear() -> Any:
    """`a @ weight.mT + bias` by oneDNN as an operator; Inductor's own requires constant weights."""
    from torch._inductor.ir import ExternKernel, FixedLayout, TensorBox
    from torch._inductor.lowering import register_lowering
    from torch._inductor.mkldnn_ir import LinearUnary, _create_output_node

    @torch.library.custom_op("footlight::linear", mutates_args=())
    def linear(a: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(a, weight, bias, "none", [], "")
        return product

    @linear.register_fake
    def _(a: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return a.new_empty(a.shape[0], weight.shape[0])

    @register_lowering(torch.ops.footlight.linear.default, type_promotion_kind=None)
    def _(a: Any, weight: Any, bias: Any) -> Any:
        given = [ExternKernel.realize_input(x) for x in (a, weight, bias) if x is not None]
        layout = FixedLayout(a.get_device(), a.get_dtype(), [a.get_size()[0], weight.get_size()[0]])
        settings = ["none", [-1], ""]  # nothing is done to the product afterwards
        product = LinearUnary(layout, given, settings if bias is not None else [None, *settings])
        return TensorBox.create(_create_output_node(product))  # type: ignore[no-untyped-call]

    return torch.ops.footlight.linear.default
