"""Targets of value learning against numbers worked out by hand."""

import torch

from footlight.equations.returns import td_target


def test_td_target_by_hand() -> None:
    reward_B = torch.tensor([1.0, 2.0, -0.5])
    discount_B = torch.tensor([0.9, 0.0, 0.81])  # one step; terminated; two steps with gamma 0.9
    next_value_B = torch.tensor([10.0, 100.0, -2.0])
    # 1 + 0.9 * 10 = 10;  2 + 0 * 100 = 2;  -0.5 + 0.81 * -2 = -2.12
    torch.testing.assert_close(td_target(reward_B, discount_B, next_value_B), torch.tensor([10.0, 2.0, -2.12]))


def test_td_target_equals_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    reward_B, discount_B, next_value_B = torch.randn(3, 50, generator=generator)
    slow = [r + d * v for r, d, v in zip(reward_B.tolist(), discount_B.tolist(), next_value_B.tolist(), strict=True)]
    torch.testing.assert_close(td_target(reward_B, discount_B, next_value_B), torch.tensor(slow))


def test_td_target_gives_no_gradient_of_its_own() -> None:
    next_value_B = torch.tensor([3.0], requires_grad=True)
    td_target(torch.tensor([1.0]), torch.tensor([0.5]), next_value_B).sum().backward()
    assert next_value_B.grad is not None
    assert next_value_B.grad.item() == 0.5  # dy/dV = discount: whoever wants none detaches, or asks by `grad` of other inputs
