"""Gradients equal those of `torch.func`, alone and within its transformations."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from footlight.equations.gradients import grad, grad_and_value

X, Y = torch.tensor([0.5, -2.0]), torch.tensor([3.0, 1.5])


class Parts(NamedTuple):
    scaled: Tensor
    names: dict[str, Tensor]


def product(x: Tensor, y: Tensor) -> Tensor:
    return (x.exp() * y).sum()


def with_parts(x: Tensor, y: Tensor) -> tuple[Tensor, Parts]:
    return product(x, y), Parts(2 * x, {"y": y + x})


@pytest.mark.parametrize("argnums", [0, 1, (0, 1), (1,)])
def test_gradients_equal_those_of_torch_func(argnums: int | tuple[int, ...]) -> None:
    found, value = grad_and_value(product, argnums)(X, Y)
    wanted, total = torch.func.grad_and_value(product, argnums)(X, Y)
    assert type(found) is type(wanted)
    pairs = zip(found, wanted, strict=True) if isinstance(argnums, tuple) else [(found, wanted)]
    assert all(torch.equal(one, other) for one, other in pairs)
    assert torch.equal(value, total)
    assert not value.requires_grad


def test_other_results_follow_without_history() -> None:
    with torch.no_grad():  # as updates are called
        gradient, (value, parts) = grad_and_value(with_parts, has_aux=True)(X, Y)
        again, same_parts = grad(with_parts, has_aux=True)(X, Y)
    assert torch.equal(gradient, X.exp() * Y)
    assert torch.equal(again, gradient)
    assert torch.equal(value, product(X, Y))
    assert isinstance(parts, Parts)
    assert torch.equal(parts.names["y"], Y + X)
    assert torch.equal(same_parts.scaled, 2 * X)
    assert not parts.scaled.requires_grad
    assert not X.requires_grad


def test_arguments_without_influence_have_a_gradient_of_zero() -> None:
    gradients, _ = grad_and_value(lambda x, y: x.sum() + 0 * y.detach().sum(), (0, 1))(X, Y)
    assert gradients[1].tolist() == [0, 0]
    assert grad(lambda x: x.detach().sum())(X).tolist() == [0, 0]


def test_within_transformations_of_torch_func() -> None:
    rows = torch.stack([X, Y])
    assert torch.equal(torch.func.vmap(grad(lambda x: (x**2).sum()))(rows), 2 * rows)
    doubled = torch.func.functionalize(lambda x: grad(lambda y: (y**2).sum())(x).mul_(2))
    assert torch.equal(doubled(X), 4 * X)
