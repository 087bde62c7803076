"""The place of named tensors in a flat vector."""

import pytest
import torch
from torch import Tensor

from footlight.errors import UserError
from footlight.networks.layout import Layout


def tensors(*leading: int) -> dict[str, Tensor]:
    """One of each kind that a network has: a scalar, a bias, a matrix and kernels."""
    shapes = {"scale": (), "bias": (3,), "matrix": (3, 2), "kernels": (4, 3, 2, 2)}
    return {name: torch.randn((*leading, *shape)) for name, shape in shapes.items()}


def test_matrices_lie_transposed_and_kernels_channels_last() -> None:
    given = tensors()
    expected = [
        given["scale"].reshape(1),
        given["bias"],
        given["matrix"].T.flatten(),
        given["kernels"].permute(0, 2, 3, 1).flatten(),
    ]
    assert torch.equal(Layout(given, ensemble=False).initial, torch.cat(expected))


@pytest.mark.parametrize("leading", [(), (2,)])
def test_named_and_flatten_are_inverse(leading: tuple[int, ...]) -> None:
    given = tensors(*leading)
    layout = Layout(given, ensemble=bool(leading))
    named = layout.unflatten(layout.initial)
    assert list(named) == list(given)
    for name, tensor in given.items():
        assert torch.equal(named[name], tensor), name
    assert torch.equal(layout.flatten(dict(reversed(named.items()))), layout.initial)


def test_each_member_of_an_ensemble_lies_as_it_would_alone() -> None:
    given = tensors(2)
    both = Layout(given, ensemble=True)
    for name, tensor in given.items():
        alone = Layout({name: tensor[1]}, ensemble=False)
        stacked = Layout({name: tensor}, ensemble=True)
        assert torch.equal(stacked.initial[len(alone.initial) :], alone.initial), name
    assert len(both.initial) == sum(tensor.numel() for tensor in given.values())


def test_named_returns_views() -> None:
    layout = Layout(tensors(), ensemble=False)
    layout.unflatten(layout.initial)["matrix"].fill_(7)
    assert (layout.initial == 7).sum() == 6


def test_initial_numbers_are_a_copy_in_float32() -> None:
    count = torch.tensor(3)
    layout = Layout({"count": count}, ensemble=False)
    layout.initial.add_(1)
    assert layout.initial.dtype == torch.float32
    assert count.item() == 3


def test_mask_selects_tensors_in_their_order() -> None:
    layout = Layout(tensors(), ensemble=False)
    masks = layout.unflatten(layout.mask([False, True, False, True]))
    assert {name: mask.unique().tolist() for name, mask in masks.items()} == {
        "scale": [0], "bias": [1], "matrix": [0], "kernels": [1],
    }  # fmt: skip


def test_shapes_without_numbers() -> None:
    shapes = {name: tensor.to("meta") for name, tensor in tensors().items()}
    layout = Layout(shapes, ensemble=False)
    assert layout.initial.is_meta
    assert len(layout.initial) == 1 + 3 + 6 + 48


def test_flatten_names_what_does_not_fit() -> None:
    layout = Layout(tensors(), ensemble=False)
    good = layout.unflatten(layout.initial)
    with pytest.raises(
        UserError, match=r"'matrix' has shape \(2, 2\) - this network expects \(3, 2\)"
    ):
        layout.flatten({**good, "matrix": torch.zeros(2, 2)})
    with pytest.raises(UserError, match=r"'matrix' has shape missing"):
        layout.flatten({name: value for name, value in good.items() if name != "matrix"})
    with pytest.raises(
        UserError, match=r"'other' has shape \(1,\) - this network expects no such parameter"
    ):
        layout.flatten({**good, "other": torch.zeros(1)})
