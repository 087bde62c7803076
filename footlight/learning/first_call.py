"""The first call of a compiled update, compared with an eager one."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from footlight.errors import summarize_error
from footlight.learning.compiler_cache import CompilerMissing


def first_call(
    step: Callable[[], None], function: Callable[..., None], tensors: Sequence[Tensor]
) -> None:
    """Call `step`, made of `function` and `tensors`, and compare it with an eager call on copies.

    Raises `CompilerMissing` if the step raises or differs by more than rounding; the tensors then
    hold what the eager call has computed.
    """
    before = [tensor.clone() for tensor in tensors]
    eager = [tensor.clone() for tensor in tensors]
    with torch.no_grad(), _Coarsest() as computed:
        function(*eager)
    reason = ""
    try:
        step()
    except Exception as error:  # whatever it is, the eager result is at hand
        reason = f"the compiled code failed ({summarize_error(error):.140})"
    else:
        pairs = zip(tensors, eager, before, strict=True)
        if not all(_agree(*each, computed.eps) for each in pairs):
            reason = "the compiled results differ from the eager ones"
    if reason:
        for tensor, value in zip(tensors, eager, strict=True):
            tensor.copy_(value)
        raise CompilerMissing(reason)


class _Coarsest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the precision of the coarsest numbers that are computed inside of it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.eps = 0.0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise the first operation imports the compiler

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = operation(*args, **(kwargs or {}))
        for part in result if isinstance(result, tuple | list) else (result,):
            if isinstance(part, Tensor) and part.is_floating_point():
                self.eps = max(self.eps, torch.finfo(part.dtype).eps)
        return result


def _agree(found: Tensor, wanted: Tensor, before: Tensor, eps: float) -> bool:
    """Whether two results of an update, which began with `before`, differ by rounding alone.

    Compared are root mean squares over the tensor, since single numbers may differ by more. An
    entry of a gradient below sqrt(eps) of the typical one may consist of rounding errors, and an
    optimizer that divides by its magnitude moves the parameter as far as any other, to either side.
    A share of sqrt(eps) of all entries is that small, which makes the root mean square of the
    difference 2 eps^(1/4) of that of the move. Besides, the numbers themselves are rounded.
    """
    if not found.is_floating_point():
        return torch.equal(found, wanted)
    is_finite = wanted.isfinite()
    if not torch.equal(is_finite, found.isfinite()):
        return False
    found, wanted, before = (x[is_finite].double() for x in (found, wanted, before))
    if not found.numel():
        return True
    difference, move, size = (_rms(x) for x in (found - wanted, wanted - before, wanted))
    return difference <= 2 * eps**0.25 * move + 4 * eps * size


def _rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())
