"""Action heads: samples follow `log_prob`, densities integrate to 1, entropies equal torch's."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from footlight.networks.heads import (
    Categorical,
    ContinuousHead,
    Gaussian,
    Head,
    SquashedGaussian,
    head_for,
)
from footlight.types import Array, BoxAction, DiscreteAction
from tolerance import DIGITS, assert_close, rounding_error

HEADS = [Categorical((4,)), Categorical((2, 3)), Gaussian(2), SquashedGaussian(2)]
NUM_SAMPLES = 40_000


def stream(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def outputs(head: Head, rows: int, seed: int = 0) -> Array:
    return stream(seed).standard_normal((rows, head.num_outputs)).astype(np.float32)


def log_prob(head: Head, output: Array, drawn: Array) -> Array:
    return head.log_prob(torch.from_numpy(output), torch.from_numpy(drawn)).numpy()


def softmax(logits: Array) -> Array:
    weights = np.exp(logits.astype(np.float64) - logits.max())
    return weights / weights.sum()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("rows", [1, 5])
def test_shapes_and_types(head: Any, rows: int) -> None:
    discrete = isinstance(head, Categorical)
    num_actions = len(head.sizes) if discrete else head.num_actions
    output = outputs(head, rows)
    before = output.copy()
    for drawn in (head.mode(output), head.sample(output, stream())):
        assert drawn.shape == (rows, num_actions)
        assert drawn.dtype == (np.int64 if discrete else np.float32)
        assert log_prob(head, output, drawn).shape == (rows,)
        assert head.to_unit(drawn).dtype == drawn.dtype
    noise = torch.zeros(rows, head.noise_size)
    assert head.entropy(torch.from_numpy(output), noise).shape == (rows,)
    assert np.array_equal(output, before)


@pytest.mark.parametrize("head", HEADS)
def test_samples_follow_from_the_stream(head: Head) -> None:
    output = outputs(head, 5)
    assert np.array_equal(head.sample(output, stream(3)), head.sample(output, stream(3)))
    assert not np.array_equal(head.sample(output, stream(3)), head.sample(output, stream(4)))


# Categorical


def chi_square(counts: Array, probabilities: Array) -> float:
    expected = probabilities * counts.sum()
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("logits", [[0.0, 0, 0, 0], [1.0, -1.0, 0.3, 2.0], [-3.0, 5.0, 4.0, 2.0]])
def test_choices_come_as_often_as_softmax_says(logits: list[float]) -> None:
    head, output = Categorical((4,)), np.tile(np.array(logits, np.float32), (NUM_SAMPLES, 1))
    counts = np.bincount(head.sample(output, stream())[:, 0], minlength=4)
    assert chi_square(counts, softmax(np.array(logits))) < 16.3  # 3 degrees of freedom: 1 in 1000


def test_several_choices_are_independent_and_each_has_its_own_probabilities() -> None:
    head, logits = Categorical((2, 3)), np.array([1.0, 0.0, -1.0, 0.5, 1.0], np.float32)
    drawn = head.sample(np.tile(logits, (NUM_SAMPLES, 1)), stream())
    together = np.outer(softmax(logits[:2]), softmax(logits[2:]))  # of all six pairs
    counts = np.bincount(drawn[:, 0] * 3 + drawn[:, 1], minlength=6)
    assert chi_square(counts, together.flatten()) < 20.5  # 5 degrees of freedom: 1 in 1000
    # and these are what log_prob says
    pairs = np.array([[first, second] for first in range(2) for second in range(3)])
    assert_close(np.exp(log_prob(head, np.tile(logits, (6, 1)), pairs)), together.flatten())


def test_mode_is_the_best_of_each_choice() -> None:
    output = np.array([[0.0, 1.0, 5.0, 4.0, 3.0], [2.0, 1.0, -3.0, -2.0, -1.0]], np.float32)
    assert Categorical((2, 3)).mode(output).tolist() == [[1, 0], [0, 2]]
    assert Categorical((5,)).mode(output).tolist() == [[2], [0]]
    assert Categorical((1, 1, 3)).mode(output).tolist() == [[0, 0, 0], [0, 0, 2]]


class Zeros(np.random.Generator):
    """Draws the 0 that comes once in eight million exponential numbers."""

    def standard_exponential(
        self, size: Any = None, dtype: Any = None, method: Any = "zig", out: Any = None
    ) -> Any:
        numbers = super().standard_exponential(size, dtype)
        numbers[0, 0] = 0
        return numbers


def test_an_exponential_number_of_zero_has_no_warning_and_no_infinite_weight() -> None:
    output = np.array([[0.0, 0.0], [0.0, 0.0]], np.float32)
    # log 0 would raise a warning, which is an error in tests
    assert Categorical((2,)).sample(output, Zeros(np.random.PCG64(0)))[0, 0] == 0
    impossible = np.array([[-1e4, 0.0], [0.0, 0.0]], np.float32)
    assert Categorical((2,)).sample(impossible, Zeros(np.random.PCG64(0)))[0, 0] == 1


def test_choices_are_what_the_environment_is_given() -> None:
    choices = np.array([[1, 2]])
    for head in (Categorical((2, 3)),):
        assert head.to_unit(choices).tolist() == head.from_unit(choices).tolist() == [[1, 2]]


# Gaussian


def gaussian_output(mean: list[float], log_std: list[float], rows: int = NUM_SAMPLES) -> Array:
    return np.tile(np.array([*mean, *log_std], np.float32), (rows, 1))


@pytest.mark.parametrize("head", [Gaussian(2), SquashedGaussian(2)])
def test_samples_have_mean_and_deviation(head: Gaussian) -> None:
    # Four standard errors: sigma / sqrt(40,000) of the mean, sigma / sqrt(80,000) of the deviation
    mean, sigma = np.array([0.5, -2.0]), np.array([0.2, 1.5])
    drawn = head.sample(gaussian_output(mean.tolist(), np.log(sigma).tolist()), stream())
    assert (np.abs(drawn.mean(0) - mean) < 4 * sigma / 200).all()
    assert (np.abs(drawn.std(0) - sigma) < 4 * sigma / 200 / math.sqrt(2)).all()
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 4 / 200


@pytest.mark.parametrize("head", [Gaussian(2), SquashedGaussian(2)])
def test_log_std_is_bounded_for_acting_and_learning_alike(head: Gaussian) -> None:
    raw, bounded = (
        gaussian_output([0.0, 0.0], [50.0, -50.0], 3),
        gaussian_output([0.0, 0.0], [2.0, -20.0], 3),
    )
    drawn = head.sample(raw, stream())
    assert np.array_equal(drawn, head.sample(bounded, stream()))
    assert np.array_equal(log_prob(head, raw, drawn), log_prob(head, bounded, drawn))
    noise = torch.ones(3, head.noise_size)
    assert torch.equal(
        head.entropy(torch.from_numpy(raw), noise), head.entropy(torch.from_numpy(bounded), noise)
    )


@pytest.mark.parametrize("head", [Gaussian(2), SquashedGaussian(2)])
def test_mode_is_the_mean(head: Gaussian) -> None:
    assert head.mode(np.array([[3.0, -0.5, 1.0, 2.0]], np.float32)).tolist() == [[3, -0.5]]


def test_gaussian_equals_torch_distributions() -> None:
    head = Gaussian(3)
    output, drawn = (
        torch.from_numpy(outputs(head, 50) * 0.5),
        torch.from_numpy(outputs(head, 50, seed=1)[:, :3]),
    )
    peer = Independent(Normal(output[:, :3], output[:, 3:].exp()), 1)
    assert_close(head.log_prob(output, drawn), peer.log_prob(drawn))
    assert_close(head.entropy(output, torch.zeros(50, 0)), peer.entropy())


def test_gaussian_is_cut_off_for_the_environment_alone() -> None:
    head, drawn = Gaussian(3), np.array([[-1.5, 0.25, 7.0]], np.float32)
    assert head.to_unit(drawn).tolist() == [[-1, 0.25, 1]]
    assert drawn.tolist() == [[-1.5, 0.25, 7]]
    # The density is that of the unclipped number, so the two tails differ from the bound and from
    # each other
    at = [
        log_prob(Gaussian(1), np.zeros((1, 2), np.float32), np.array([[x]], np.float32)).item()
        for x in (1.0, 1.5, 7.0)
    ]
    assert at == [pytest.approx(-0.5 * x * x - 0.918939, abs=DIGITS[5]) for x in (1.0, 1.5, 7.0)]


# Squashed Gaussian

INWARD = 1e-6  # actions from elsewhere are moved inwards by this share, off the bounds


def test_squashed_log_prob_equals_torch_distributions() -> None:
    head = SquashedGaussian(3)
    output = torch.from_numpy(outputs(head, 200)).double() * 0.5
    drawn = output[:, :3] + output[:, 3:].exp() * torch.from_numpy(
        outputs(head, 200, seed=1)[:, :3]
    )
    peer = TransformedDistribution(
        Independent(Normal(output[:, :3], output[:, 3:].exp()), 1),
        [squash := TanhTransform(cache_size=1)],
    )
    # The cache returns u for artanh(tanh(u))
    assert_close(head.log_prob(output, drawn), peer.log_prob(squash(drawn)), terms=3)


def test_squashed_density_of_the_action_integrates_to_one() -> None:
    head, cells = SquashedGaussian(1), 4000
    unit = ((np.arange(cells) + 0.5) / (cells / 2) - 1)[:, None]
    output = torch.from_numpy(gaussian_output([0.3], [-0.7], cells)).double()
    density = head.log_prob(output, torch.from_numpy(np.arctanh(unit))).exp()
    assert (density * (2 / cells)).sum().item() == pytest.approx(1, abs=1e-6)  # of the quadrature


def test_squashed_entropy_is_minus_the_mean_log_density() -> None:
    # Estimated with the same noise: the mean of -log pi(tanh(u)) = 0.5 noise^2 + ... is that of
    # `entropy`, whose first term is exact
    head = SquashedGaussian(2)
    output = torch.from_numpy(gaussian_output([0.4, -1.0], [-0.5, 0.3])).double()
    noise = torch.from_numpy(stream().standard_normal((NUM_SAMPLES, 2)))
    entropy = head.entropy(output, noise)
    # The cache returns u for artanh(tanh(u))
    peer = TransformedDistribution(
        Independent(Normal(output[:, :2], output[:, 2:].exp()), 1), [TanhTransform(cache_size=1)]
    )
    torch.manual_seed(0)
    log_density = peer.log_prob(peer.sample())
    error = 4 * math.sqrt((entropy.var().item() + log_density.var().item()) / NUM_SAMPLES)
    assert error < 0.05
    assert entropy.mean().item() == pytest.approx(-log_density.mean().item(), abs=error)


def test_squashed_entropy_has_a_gradient_through_the_draw() -> None:
    head = SquashedGaussian(1)
    output = torch.tensor([[1.0, 0.5]], dtype=torch.float64, requires_grad=True)
    head.entropy(output, torch.tensor([[0.7]]).double()).sum().backward()
    assert output.grad is not None
    # u = 1 + 0.7 e^0.5 = 2.154105;  d log(1 - tanh(u)^2) / du = -2 tanh(u) = -1.946889;
    # du / d log sigma = 0.7 e^0.5 = 1.154105
    assert output.grad[0, 0].item() == pytest.approx(-2 * math.tanh(2.154105), abs=DIGITS[5])
    assert output.grad[0, 1].item() == pytest.approx(
        1 - 2 * math.tanh(2.154105) * 1.154105, abs=DIGITS[5]
    )


@pytest.mark.parametrize("head", [Gaussian(2), SquashedGaussian(2)])
def test_from_unit_is_the_inverse_of_to_unit(head: Gaussian) -> None:
    unit = np.array([[-0.99, 0.5], [0.0, 0.99], [1e-3, -0.3]], np.float32)
    np.testing.assert_allclose(
        head.to_unit(head.from_unit(unit)), unit, rtol=0, atol=INWARD + rounding_error()
    )
    drawn = np.array([[-0.9, 0.5], [0.0, 0.7]], np.float32)
    steep = np.cosh(0.9) ** 2  # slope of artanh at tanh(0.9)
    np.testing.assert_allclose(
        head.from_unit(head.to_unit(drawn)), drawn, rtol=0, atol=steep * (INWARD + rounding_error())
    )


def test_actions_on_the_bounds_have_a_finite_density() -> None:
    head, unit = SquashedGaussian(2), np.array([[-1.0, 1.0]], np.float32)
    drawn = head.from_unit(unit)
    assert drawn.dtype == np.float32
    assert np.isfinite(drawn).all()
    assert np.isfinite(log_prob(head, np.zeros((1, 4), np.float32), drawn)).all()
    np.testing.assert_allclose(head.to_unit(drawn), unit, rtol=0, atol=INWARD + rounding_error())


def test_squashed_actions_stay_within_the_bounds() -> None:
    head = SquashedGaussian(1)
    drawn = head.sample(gaussian_output([0.0], [2.0]), stream())
    assert np.abs(drawn).max() > 20  # tanh rounds to 1 there
    assert np.abs(head.to_unit(drawn)).max() <= 1
    assert np.isfinite(log_prob(head, gaussian_output([0.0], [2.0]), drawn)).all()


@pytest.mark.parametrize(
    ("continuous", "expected"),
    [
        ("gaussian", Gaussian(2)),
        ("state-dependent-gaussian", Gaussian(2)),
        ("squashed-gaussian", SquashedGaussian(2)),
    ],
)
def test_head_for(continuous: ContinuousHead, expected: Head) -> None:
    box = BoxAction(low=np.array([-2, -1], np.float32), high=np.array([2, 1], np.float32))
    head = head_for(box, continuous)
    assert (type(head), head) == (type(expected), expected)
    choices = DiscreteAction(sizes=(3, 2), starts=(0, 7), shape=(2,))
    assert head_for(choices, continuous) == Categorical((3, 2))
    assert (head.num_outputs, head_for(choices, continuous).num_outputs) == (4, 5)
    assert head.noise_size == (2 if continuous == "squashed-gaussian" else 0)
