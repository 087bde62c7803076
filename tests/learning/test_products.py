"""Matrix products of either library."""

import pytest
import torch

from footlight.config.tuning import Tuning, using
from footlight.learning.compilation import compile_in_place
from tolerance import assert_close


@pytest.mark.parametrize("onednn_from", [None, 4_000_000])
def test_large_products(onednn_from: int | None) -> None:
    """Either library, in all layouts of a layer's passes, from the size at which oneDNN is used."""
    source = torch.Generator().manual_seed(0)
    a, b, bias = (
        torch.randn(shape, generator=source) for shape in ((200, 160), (160, 180), (180,))
    )
    twice = torch.randn(2, 160, 180, generator=source)

    def products(*tensors: torch.Tensor) -> None:
        a, b, bias, twice, *results = tensors
        gradient = torch.addmm(bias, a, b)
        for result, value in zip(
            results,
            (gradient, gradient @ b.mT, a.mT @ gradient, a @ twice, gradient @ twice.mT),
            strict=True,
        ):
            result.copy_(value)

    shapes = (200, 180), (200, 160), (160, 180), (2, 200, 180), (2, 200, 160)
    eager, compiled = ([torch.zeros(shape) for shape in shapes] for _ in range(2))
    products(a, b, bias, twice, *eager)
    with using(Tuning((), onednn_from)):
        compile_in_place(products, [a, b, bias, twice, *compiled])()
    for one, other in zip(eager, compiled, strict=True):
        assert_close(other, one, terms=200, depth=2)
