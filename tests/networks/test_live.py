"""A module whose parameters stay where they are."""

import pytest
import torch
from torch import nn

from footlight.errors import UserError
from footlight.networks.live import LiveNetwork


def module() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1, dtype=torch.bfloat16))


def test_named_state_goes_into_another_module_bit_by_bit() -> None:
    first, second = LiveNetwork(module()), LiveNetwork(module())
    marker, statistics = second.flatten_state(first.named_state())
    assert marker.numel() == 0
    assert statistics is None
    found, wanted = second.module.state_dict(), first.module.state_dict()
    assert all(found[name].equal(part) for name, part in wanted.items())
    assert first.named_state()["2.weight"].dtype == torch.float32
    assert first.initial.nbytes >= sum(part.nbytes for part in first.named_state().values())


def test_filled_is_a_copy_that_does_not_learn() -> None:
    network = LiveNetwork(module())
    copied = network.to_module()
    assert not copied.training
    assert not any(part.requires_grad for part in copied.parameters())
    assert all(part.requires_grad for part in network.module.parameters())


def test_another_module_is_an_error() -> None:
    with pytest.raises(UserError, match=r"another one than was saved .* give the same class"):
        LiveNetwork(module()).flatten_state(LiveNetwork(nn.Linear(2, 2)).named_state())
