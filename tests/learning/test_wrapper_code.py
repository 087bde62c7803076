"""The wrapper around compiled kernels: bits of eager products, memory that is kept, and tanh."""

import threading

import numpy as np
import pytest
import torch
from torch import Tensor

from footlight.learning import wrapper_code
from footlight.learning.compilation import compile_in_place

SHAPES = [(5, 4, 8), (64, 64, 64), (7, 16, 1), (1, 6, 3), (1, 1, 1), (9, 1, 5), (40, 3, 2)]
SUMS = [(64, 64, 64), (12, 5, 1)]


def test_the_locked_version_of_torch_has_this_wrapper() -> None:
    assert torch.__version__.startswith(wrapper_code.VERSION)


def laid_out(rows: int, columns: int) -> list[Tensor]:
    """Memory of a matrix by rows, by columns, and inside of a larger one."""
    sizes = rows * columns, rows * columns, rows * (columns + 3) + 2
    return [torch.zeros(size) for size in sizes]


def matrices(memory: list[Tensor], rows: int, columns: int) -> list[Tensor]:
    by_rows, by_columns, inside = memory
    return [
        by_rows.view(rows, columns),
        by_columns.view(columns, rows).T,
        inside.as_strided((rows, columns), (columns + 3, 1), 2),
    ]


def all_products(*tensors: Tensor) -> None:
    """Put every product of the shapes, in every layout, into the last tensor."""
    *memory, out = tensors
    results, given = [], iter(memory)
    for rows, inner, columns in SHAPES:
        a = matrices([next(given) for _ in range(3)], rows, inner)
        b = matrices([next(given) for _ in range(3)], inner, columns)
        results += [(one @ other).flatten() for one in a for other in b]
    for rows, inner, columns in SUMS:
        a_, b_, bias = next(given), next(given), next(given)
        results.append(torch.addmm(bias, a_.view(rows, inner), b_.view(inner, columns)).flatten())
    out.copy_(torch.cat(results).abs())


def operands() -> list[Tensor]:
    found = []
    for rows, inner, columns in SHAPES:
        found += laid_out(rows, inner) + laid_out(inner, columns)
    for rows, inner, columns in SUMS:
        found += [torch.zeros(rows * inner), torch.zeros(inner * columns), torch.zeros(columns)]
    size = 9 * sum(rows * columns for rows, _, columns in SHAPES)
    return [*found, torch.zeros(size + sum(rows * columns for rows, _, columns in SUMS))]


@pytest.mark.timeout(600)
def test_products_have_the_bits_of_eager_ones_in_every_call_and_thread() -> None:
    tensors, others = operands(), operands()
    step = compile_in_place(all_products, tensors)
    again = compile_in_place(all_products, others)  # the same library

    def calls(seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for call, given in (step, tensors), (again, others), (step, tensors):
            for tensor in given:
                tensor.normal_(generator=generator)
            wanted = [tensor.clone() for tensor in given]
            all_products(*wanted)
            call()
            assert torch.equal(given[-1], wanted[-1])

    calls(0)
    failures: list[BaseException] = []

    def in_thread() -> None:
        try:
            calls(1)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert not failures
    calls(2)


@pytest.mark.timeout(600)
def test_tanh_is_within_its_stated_error_everywhere() -> None:
    largest = np.finfo(np.float32).max
    sizes = np.concatenate([np.linspace(0, 12, 30_001), np.logspace(-37, 1, 10_001)])
    ends = np.array([9, np.nextafter(np.float32(9), 8), 100, largest, np.inf])
    positive = np.concatenate([sizes, ends]).astype(np.float32)
    given = np.concatenate([positive, -positive, [np.nan]]).astype(np.float32)
    x, x_double = torch.from_numpy(given), torch.from_numpy(given.astype(np.float64))
    out, out_double = torch.zeros_like(x), torch.zeros_like(x_double)

    def both(*tensors: Tensor) -> None:
        for number, result in (tensors[:2], tensors[2:]):
            result.copy_(number.tanh())

    compile_in_place(both, [x, out, x_double, out_double])()
    found, exact = out.numpy(), np.tanh(given.astype(np.float64))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(given))
    np.testing.assert_array_equal(found[: len(positive)], -found[len(positive) : -1])  # odd
    assert np.nanmax(np.abs(found)) <= 1
    is_small = np.abs(given) < 1e-3
    assert is_small.sum() > 10_000
    np.testing.assert_allclose(found[is_small], exact[is_small], rtol=4e-7)
    np.testing.assert_allclose(found, exact, rtol=0, atol=4e-7)
    np.testing.assert_allclose(out_double.numpy(), exact, rtol=1e-14)  # not float32's
