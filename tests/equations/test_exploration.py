"""The Ornstein-Uhlenbeck walk: by hand, against a slow loop, and the spread that it settles to."""

import math

import numpy as np
import pytest

from footlight.equations.exploration import ornstein_uhlenbeck
from tolerance import assert_close, close


def test_one_step_by_hand() -> None:
    # 1 - 0.15 * 1 + 0.2 * 0.5 = 0.95;  -2 + 0.15 * 2 + 0.2 * -1 = -1.9
    walk = ornstein_uhlenbeck(
        np.array([[1.0, -2.0]], np.float32), np.array([[0.5, -1.0]], np.float32), 0.15, 0.2
    )
    assert_close(walk, [[0.95, -1.9]])
    assert walk.dtype == np.float32


def test_equals_a_slow_loop() -> None:
    normal = np.random.default_rng(0).standard_normal((100, 3, 2), np.float32)
    walk = np.zeros((3, 2), np.float32)
    for normal_EA in normal:
        walk = ornstein_uhlenbeck(walk, normal_EA, 0.15, 0.2)
    for env in range(3):
        for dimension in range(2):
            x = 0.0
            for w in normal[:, env, dimension].tolist():
                x = x - 0.15 * x + 0.2 * w
            # The process remembers 1 / 0.15 steps
            assert walk[env, dimension] == close(x, depth=7, scale=1)


def test_stationary_spread() -> None:
    # Var = (1 - theta)^2 Var + sigma^2, so the standard deviation is
    # 0.2 / sqrt(1 - 0.85^2) = 0.3797
    generator = np.random.default_rng(0)
    walk = np.zeros((20_000, 1), np.float32)
    for _ in range(60):  # 0.85^60 = 6e-5 of the start is left
        walk = ornstein_uhlenbeck(
            walk, generator.standard_normal(walk.shape, np.float32), 0.15, 0.2
        )
    # Four standard errors of 1 / sqrt(40,000)
    assert walk.std() == pytest.approx(0.2 / math.sqrt(1 - 0.85**2), rel=0.02)
    assert abs(walk.mean()) < 0.011  # four standard errors of 0.38 / sqrt(20,000)


def test_theta_one_is_white_noise_and_theta_zero_a_random_walk() -> None:
    previous, normal = np.full((1, 1), 3.0, np.float32), np.full((1, 1), 2.0, np.float32)
    assert ornstein_uhlenbeck(previous, normal, 1.0, 0.5).item() == 1.0
    assert ornstein_uhlenbeck(previous, normal, 0.0, 0.5).item() == 4.0
