"""How much two computations of the same number may differ by rounding, derived in this one place.

Floating-point arithmetic rounds each result by at most half a unit in the last place: relatively by
u = eps / 2, which is 6.0e-8 in float32, 1.1e-16 in float64, 4.9e-4 in float16 and 3.9e-3 in
bfloat16. Processors, thread counts, batch sizes, compilers and libraries add the same numbers in
different orders, so the same formula gives results that differ by rounding.

A sum of n terms rounds n times. The roundings are as often up as down, so that their sum grows with
sqrt(n) (Higham & Mary 2019, "A new approach to probabilistic rounding error analysis": less than λ
sqrt(n) u, with λ about 4 for all practical purposes), relative to the largest intermediate result,
the `scale`. Operations one after the other, such as the layers of a network, pass the errors before
them on: `depth` of them have sqrt(depth) times the error, as errors of different operations are
independent. Two computations differ by at most the error of both. Hence

    rounding_error = 2 λ u sqrt(depth terms) scale = 4 eps sqrt(depth terms) scale.

- `terms`: additions one after the other that make one number: steps of a loop, batch of a mean.
  Libraries add the products of a layer in eight lanes or more (`longest_sum`);
- `depth`: operations with such sums one after the other; with a few simple operations (multiply,
  exp, tanh) in one;
- `scale`: magnitude of the largest intermediate result, by default of the largest expected number.

So a tolerance is a few units in the last place *of the largest intermediate*, and 2 to 100 times
what is usually seen. It is always absolute, the same for all numbers of an array: a small number
next to large ones is the difference of larger ones.

What is compared otherwise, and says so where it stands:

- bit for bit: what is the same code on the same numbers on one machine (resumed and uninterrupted,
  saved and loaded, a seed and the same seed), and what does not round at all (copies, layouts,
  counts, choices, bounds);
- constants computed by hand are given with some digits, and compared to one unit of the last digit
  given, see `DIGITS`;
- what is drawn is compared in standard errors, what is learned in shares of the known value, colors
  in steps of 256.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

DIGITS = {3: 1e-3, 4: 1e-4, 5: 1e-5, 6: 1e-6, 7: 1e-7}
"""One unit of the last decimal of a constant given by hand.

Half of it is the constant's own rounding, the other half covers float32 up to 2.
"""


def rounding_error(
    dtype: Any = np.float32, *, terms: int = 1, depth: int = 1, scale: float = 1.0
) -> float:
    """The largest difference between two computations of a number that rounding explains."""
    dtype = dtype if isinstance(dtype, torch.dtype) else torch.from_numpy(np.empty(0, dtype)).dtype
    smallest = torch.finfo(dtype).smallest_normal  # a number below it may be flushed to zero
    return 4 * torch.finfo(dtype).eps * math.sqrt(depth * terms) * scale + smallest


def assert_close(
    found: Any,
    wanted: Any,
    *,
    terms: int = 1,
    depth: int = 1,
    scale: float | None = None,
    dtype: Any = None,
    message: str = "",
) -> None:
    """Require that numbers, arrays, tensors, or mappings or sequences of them, are equal but for
    rounding.

    dtype: default, that of the less precise of the two. scale: default, the largest expected number
        of each array.
    """
    if isinstance(wanted, Mapping):
        assert found.keys() == wanted.keys()
        for name in wanted:
            assert_close(
                found[name],
                wanted[name],
                terms=terms,
                depth=depth,
                scale=scale,
                dtype=dtype,
                message=f"{message} {name}",
            )
        return
    if isinstance(wanted, tuple) or (
        isinstance(wanted, list) and wanted and isinstance(wanted[0], torch.Tensor | np.ndarray)
    ):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_close(
                one, other, terms=terms, depth=depth, scale=scale, dtype=dtype, message=message
            )
        return
    one, other = _as_array(found), _as_array(wanted)
    if other.size == 1:  # one expected number is expected everywhere
        other = np.broadcast_to(other.reshape(-1)[0], one.shape)
    assert one.shape == other.shape, f"{message}: shape {one.shape}, expected {other.shape}"
    if dtype is None:
        dtype = max(
            (a.dtype for a in (one, other) if a.dtype.kind == "f"), key=lambda d: np.finfo(d).eps
        )
    largest = float(np.abs(other[np.isfinite(other)]).max(initial=0)) if scale is None else scale
    allowed = rounding_error(dtype, terms=terms, depth=depth, scale=largest)
    one, other = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore"):  # of infinite numbers
        if (np.abs(one - other) <= allowed).all():
            return
    # Compares again, twenty times as slowly, for the message; and equal numbers that are not finite
    np.testing.assert_allclose(
        one,
        other,
        rtol=0,
        atol=allowed,
        err_msg=message.strip(),
        equal_nan=True,
    )


def close(
    wanted: float | Sequence[float],
    dtype: Any = np.float32,
    *,
    terms: int = 1,
    depth: int = 1,
    scale: float | None = None,
) -> Any:
    """The same for Python's numbers, as `pytest.approx`: `assert x.item() == close(0.1)`."""
    largest = float(np.abs(wanted).max(initial=0)) if scale is None else scale
    return pytest.approx(
        wanted, rel=0, abs=rounding_error(dtype, terms=terms, depth=depth, scale=largest)
    )


def largest_intermediate(module: torch.nn.Module, *inputs: torch.Tensor) -> float:
    """Magnitude of the largest output of any layer with weights, or of the network."""
    found = [0.0]

    def look(layer: Any, given: Any, output: Any) -> None:
        for part in output if isinstance(output, tuple) else (output,):
            found.append(float(part.detach().abs().max()))

    weighted = [
        layer
        for layer in module.modules()
        if layer is module or any(True for _ in layer.parameters(recurse=False))
    ]
    hooks = [layer.register_forward_hook(look) for layer in weighted]
    try:
        with torch.no_grad():
            module(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return max(found)


LANES = 8
"""Partial sums of a matrix product that are added last: one vector register of AVX2."""


def longest_sum(module: torch.nn.Module) -> int:
    """Successive additions in the widest layer: its inputs, or its patch, divided by `LANES`."""
    weights = [parameter for parameter in module.parameters() if parameter.dim() > 1]
    return max((-(-weight[0].numel() // LANES) for weight in weights), default=1)


def _as_array(value: Any) -> Any:
    array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    return array if array.dtype.kind == "f" else array.astype(np.float64)
