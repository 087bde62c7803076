"""Target averages of hand-written code."""

import copy

import pytest
import torch
from torch import nn

from footlight.errors import UserError
from footlight.networks.target_average import soft_update


def test_parameters_move_by_the_fraction_tau() -> None:
    online, target = nn.Linear(1, 1), nn.Linear(1, 1)
    for module, number in ((online, 10.0), (target, 2.0)):
        for parameter in module.parameters():
            nn.init.constant_(parameter, number)
    soft_update(target, online, 0.25)
    assert [p.item() for p in target.parameters()] == [4.0, 4.0]  # 2 + 0.25 * 8
    assert [p.item() for p in online.parameters()] == [10.0, 10.0]
    assert all(p.requires_grad and p.grad_fn is None for p in target.parameters())


@pytest.mark.parametrize("tau", [0, 1])
def test_ends_keep_or_copy(tau: float) -> None:
    online, target = nn.Linear(3, 2), nn.Linear(3, 2)
    expected = copy.deepcopy(online if tau else target)
    soft_update(target, online, tau)
    for one, other in zip(target.parameters(), expected.parameters(), strict=True):
        assert torch.equal(one, other)


def test_running_statistics_are_copied() -> None:
    online = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    target = copy.deepcopy(online)
    online(torch.randn(8, 3))
    soft_update(target, online, 0.01)
    for one, other in zip(target.buffers(), online.buffers(), strict=True):
        assert torch.equal(one, other)


def test_what_cannot_be_averaged_is_refused() -> None:
    online = nn.Linear(3, 2)
    with pytest.raises(UserError, match=r"one module - .* copy\.deepcopy\(online\)"):
        soft_update(online, online, 0.1)
    with pytest.raises(UserError, match=r"weight is \[4, 3\] in target and \[2, 3\] in online"):
        soft_update(nn.Linear(3, 4), online, 0.1)
    with pytest.raises(UserError, match="target has no bias"):
        soft_update(nn.Linear(3, 2, bias=False), online, 0.1)
    for tau in (1.5, -0.1, "0.1", None, True):
        with pytest.raises(UserError, match="tau is"):
            soft_update(nn.Linear(3, 2), online, tau)  # type: ignore[arg-type]
