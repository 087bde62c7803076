"""Priorities, importance weights and Huber's loss: by hand, against loops, and their relation."""

import numpy as np
import pytest
import torch
from torch.func import grad

from footlight.equations.priorities import (
    huber,
    importance_weights,
    lap_priority,
    proportional_priority,
)
from tolerance import assert_close, close

ERRORS = torch.tensor([0.0, 0.5, -1.0, 4.0, -9.0])


def test_proportional_priorities_by_hand() -> None:
    assert proportional_priority(torch.tensor([3.0, -4.0]), 1.0).tolist() == close([3, 4], depth=2)
    # The root of 4 and of 9; of no error at all (1e-6)^0.5 remains
    found = proportional_priority(torch.tensor([4.0, -9.0, 0.0]), 0.5)
    assert found.tolist() == pytest.approx([2, 3, 1e-3], rel=1e-5)
    assert proportional_priority(ERRORS, 0.0).tolist() == [1] * 5


def test_lap_priorities_by_hand() -> None:
    # max(|delta|, 1)^0.5
    assert lap_priority(ERRORS, 0.5).tolist() == close([1, 1, 1, 2, 3], depth=2)
    assert lap_priority(ERRORS, 0.0).tolist() == [1] * 5


def test_importance_weights_by_hand() -> None:
    # Probabilities 4, 1 and 1/4 times the uniform one; beta 1/2: 1/2, 1, 2, divided by 2
    relative = torch.tensor([4.0, 1.0, 0.25])
    assert importance_weights(relative, 0.5).tolist() == close([0.25, 0.5, 1.0], depth=3)
    assert importance_weights(relative, 0.0).tolist() == [1, 1, 1]
    # A tensor of one element, as the progress of a run is
    found = importance_weights(relative, torch.tensor([1.0]))
    assert found.tolist() == close([1 / 16, 1 / 4, 1.0], depth=3)


def test_priorities_and_weights_equal_loops() -> None:
    draws = np.random.default_rng(0)
    errors = (draws.standard_normal(50) * 3).astype(np.float32)
    proportional, lap = [], []
    for error in errors.astype(float):
        proportional.append((abs(error) + 1e-6) ** 0.6)
        lap.append(max(abs(error), 1) ** 0.4)
    given = torch.from_numpy(errors)
    assert_close(proportional_priority(given, 0.6), np.array(proportional), depth=3)
    assert_close(lap_priority(given, 0.4), np.array(lap), depth=3)
    total = sum(proportional)
    weights = [(50 * p / total) ** -0.7 for p in proportional]
    relative = torch.tensor([50 * p / total for p in proportional])
    wanted = np.array([w / max(weights) for w in weights])
    assert_close(importance_weights(relative, 0.7), wanted, depth=4)


def test_weights_with_beta_1_make_up_for_the_probabilities() -> None:
    """The expected weighted mean is the uniform mean, times one factor."""
    values = torch.tensor([3.0, -1.0, 10.0])
    probability = torch.tensor([0.2, 0.5, 0.3])
    weights = importance_weights(3 * probability, 1.0)
    expected = (probability * weights * values).sum() / (probability * weights).sum()
    assert expected.item() == close(4.0, depth=4, scale=10)


def test_huber_by_hand() -> None:
    assert huber(ERRORS).tolist() == [0, 0.125, 0.5, 3.5, 8.5]
    wanted = torch.nn.functional.huber_loss(ERRORS, torch.zeros(5), reduction="none")
    assert_close(huber(ERRORS), wanted, depth=2)


def test_derivative_of_huber_is_the_error_cut_to_1() -> None:
    assert grad(lambda error: huber(error).sum())(ERRORS).tolist() == [0, 0.5, -1, 1, -1]


def test_large_errors_count_as_their_priority_under_lap() -> None:
    """Drawn by priority, derivatives add up to |delta|^alpha sign(delta), or delta if small."""
    derivative = grad(lambda error: huber(error).sum())(ERRORS) * lap_priority(ERRORS, 0.5)
    assert derivative.tolist() == close([0, 0.5, -1, 2, -3], depth=3)
