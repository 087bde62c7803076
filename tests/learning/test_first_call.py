"""A compiled update agrees with the eager one up to rounding, and no further apart."""

import pytest
import torch

from footlight.learning.compiler_cache import CompilerMissing
from footlight.learning.first_call import first_call


def adam_sign(parameters: torch.Tensor, gradient: torch.Tensor) -> None:
    parameters.add_(gradient.sign(), alpha=-3e-4)


def test_flipped_sign_of_a_negligible_gradient_is_rounding() -> None:
    generator = torch.Generator().manual_seed(0)
    parameters = torch.randn(20_000, generator=generator)
    gradient = torch.randn(20_000, generator=generator)
    gradient[0] = 1e-9  # rounding decides its sign, and with it where the parameter moves

    def step() -> None:
        noisy = gradient.clone()
        noisy[0] = -1e-9
        adam_sign(parameters, noisy)

    expected = parameters.clone()
    expected[1:].add_(gradient[1:].sign(), alpha=-3e-4)
    first_call(step, adam_sign, [parameters, gradient])
    assert torch.equal(parameters[1:], expected[1:])


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_missing_part_of_a_small_move_is_an_error(share: float) -> None:
    parameters, gradient = torch.full((1000,), 5.0), torch.ones(1000)

    def step() -> None:
        adam_sign(parameters, gradient)
        parameters[: int(share * 1000)] = 5.0

    with pytest.raises(CompilerMissing, match="differ from the eager ones"):
        first_call(step, adam_sign, [parameters, gradient])
    assert parameters.tolist() == (torch.full((1000,), 5.0) - 3e-4).tolist()


def test_tolerance_follows_the_precision_of_the_intermediates() -> None:
    def in_bfloat16(parameters: torch.Tensor, gradient: torch.Tensor) -> None:
        parameters.sub_(gradient.bfloat16().float())

    def in_float32(parameters: torch.Tensor, gradient: torch.Tensor) -> None:
        parameters.sub_(gradient)

    generator = torch.Generator().manual_seed(0)
    gradient = torch.randn(1000, generator=generator)
    for function, agrees in ((in_bfloat16, True), (in_float32, False)):
        parameters = torch.zeros(1000)

        def step(parameters: torch.Tensor = parameters) -> None:
            parameters.sub_(gradient * 1.1)

        if agrees:
            first_call(step, function, [parameters, gradient])
        else:
            with pytest.raises(CompilerMissing):
                first_call(step, function, [parameters, gradient])


def test_integers_are_compared_exactly() -> None:
    count = torch.zeros(1, dtype=torch.int64)
    with pytest.raises(CompilerMissing):
        first_call(lambda: None, lambda count: count.add_(1), [count])
    assert count.item() == 1
