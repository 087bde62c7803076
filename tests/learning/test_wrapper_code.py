"""The wrapper around compiled kernels: the bits of eager products, and memory that is kept."""

import threading

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
