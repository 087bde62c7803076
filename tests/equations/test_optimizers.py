"""Adam and target averages on flat vectors: by hand, against torch.optim, and in place."""

import pytest
import torch

from footlight.equations.optimizers import Adam, adam_step, polyak_


def test_first_adam_step_by_hand() -> None:
    # m = 0.1 g, v = 0.001 g^2; corrected m / (1 - 0.9) = g, v / (1 - 0.999) = g^2; step = 0.01 g / (|g| + 1e-8) = ±0.01
    parameters_P, memory = torch.tensor([1.0, 1.0, 1.0]), Adam.zeros_like(torch.zeros(3))
    adam_step(parameters_P, torch.tensor([5.0, -0.2, 0.0]), memory, 0.01)
    torch.testing.assert_close(parameters_P, torch.tensor([0.99, 1.01, 1.0]))
    torch.testing.assert_close(memory.first_moment, torch.tensor([0.5, -0.02, 0.0]))
    torch.testing.assert_close(memory.second_moment, torch.tensor([0.025, 4e-5, 0.0]))
    assert memory.first_bias.item() == pytest.approx(0.9)
    assert memory.second_bias.item() == pytest.approx(0.999)


def test_epsilon_stands_outside_the_root() -> None:
    # g = 1e-3, epsilon = 1e-3: 0.1 * 1e-3 / (1e-3 + 1e-3) = 0.05
    parameters_P = torch.zeros(1)
    adam_step(parameters_P, torch.full((1,), 1e-3), Adam.zeros_like(parameters_P), 0.1, epsilon=1e-3)
    assert parameters_P.item() == pytest.approx(-0.05, rel=1e-4)


@pytest.mark.parametrize("learning_rate", [3e-4, 0.1])
def test_adam_equals_torch(learning_rate: float) -> None:
    generator = torch.Generator().manual_seed(0)
    mine_P = torch.randn(40, generator=generator)
    theirs_P = mine_P.clone().requires_grad_()
    memory, peer = Adam.zeros_like(mine_P), torch.optim.Adam([theirs_P], lr=learning_rate)
    for _ in range(20):
        gradient_P = torch.randn(40, generator=generator) * torch.logspace(-3, 3, 40)
        adam_step(mine_P, gradient_P, memory, learning_rate)
        theirs_P.grad = gradient_P.clone()
        peer.step()
        # 1 - 0.999 in float32 is off by 1.3e-5, its root by half of that, in each of 20 steps of about the learning rate
        torch.testing.assert_close(mine_P, theirs_P.detach(), rtol=1e-6, atol=20 * 1e-5 * learning_rate)


def test_adam_works_in_place() -> None:
    parameters_P = torch.ones(2)
    memory = Adam.zeros_like(parameters_P)
    tensors = (parameters_P, memory.first_moment, memory.second_moment, memory.first_bias, memory.second_bias)
    places = [tensor.data_ptr() for tensor in tensors]
    assert len(set(places)) == 5  # nothing is shared
    adam_step(parameters_P, torch.ones(2), memory, 0.1)
    assert [tensor.data_ptr() for tensor in (parameters_P, *vars(memory).values())] == places


def test_polyak_by_hand() -> None:
    # 0.75 * [4, 0] + 0.25 * [0, 8] = [3, 2]
    target_P, online_P = torch.tensor([4.0, 0.0]), torch.tensor([0.0, 8.0])
    polyak_(target_P, online_P, 0.25)
    assert target_P.tolist() == [3, 2]
    assert online_P.tolist() == [0, 8]


@pytest.mark.parametrize(("tau", "expected"), [(0.0, [4.0, 0.5]), (1.0, [0.1, 8.0])])
def test_polyak_at_its_ends(tau: float, expected: list[float]) -> None:
    target_P = torch.tensor([4.0, 0.5])
    polyak_(target_P, torch.tensor([0.1, 8.0]), tau)
    assert torch.equal(target_P, torch.tensor(expected))


def test_polyak_closes_in_geometrically() -> None:
    target_P = torch.zeros(1)
    for _ in range(100):
        polyak_(target_P, torch.ones(1), 0.05)
    assert target_P.item() == pytest.approx(1 - 0.95**100, rel=1e-5)  # 0.994079
