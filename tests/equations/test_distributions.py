"""Densities, probabilities and entropies against torch.distributions and by hand; log_std."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from footlight.equations.distributions import (
    categorical_entropy,
    categorical_log_prob,
    clamped_log_std,
    gaussian_entropy,
    gaussian_log_prob,
    log_tanh_slope,
    rescaled_log_std,
    soft_value,
    squashed_gaussian,
)  # fmt: skip
from tolerance import DIGITS, assert_close, close


def test_log_prob_by_hand() -> None:
    # mean 0, sigma 1, noise 0.5: u = 0.5, a = tanh(0.5) = 0.462117
    # log N = -0.125 - 0.918939 = -1.043939;  log(1 - a^2) = log 0.786448 = -0.240229;
    # log pi = -1.043939 + 0.240229 = -0.803710
    action_BA, log_prob_B = squashed_gaussian(
        torch.zeros(1, 1), torch.zeros(1, 1), torch.full((1, 1), 0.5)
    )
    assert action_BA.item() == pytest.approx(0.462117, abs=DIGITS[6])
    assert log_prob_B.item() == pytest.approx(-0.803710, abs=DIGITS[6])


def test_log_prob_sums_over_dimensions() -> None:
    # Two dimensions as above, and one with sigma = e: u = e * 0.5 = 1.359141, a = 0.876194,
    # log(1 - a^2) = -1.459792, log N = -0.125 - 1 - 0.918939 = -2.043939,
    # log pi = -2.043939 + 1.459792 = -0.584147
    log_std = torch.tensor([[0.0, 0.0, 1.0]])
    action_BA, log_prob_B = squashed_gaussian(torch.zeros(1, 3), log_std, torch.full((1, 3), 0.5))
    assert action_BA.shape == (1, 3)
    assert log_prob_B.shape == (1,)
    assert log_prob_B.item() == pytest.approx(-0.803710 * 2 - 0.584147, abs=DIGITS[5])


def test_log_prob_equals_torch_distributions() -> None:
    generator = torch.Generator().manual_seed(1)
    mean_BA, raw_BA, noise_BA = torch.randn(3, 200, 4, generator=generator, dtype=torch.float64)
    # |u| stays below 6 or so, where a = tanh(u) still has enough digits to recover u
    log_std_BA = 0.3 * raw_BA - 0.5
    action_BA, log_prob_B = squashed_gaussian(mean_BA, log_std_BA, noise_BA)
    peer = TransformedDistribution(
        Independent(Normal(mean_BA, log_std_BA.exp()), 1), [TanhTransform()]
    )
    # Slope of artanh, which multiplies the rounding error of the action
    steep = float((1 / (1 - action_BA.square())).max())
    assert_close(log_prob_B, peer.log_prob(action_BA), scale=steep)


def test_density_integrates_to_one() -> None:
    # Midpoints of 4000 cells of (-1, 1): noise = (atanh(a) - mean) / sigma, and the density is
    # exp(log pi)
    action_BA = ((torch.arange(4000, dtype=torch.float64) + 0.5) / 2000 - 1)[:, None]
    mean, log_std = torch.full_like(action_BA, 0.3), torch.full_like(action_BA, -0.7)
    again_BA, log_prob_B = squashed_gaussian(
        mean, log_std, (action_BA.atanh() - mean) / log_std.exp()
    )
    assert_close(again_BA, action_BA)
    # The error is that of the quadrature
    assert (log_prob_B.exp() * (2 / 4000)).sum().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("mean", [-1e4, -50.0, -20.0, 20.0, 50.0, 1e4])
def test_extreme_actions_stay_finite(mean: float) -> None:
    mean_BA = torch.full((1, 1), mean, requires_grad=True)
    action_BA, log_prob_B = squashed_gaussian(mean_BA, torch.zeros(1, 1), torch.zeros(1, 1))
    log_prob_B.sum().backward()
    # tanh has rounded to ±1, where log(1 - a^2) would be log 0
    assert action_BA.item() == math.copysign(1, mean)
    # log(1 - tanh(u)^2) = 2 (log 2 - |u|) for large |u|
    assert log_prob_B.item() == close(-0.5 * math.log(2 * math.pi) - 2 * (math.log(2) - abs(mean)))
    assert mean_BA.grad is not None
    assert mean_BA.grad.item() == close(2 * math.copysign(1, mean))


def test_clamped_log_std_at_its_bounds() -> None:
    raw = torch.tensor([-1e3, -20.0, -19.5, 0.0, 1.5, 2.0, 1e3], requires_grad=True)
    bounded = clamped_log_std(raw)
    bounded.sum().backward()
    assert bounded.tolist() == [-20, -20, -19.5, 0, 1.5, 2, 2]
    assert raw.grad is not None
    # At a bound itself, any subgradient is valid
    assert raw.grad[[0, 2, 3, 4, 6]].tolist() == [0, 1, 1, 1, 0]


def test_rescaled_log_std_at_its_bounds() -> None:
    raw = torch.tensor([-1e3, -1.0, 0.0, 1.0, 1e3], requires_grad=True)
    bounded = rescaled_log_std(raw)
    bounded.sum().backward()
    # -5 + 3.5 * (tanh(raw) + 1) with tanh(1) = 0.761594: -5 + 3.5 * 0.238406 = -4.165579;
    # -5 + 3.5 = -1.5;  -5 + 3.5 * 1.761594 = 1.165579
    assert_close(bounded.detach(), torch.tensor([-5.0, -4.165579, -1.5, 1.165579, 2.0]), depth=2)
    assert raw.grad is not None
    assert raw.grad[2].item() == 3.5  # at 0, half the width of [-5, 2]
    assert (raw.grad[1:4] > 0).all()


@pytest.mark.parametrize("bounded", [clamped_log_std, rescaled_log_std])
def test_log_std_of_an_array_is_that_of_a_tensor(bounded: Callable[[Any], Any]) -> None:
    raw = np.linspace(-30, 30, 121, dtype=np.float32).reshape(11, 11)
    before = raw.copy()
    array = bounded(raw)
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.float32
    assert_close(array, bounded(torch.from_numpy(raw)).numpy())
    assert np.array_equal(raw, before)


# Gaussian


def test_gaussian_by_hand() -> None:
    # sigma 1, value one sigma away: -0.5 - 0.918939 = -1.418939
    # sigma e, value two sigma away: -2 - 1 - 0.918939 = -3.918939
    mean_BA, log_std_BA = torch.tensor([[3.0, 1.0]]), torch.tensor([[0.0, 1.0]])
    log_prob_B = gaussian_log_prob(mean_BA, log_std_BA, torch.tensor([[4.0, 1 - 2 * math.e]]))
    assert log_prob_B.shape == (1,)
    assert log_prob_B.item() == pytest.approx(-1.418939 - 3.918939, abs=DIGITS[5])
    # 1/2 + 1/2 log 2 pi = 1.418939 each, and once log sigma 1
    assert gaussian_entropy(log_std_BA).tolist() == [pytest.approx(2 * 1.418939 + 1, abs=DIGITS[5])]


def test_gaussian_equals_torch_distributions() -> None:
    generator = torch.Generator().manual_seed(2)
    mean_BA, log_std_BA, value_BA = torch.randn(3, 200, 4, generator=generator, dtype=torch.float64)
    peer = Independent(Normal(mean_BA, log_std_BA.exp()), 1)
    assert_close(gaussian_log_prob(mean_BA, log_std_BA, value_BA), peer.log_prob(value_BA))
    assert_close(gaussian_entropy(log_std_BA), peer.entropy())


def test_gaussian_density_integrates_to_one_and_its_entropy_is_the_mean_log() -> None:
    # The points are 2e-3 apart; sigma is 0.607, the mean 0.4
    value_BA = torch.linspace(-8, 8, 8001, dtype=torch.float64)[:, None]
    mean_BA, log_std_BA = torch.full_like(value_BA, 0.4), torch.full_like(value_BA, -0.5)
    log_prob_B = gaussian_log_prob(mean_BA, log_std_BA, value_BA)
    assert (log_prob_B.exp() * 2e-3).sum().item() == close(1, np.float64, terms=len(log_prob_B))
    entropy = -(log_prob_B.exp() * log_prob_B * 2e-3).sum().item()
    assert entropy == close(
        gaussian_entropy(log_std_BA)[0].item(), np.float64, terms=len(log_prob_B)
    )


def test_log_tanh_slope() -> None:
    u = torch.linspace(-8, 8, 161, dtype=torch.float64)
    # The scale is 1 / (1 - tanh(8)^2)
    assert_close(log_tanh_slope(u), (1 - u.tanh().square()).log(), scale=math.cosh(8) ** 2)
    far = torch.tensor([-1e4, -100.0, 100.0, 1e4], requires_grad=True)
    slope = log_tanh_slope(far)
    slope.sum().backward()
    assert_close(slope.detach(), 2 * math.log(2) - 2 * far.detach().abs())
    assert far.grad is not None
    assert far.grad.tolist() == [2, 2, -2, -2]


# Categorical


def peers(logits_BH: Tensor, sizes: tuple[int, ...]) -> list[Categorical]:
    return [Categorical(logits=logits) for logits in torch.split(logits_BH, list(sizes), -1)]


def every_choice(sizes: tuple[int, ...]) -> Tensor:
    """All combinations, [product of sizes, A]."""
    return torch.cartesian_prod(*(torch.arange(size) for size in sizes)).view(-1, len(sizes))


def test_categorical_by_hand() -> None:
    # Probabilities 1/4, 3/4 and 1/6, 2/6, 3/6; options two and three: log 3/4 + log 3/6 = -0.980829
    # Entropies: (log 4) / 4 + 3/4 log 4/3 = 0.562335;
    # (log 6) / 6 + (log 3) / 3 + (log 2) / 2 = 1.011404
    logits_BH = torch.tensor([[1.0, 3.0, 1.0, 2.0, 3.0]]).log()
    log_prob_B = categorical_log_prob(logits_BH, torch.tensor([[1, 2]]), (2, 3))
    assert log_prob_B.shape == (1,)
    assert log_prob_B.item() == pytest.approx(-0.980829, abs=DIGITS[6])
    assert categorical_entropy(logits_BH, (2, 3)).tolist() == [
        pytest.approx(0.562335 + 1.011404, abs=DIGITS[6])
    ]


@pytest.mark.parametrize("sizes", [(4,), (1,), (2, 3), (3, 1, 5), (2, 2, 2)])
def test_categorical_equals_torch_distributions(sizes: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(3)
    logits_BH = 3 * torch.randn(50, sum(sizes), generator=generator)
    choice_BA = torch.stack([torch.randint(size, (50,), generator=generator) for size in sizes], 1)
    log_prob_B = sum(
        peer.log_prob(choice)
        for peer, choice in zip(peers(logits_BH, sizes), choice_BA.T, strict=True)
    )
    assert_close(categorical_log_prob(logits_BH, choice_BA, sizes), log_prob_B, terms=sum(sizes))
    entropy_B = sum(peer.entropy() for peer in peers(logits_BH, sizes))
    assert_close(categorical_entropy(logits_BH, sizes), entropy_B, terms=sum(sizes))


@pytest.mark.parametrize("sizes", [(4,), (2, 3), (3, 1, 5)])
def test_categorical_probabilities_sum_to_one(sizes: tuple[int, ...]) -> None:
    choice_BA = every_choice(sizes)
    logits_BH = torch.randn(sum(sizes), generator=torch.Generator().manual_seed(0)).expand(
        len(choice_BA), -1
    )
    log_prob_B = categorical_log_prob(logits_BH, choice_BA, sizes)
    assert log_prob_B.exp().sum().item() == close(1, terms=6)
    # and the entropy is -E[log pi] over these
    assert categorical_entropy(logits_BH, sizes)[0].item() == pytest.approx(
        -(log_prob_B.exp() * log_prob_B).sum().item(), abs=1e-5
    )


def test_categorical_gradients_equal_those_of_torch_distributions() -> None:
    generator, sizes = torch.Generator().manual_seed(4), (3, 2)
    mine_BH = torch.randn(20, 5, generator=generator).requires_grad_()
    theirs_BH = mine_BH.detach().clone().requires_grad_()
    choice_BA = torch.stack([torch.randint(size, (20,), generator=generator) for size in sizes], 1)
    mine = categorical_log_prob(mine_BH, choice_BA, sizes) + 0.3 * categorical_entropy(
        mine_BH, sizes
    )
    mine.sum().backward()
    theirs = [
        p.log_prob(c) + 0.3 * p.entropy()
        for p, c in zip(peers(theirs_BH, sizes), choice_BA.T, strict=True)
    ]
    torch.stack(theirs).sum().backward()
    assert_close(mine_BH.grad, theirs_BH.grad)


def test_categorical_stays_finite_with_extreme_logits() -> None:
    logits_BH = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    together = categorical_entropy(logits_BH, (3,)) + categorical_log_prob(
        logits_BH, torch.tensor([[1]]), (3,)
    )
    together.sum().backward()
    assert together.item() == -2e4  # entropy 0
    assert logits_BH.grad is not None
    assert logits_BH.grad.tolist() == [[-1, 1, 0]]


def test_choices_that_lie_in_time_and_environments() -> None:
    # Leading dimensions other than one batch
    logits_TEH = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0))
    choice_TEA = torch.tensor([[[1, 2], [0, 0]], [[1, 1], [0, 2]], [[0, 1], [1, 0]]])
    flat_B = categorical_log_prob(logits_TEH.flatten(0, 1), choice_TEA.flatten(0, 1), (2, 3))
    assert_close(categorical_log_prob(logits_TEH, choice_TEA, (2, 3)), flat_B.view(3, 2))


def test_soft_value_by_hand() -> None:
    # 0.5 * 1 + 0.25 * 5 - 0.25 * 2 = 1.25; the entropy is 1.5 log 2 = 1.039721
    log_prob_BA, q_BA = torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([[1.0, 5.0, -2.0]])
    assert soft_value(log_prob_BA, q_BA, 0.0).item() == close(1.25, depth=4)
    found = soft_value(log_prob_BA, q_BA, torch.tensor([0.2])).item()
    assert found == pytest.approx(1.25 + 0.2 * 1.039721, abs=DIGITS[6])


def test_soft_value_equals_a_loop_over_choices() -> None:
    generator = torch.Generator().manual_seed(1)
    logits_BA, q_BA = torch.randn(2, 50, 4, generator=generator, dtype=torch.float64)
    found = soft_value(logits_BA.log_softmax(-1), q_BA, 0.3)
    for row, (logits, values) in enumerate(zip(logits_BA, q_BA, strict=True)):
        weights = [math.exp(logit) for logit in logits.tolist()]
        total = 0.0
        for weight, value in zip(weights, values.tolist(), strict=True):
            share = weight / sum(weights)
            total += share * (value - 0.3 * math.log(share))
        assert_close(found[row], total, terms=4, depth=4, scale=4)


def test_soft_value_of_a_certain_choice_is_its_q() -> None:
    log_prob_BA = torch.tensor([[0.0, -5000.0]]).log_softmax(-1).requires_grad_()
    value_B = soft_value(log_prob_BA, torch.tensor([[3.0, 1e4]]), 1.0)
    value_B.sum().backward()
    assert value_B.item() == 3
    assert log_prob_BA.grad is not None
    assert log_prob_BA.grad.isfinite().all()
