"""The squashed Gaussian against torch.distributions and by hand; both ways of bounding log sigma at their bounds."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from footlight.equations.distributions import clamped_log_std, rescaled_log_std, squashed_gaussian


def test_log_prob_by_hand() -> None:
    # mean 0, sigma 1, noise 0.5: u = 0.5, a = tanh(0.5) = 0.462117
    # log N = -0.125 - 0.918939 = -1.043939;  log(1 - a^2) = log 0.786448 = -0.240229;  together -0.803710
    action_BA, log_prob_B = squashed_gaussian(torch.zeros(1, 1), torch.zeros(1, 1), torch.full((1, 1), 0.5))
    assert action_BA.item() == pytest.approx(0.462117, abs=1e-6)
    assert log_prob_B.item() == pytest.approx(-0.803710, abs=1e-6)


def test_log_prob_sums_over_dimensions() -> None:
    # Twice the dimension above, and once sigma = e: u = e * 0.5 = 1.359141, a = 0.876194, log(1 - a^2) = -1.459792,
    # log N = -0.125 - 1 - 0.918939 = -2.043939, together -0.584147
    log_std = torch.tensor([[0.0, 0.0, 1.0]])
    action_BA, log_prob_B = squashed_gaussian(torch.zeros(1, 3), log_std, torch.full((1, 3), 0.5))
    assert action_BA.shape == (1, 3)
    assert log_prob_B.shape == (1,)
    assert log_prob_B.item() == pytest.approx(-0.803710 * 2 - 0.584147, abs=1e-5)


def test_log_prob_equals_torch_distributions() -> None:
    generator = torch.Generator().manual_seed(1)
    mean_BA, raw_BA, noise_BA = torch.randn(3, 200, 4, generator=generator, dtype=torch.float64)
    log_std_BA = 0.3 * raw_BA - 0.5  # |u| stays below 6 or so, where a = tanh(u) still has digits to tell u from
    action_BA, log_prob_B = squashed_gaussian(mean_BA, log_std_BA, noise_BA)
    peer = TransformedDistribution(Independent(Normal(mean_BA, log_std_BA.exp()), 1), [TanhTransform()])
    torch.testing.assert_close(log_prob_B, peer.log_prob(action_BA), rtol=1e-6, atol=1e-6)


def test_density_integrates_to_one() -> None:
    # Midpoints of 4000 cells of (-1, 1): noise = (atanh(a) - mean) / sigma, and the density is exp(log pi)
    action_BA = ((torch.arange(4000, dtype=torch.float64) + 0.5) / 2000 - 1)[:, None]
    mean, log_std = torch.full_like(action_BA, 0.3), torch.full_like(action_BA, -0.7)
    again_BA, log_prob_B = squashed_gaussian(mean, log_std, (action_BA.atanh() - mean) / log_std.exp())
    torch.testing.assert_close(again_BA, action_BA)
    assert (log_prob_B.exp() * (2 / 4000)).sum().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("mean", [-1e4, -50.0, -20.0, 20.0, 50.0, 1e4])
def test_extreme_actions_stay_finite(mean: float) -> None:
    mean_BA = torch.full((1, 1), mean, requires_grad=True)
    action_BA, log_prob_B = squashed_gaussian(mean_BA, torch.zeros(1, 1), torch.zeros(1, 1))
    log_prob_B.sum().backward()
    assert action_BA.item() == math.copysign(1, mean)  # tanh has rounded to its end, where log(1 - a^2) would be log 0
    # log(1 - tanh(u)^2) = 2 (log 2 - |u|) for large |u|
    assert log_prob_B.item() == pytest.approx(-0.5 * math.log(2 * math.pi) - 2 * (math.log(2) - abs(mean)), rel=1e-6)
    assert mean_BA.grad is not None
    assert mean_BA.grad.item() == pytest.approx(2 * math.copysign(1, mean))


def test_clamped_log_std_at_its_bounds() -> None:
    raw = torch.tensor([-1e3, -20.0, -19.5, 0.0, 1.5, 2.0, 1e3], requires_grad=True)
    bounded = clamped_log_std(raw)
    bounded.sum().backward()
    assert bounded.tolist() == [-20, -20, -19.5, 0, 1.5, 2, 2]
    assert raw.grad is not None
    assert raw.grad[[0, 2, 3, 4, 6]].tolist() == [0, 1, 1, 1, 0]  # at a bound itself the gradient is a matter of taste


def test_rescaled_log_std_at_its_bounds() -> None:
    raw = torch.tensor([-1e3, -1.0, 0.0, 1.0, 1e3], requires_grad=True)
    bounded = rescaled_log_std(raw)
    bounded.sum().backward()
    # -5 + 3.5 * (tanh(raw) + 1), tanh(1) = 0.761594: -5 + 3.5 * 0.238406 = -4.165579;  -5 + 3.5 = -1.5;  1.165579
    torch.testing.assert_close(bounded.detach(), torch.tensor([-5.0, -4.165579, -1.5, 1.165579, 2.0]))
    assert raw.grad is not None
    assert raw.grad[2].item() == 3.5  # at 0, half the width of [-5, 2]
    assert (raw.grad[1:4] > 0).all()
