"""Optimizers, clipping and target averages: by hand, against torch, and in place."""

import numpy as np
import pytest
import torch

from footlight.equations.optimizers import (
    SGD,
    Adam,
    RMSprop,
    adam_step,
    bounded_step_size,
    clipped,
    polyak_,
    rmsprop_step,
    sgd_step,
)
from footlight.trees import tree_items
from tolerance import DIGITS, assert_close, close, rounding_error

# The error of 0.999 in float32 is up to eps / 4. Relative to 1 - 0.999 it is a thousand times
# larger, and relative to its root half of that.
BIAS_ERROR = float(np.finfo(np.float32).eps) / 4 / (1 - 0.999) / 2


def test_first_adam_step_by_hand() -> None:
    # m = 0.1 g, v = 0.001 g^2; bias-corrected m / (1 - 0.9) = g, v / (1 - 0.999) = g^2;
    # step = 0.01 g / (|g| + 1e-8) = ±0.01
    parameters_P, memory = torch.tensor([1.0, 1.0, 1.0]), Adam.zeros_like(torch.zeros(3))
    adam_step(parameters_P, torch.tensor([5.0, -0.2, 0.0]), memory, 0.01)
    assert_close(parameters_P, torch.tensor([0.99, 1.01, 1.0]))
    assert_close(memory.first_moment, torch.tensor([0.5, -0.02, 0.0]))
    assert_close(memory.second_moment, torch.tensor([0.025, 4e-5, 0.0]))
    assert memory.first_bias.item() == close(0.9)
    assert memory.second_bias.item() == close(0.999)


def test_epsilon_stands_outside_the_root() -> None:
    # g = 1e-3, epsilon = 1e-3: 0.1 * 1e-3 / (1e-3 + 1e-3) = 0.05
    parameters_P = torch.zeros(1)
    adam_step(
        parameters_P, torch.full((1,), 1e-3), Adam.zeros_like(parameters_P), 0.1, epsilon=1e-3
    )
    assert parameters_P.item() == pytest.approx(-0.05, rel=BIAS_ERROR)


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
        allowed = 20 * BIAS_ERROR * learning_rate + rounding_error(
            terms=20, scale=float(theirs_P.detach().abs().max())
        )
        torch.testing.assert_close(mine_P, theirs_P.detach(), rtol=0, atol=allowed)


def test_adam_works_in_place() -> None:
    parameters_P = torch.ones(2)
    memory = Adam.zeros_like(parameters_P)
    tensors = (
        parameters_P,
        memory.first_moment,
        memory.second_moment,
        memory.first_bias,
        memory.second_bias,
    )
    places = [tensor.data_ptr() for tensor in tensors]
    assert len(set(places)) == 5  # nothing is shared
    adam_step(parameters_P, torch.ones(2), memory, 0.1)
    assert [tensor.data_ptr() for tensor in (parameters_P, *tree_items(memory).values())] == places


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
    assert target_P.item() == close(1 - 0.95**100)  # 0.994079


# A step size for each parameter, as a tensor


def test_adam_takes_a_step_size_for_each_parameter() -> None:
    generator = torch.Generator().manual_seed(0)
    rates = torch.tensor([0.1, 0.1, 0.01, 0.0])
    mine_P = torch.zeros(4)
    memory, theirs = Adam.zeros_like(mine_P), [torch.zeros(4), torch.zeros(4)]
    memories = [Adam.zeros_like(mine_P) for _ in theirs]
    for _ in range(5):
        gradient_P = torch.randn(4, generator=generator)
        adam_step(mine_P, gradient_P, memory, rates)
        for vector_P, its_memory, rate in zip(theirs, memories, (0.1, 0.01), strict=True):
            adam_step(vector_P, gradient_P, its_memory, rate)
    assert_close(mine_P, torch.cat([theirs[0][:2], theirs[1][2:3], torch.zeros(1)]))


# RMSprop


def test_first_rmsprop_steps_by_hand() -> None:
    # v = 0.01 * 4 = 0.04, root 0.2: step 0.1 * 2 / (0.2 + 0.3) = 0.4
    # v = 0.99 * 0.04 + 0.01 * 1 = 0.0496, root 0.222711: step 0.1 * -1 / 0.522711 = -0.191310
    parameters_P, memory = torch.ones(1), RMSprop.zeros_like(torch.zeros(1))
    rmsprop_step(parameters_P, torch.tensor([2.0]), memory, 0.1, epsilon=0.3)
    assert parameters_P.item() == close(0.6)
    rmsprop_step(parameters_P, torch.tensor([-1.0]), memory, 0.1, epsilon=0.3)
    assert memory.second_moment.item() == close(0.0496)
    assert parameters_P.item() == pytest.approx(0.791310, abs=DIGITS[6])


@pytest.mark.parametrize(
    ("learning_rate", "epsilon", "decay"), [(7e-4, 1e-5, 0.99), (0.1, 1e-8, 0.9), (0.01, 1.0, 0.5)]
)
def test_rmsprop_equals_torch(learning_rate: float, epsilon: float, decay: float) -> None:
    generator = torch.Generator().manual_seed(0)
    mine_P = torch.randn(40, generator=generator)
    theirs_P = mine_P.clone().requires_grad_()
    memory = RMSprop.zeros_like(mine_P)
    peer = torch.optim.RMSprop([theirs_P], lr=learning_rate, alpha=decay, eps=epsilon)
    for _ in range(20):
        gradient_P = torch.randn(40, generator=generator) * torch.logspace(-3, 3, 40)
        rmsprop_step(mine_P, gradient_P, memory, learning_rate, epsilon, decay)
        theirs_P.grad = gradient_P.clone()
        peer.step()
        assert_close(mine_P, theirs_P.detach(), terms=20)


def test_rmsprop_with_epsilon_under_the_root_by_hand() -> None:
    parameters_P, memory = torch.tensor([1.0]), RMSprop.ones_like(torch.zeros(1))
    rmsprop_step(parameters_P, torch.tensor([2.0]), memory, 0.1, epsilon=0.97, epsilon_inside=True)
    # v = 0.99 * 1 + 0.01 * 4 = 1.03;  1 - 0.1 * 2 / sqrt(1.03 + 0.97) = 1 - 0.2 / sqrt(2)
    assert memory.second_moment.item() == close(1.03)
    assert parameters_P.item() == close(1 - 0.2 / 2**0.5)


def test_rmsprop_works_in_place_and_takes_a_step_size_for_each_parameter() -> None:
    parameters_P = torch.zeros(2)
    memory = RMSprop.zeros_like(parameters_P)
    places = parameters_P.data_ptr(), memory.second_moment.data_ptr()
    rmsprop_step(parameters_P, torch.ones(2), memory, torch.tensor([0.0, 0.1]), epsilon=0.1)
    assert parameters_P.tolist() == [0, close(-0.5)]  # 0.1 / (0.1 + 0.1)
    assert (parameters_P.data_ptr(), memory.second_moment.data_ptr()) == places


# Clipping


def test_clipped_by_hand() -> None:
    # The norm of (3, 4) is 5; scaled down to 1 it is (0.6, 0.8); 10 leaves it alone
    gradient_P = torch.tensor([3.0, 4.0])
    for max_norm, expected in ((1.0, [0.6, 0.8]), (10.0, [3.0, 4.0]), (None, [3.0, 4.0])):
        scaled_P, norm = clipped(gradient_P, max_norm)
        assert_close(scaled_P, torch.tensor(expected), terms=3)
        assert norm.item() == 5  # what it was
    assert gradient_P.tolist() == [3, 4]


@pytest.mark.parametrize("scale", [0.0, 1e-8, 0.1, 0.49, 0.51, 10, 1e6])
def test_clipped_equals_torch(scale: float) -> None:
    gradient_P = torch.randn(100, generator=torch.Generator().manual_seed(0))
    gradient_P *= scale / gradient_P.norm()
    theirs = torch.nn.Parameter(torch.zeros(100))
    theirs.grad = gradient_P.clone()
    their_norm = torch.nn.utils.clip_grad_norm_([theirs], 0.5)
    mine_P, norm = clipped(gradient_P, 0.5)
    assert_close(mine_P, theirs.grad)
    assert_close(norm, their_norm)
    assert mine_P.norm().item() <= 0.5 * (1 + 1e-6)


# The step size that does not overshoot


@pytest.mark.parametrize(
    ("delta", "trace_norm", "expected"),
    [
        # max(|delta|, 1) = 1: 1 * 3 * 1 * 0.1 = 0.3 is below 1, so the step size is unchanged
        (0.5, 0.1, 1.0),
        (0.5, 4.0, 1 / 12),  # 1 * 3 * 1 * 4 = 12
        (-2.0, 4.0, 1 / 24),  # 1 * 3 * 2 * 4 = 24, whatever the sign
        (2.0, 0.0, 1.0),  # an empty trace
    ],
)
def test_bounded_step_size_by_hand(delta: float, trace_norm: float, expected: float) -> None:
    bounded = bounded_step_size(1.0, 3.0, torch.tensor(delta), torch.tensor(trace_norm))
    assert bounded.shape == ()
    assert bounded.item() == close(expected)


def test_bounded_step_size_scales_what_is_asked_for_only_where_it_is_small() -> None:
    # The bound is 1 / (2 * 5 * 8) = 0.0125
    delta, trace_norm = torch.tensor(5.0), torch.tensor(8.0)
    for asked, expected in ((1e-3, 1e-3), (0.0124, 0.0124), (0.1, 0.0125), (1.0, 0.0125)):
        assert bounded_step_size(asked, 2.0, delta, trace_norm).item() == close(expected)


def test_a_bounded_step_does_not_pass_the_point_without_error() -> None:
    # The gradient of a linear value w x is x, so the error after the step is
    # delta (1 - alpha' sum x^2). With |x| <= 1 at least (1 - 1 / kappa) of it is left, for any
    # step size.
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        x_P = torch.rand(10, generator=generator) * 2 - 1
        delta = 10 * torch.randn((), generator=generator)
        alpha = bounded_step_size(100.0, 2.0, delta, x_P.abs().sum())
        after = delta - alpha * delta * (x_P * x_P).sum()
        assert (after / delta).item() >= 0.5


# Weight decay, and plain gradient descent


def test_decoupled_weight_decay_by_hand() -> None:
    # Adam's first step is 0.1 times the sign of g for any g; weight decay also subtracts 0.1 * 0.5
    # of each parameter
    parameters_P = torch.tensor([2.0, -4.0])
    adam_step(
        parameters_P, torch.tensor([7.0, 7.0]), Adam.zeros_like(parameters_P), 0.1, weight_decay=0.5
    )
    torch.testing.assert_close(parameters_P, torch.tensor([2 - 0.1 - 0.1, -4 - 0.1 + 0.2]))


def test_adam_with_weight_decay_equals_torch_adamw() -> None:
    generator = torch.Generator().manual_seed(0)
    ours_P = torch.randn(40, generator=generator)
    peer_P = ours_P.clone().requires_grad_()
    memory, peer = Adam.zeros_like(ours_P), torch.optim.AdamW([peer_P], lr=0.01, weight_decay=0.3)
    for _ in range(20):
        gradient_P = torch.randn(40, generator=generator)
        adam_step(ours_P, gradient_P, memory, 0.01, weight_decay=0.3)
        peer_P.grad = gradient_P.clone()
        peer.step()
        # As in test_adam_equals_torch: 1 - 0.999 in float32
        torch.testing.assert_close(ours_P, peer_P.detach(), rtol=1e-6, atol=20 * 1e-5 * 0.01)


def test_sgd_step_by_hand() -> None:
    parameters_P, memory = torch.tensor([1.0, 1.0]), SGD.zeros_like(torch.zeros(2))
    norm = sgd_step(parameters_P, torch.tensor([3.0, -4.0]), memory, torch.tensor([0.5, 0.25]))
    assert parameters_P.tolist() == [-0.5, 2.0]
    assert norm.item() == 5
    assert memory.gradient.tolist() == [3, -4]


def test_sgd_step_along_a_gradient_that_is_not_finite_is_not_taken() -> None:
    parameters_P = torch.tensor([1.0, 1.0])
    norm = sgd_step(
        parameters_P, torch.tensor([1.0, float("nan")]), SGD.zeros_like(parameters_P), 0.1
    )
    assert parameters_P.tolist() == [1, 1]
    assert not norm.isfinite()
