"""Distributions of returns by hand and against slow loops: quantiles, and probabilities of bins."""

import math

import numpy as np
import pytest
import torch

from footlight.equations.value_distributions import (
    bin_centers,
    cross_entropy,
    expected_bin,
    quantile_huber_loss,
    smallest_quantiles,
    two_hot,
)
from tolerance import assert_close, close

CENTERS = bin_centers(5, 2.0, torch.device("cpu"))


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


# Quantiles


def test_quantile_huber_loss_by_hand() -> None:
    # tau = (0.25, 0.75). Errors of z = 0: 0.5 and -2, weights 0.25 and |0.25 - 1| = 0.75:
    # 0.25 * 0.125 + 0.75 * 1.5 = 1.15625. Of z = 1: -0.5 and -3, weights 0.25 and 0.25:
    # 0.25 * 0.125 + 0.25 * 2.5 = 0.65625. The mean over four: 1.8125 / 4
    loss = quantile_huber_loss(torch.tensor([[[0.0, 1.0]]]), torch.tensor([[0.5, -2.0]]))
    assert loss.tolist() == [[close(0.453125, terms=4)]]


def test_quantile_huber_loss_equals_loops() -> None:
    quantile_NBM, target_BK = random(2, 3, 5), 2 * random(3, 4)
    slow = np.zeros((2, 3))
    for critic in range(2):
        for row in range(3):
            for m in range(5):
                tau = (2 * (m + 1) - 1) / 10
                for k in range(4):
                    error = target_BK[row, k].item() - quantile_NBM[critic, row, m].item()
                    huber = error**2 / 2 if abs(error) <= 1 else abs(error) - 0.5
                    weight = tau if error >= 0 else 1 - tau
                    slow[critic, row] += weight * huber / 20
    assert_close(quantile_huber_loss(quantile_NBM, target_BK), slow, terms=20, depth=3)


def test_quantile_huber_loss_is_smallest_at_the_quantiles() -> None:
    # The median of many targets is the best single quantile, but for Huber's rounding near it
    target_BK = 100 * torch.arange(11.0)[None]
    candidates = torch.arange(0.0, 1001.0, 50.0)
    losses = [quantile_huber_loss(z.view(1, 1, 1), target_BK).item() for z in candidates]
    assert candidates[int(np.argmin(losses))] == 500


def test_smallest_quantiles_by_hand() -> None:
    quantile_NBM = torch.tensor([[[1.0, 9.0, 8.0]], [[2.0, 3.0, 4.0]]])
    # Two of six are dropped, both of the first critic's
    kept = smallest_quantiles(quantile_NBM, 1)
    assert sorted(kept[0].tolist()) == [1, 2, 3, 4]


@pytest.mark.parametrize("num_dropped", [0, 1, 3])
def test_smallest_quantiles_equal_a_sorted_reference(num_dropped: int) -> None:
    quantile_NBM = random(3, 7, 4)
    kept_BK = smallest_quantiles(quantile_NBM, num_dropped)
    assert kept_BK.shape == (7, 3 * (4 - num_dropped))
    for row in range(7):
        pooled = sorted(z for critic in quantile_NBM[:, row].tolist() for z in critic)
        assert sorted(kept_BK[row].tolist()) == pooled[: 3 * (4 - num_dropped)]


# Bins


def test_bin_centers_by_hand() -> None:
    assert CENTERS.tolist() == [-2, -1, 0, 1, 2]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.0, [0, 0, 0, 1, 0]),  # on a bin
        (-2.0, [1, 0, 0, 0, 0]),
        (0.25, [0, 0, 0.75, 0.25, 0]),  # between two
        (-1.5, [0.5, 0.5, 0, 0, 0]),
        (7.0, [0, 0, 0, 0, 1]),  # outside
        (-2.5, [1, 0, 0, 0, 0]),
    ],
)
def test_two_hot_of_one_value(value: float, expected: list[float]) -> None:
    assert two_hot(torch.tensor([[value]]), torch.ones(1, 1), CENTERS).tolist() == [expected]


def test_two_hot_of_a_distribution_by_hand() -> None:
    value_BK = torch.tensor([[0.5, -3.0, 0.0]])
    target = two_hot(value_BK, torch.tensor([[0.5, 0.25, 0.25]]), CENTERS)
    assert target.tolist() == [[0.25, 0, 0.25 + 0.25, 0.25, 0]]


def slow_two_hot(
    values: list[float], probabilities: list[float], centers: list[float]
) -> list[float]:
    """With the indices of both neighbors, as in algorithm 1 of the paper."""
    found, width = [0.0] * len(centers), centers[1] - centers[0]
    for value, probability in zip(values, probabilities, strict=True):
        place = (min(max(value, centers[0]), centers[-1]) - centers[0]) / width
        low, high = math.floor(place), math.ceil(place)
        if low == high:
            found[low] += probability
            continue
        found[low] += probability * (high - place)
        found[high] += probability * (place - low)
    return found


def test_two_hot_equals_a_loop() -> None:
    center_M = bin_centers(11, 3.0, torch.device("cpu"))
    value_BK, probability_BK = 2 * random(6, 9), random(6, 9).softmax(-1)
    target_BM = two_hot(value_BK, probability_BK, center_M)
    slow = [
        slow_two_hot(values, probabilities, np.linspace(-3, 3, 11).tolist())
        for values, probabilities in zip(value_BK.tolist(), probability_BK.tolist(), strict=True)
    ]
    # A place in a bin is the difference of values up to 3, in widths of 0.6
    assert_close(target_BM, np.array(slow), terms=9, depth=3, scale=3 / 0.6)


def test_two_hot_keeps_probability_and_mean() -> None:
    center_M = bin_centers(101, 5.0, torch.device("cpu"))
    inside_BK, probability_BK = 4 * random(50, 7).tanh(), random(50, 7).softmax(-1)
    target_BM = two_hot(inside_BK, probability_BK, center_M)
    assert target_BM.min() >= 0
    assert_close(target_BM.sum(-1), 1.0, terms=101, scale=5 / 0.1)
    mean_B = (inside_BK * probability_BK).sum(-1)
    assert_close((target_BM * center_M).sum(-1), mean_B, terms=101, depth=2, scale=5 / 0.1)
    outside = two_hot(100 * random(50, 7), probability_BK, center_M)
    assert_close(outside.sum(-1), 1.0, terms=101, scale=5 / 0.1)


def test_cross_entropy_by_hand() -> None:
    # p = (1/4, 3/4) of logits (0, log 3): -0.5 log 1/4 - 0.5 log 3/4 = 0.836988
    logit_NBM = torch.tensor([[[0.0, math.log(3)]], [[5.0, 5.0]]])
    loss = cross_entropy(logit_NBM, torch.tensor([[0.5, 0.5]]))
    expected = [-0.5 * math.log(3 / 16), math.log(2)]
    assert_close(loss, np.array(expected, np.float32)[:, None], depth=4, scale=5)


def test_cross_entropy_equals_a_loop() -> None:
    logit_NBM, target_BM = 3 * random(2, 4, 6), random(4, 6).softmax(-1)
    slow = np.zeros((2, 4))
    for critic in range(2):
        for row in range(4):
            total = sum(math.exp(x) for x in logit_NBM[critic, row].tolist())
            for m in range(6):
                p = math.exp(logit_NBM[critic, row, m].item()) / total
                slow[critic, row] -= target_BM[row, m].item() * math.log(p)
    assert_close(cross_entropy(logit_NBM, target_BM), slow, terms=6, depth=4, scale=10)


def test_expected_bin_by_hand() -> None:
    # Probabilities 1/4 and 3/4 of the outermost bins -2 and 2; others have none
    logits = torch.tensor([[[0.0, -200.0, -200.0, -200.0, math.log(3)]]])
    assert expected_bin(logits, CENTERS).tolist() == [[close(1.0, depth=4, scale=2)]]


def test_expected_bin_equals_a_loop() -> None:
    logit_NBM = random(2, 4, 5)
    slow = np.zeros((2, 4))
    for critic in range(2):
        for row in range(4):
            weights = [math.exp(x) for x in logit_NBM[critic, row].tolist()]
            centers = zip(weights, (-2, -1, 0, 1, 2), strict=True)
            slow[critic, row] = sum(weight * center for weight, center in centers) / sum(weights)
    assert_close(expected_bin(logit_NBM, CENTERS), slow, terms=5, depth=4, scale=2)


def test_cross_entropy_is_smallest_at_the_target() -> None:
    target_BM = random(3, 5).softmax(-1)
    logit_NBM = target_BM.log()[None].clone().requires_grad_()
    cross_entropy(logit_NBM, target_BM).sum().backward()
    assert logit_NBM.grad is not None
    assert_close(logit_NBM.grad, torch.zeros(1, 3, 5), terms=5, depth=4, scale=1)
