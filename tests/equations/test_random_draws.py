"""Declared random numbers: shapes, ranges, rates, and the stream as their only source."""

import numpy as np
import pytest

from footlight.equations.draws import Bernoulli, Draw, Normal, Subset, Uniform
from footlight.types import Array

EVERY: list[tuple[Draw, tuple[int, ...], str]] = [
    (Normal((3, 2)), (3, 2), "float32"),
    (Uniform((4,)), (4,), "float32"),
    (Bernoulli((2, 5), 0.5), (2, 5), "float32"),
    (Subset(7, 3), (3,), "int64"),
]


def filled(draw: Draw, seed: int = 0) -> Array:
    numbers = draw.empty()
    draw.fill(numbers, np.random.default_rng(seed))
    return numbers


@pytest.mark.parametrize(("draw", "shape", "dtype"), EVERY)
def test_shape_dtype_and_determinism(draw: Draw, shape: tuple[int, ...], dtype: str) -> None:
    numbers = filled(draw)
    assert (numbers.shape, str(numbers.dtype)) == (shape, dtype)
    np.testing.assert_array_equal(numbers, filled(draw))
    assert any(not np.array_equal(numbers, filled(draw, seed)) for seed in (1, 2, 3))


@pytest.mark.parametrize(("draw", "shape", "dtype"), EVERY)
def test_memory_is_reused(draw: Draw, shape: tuple[int, ...], dtype: str) -> None:
    numbers, stream = draw.empty(), np.random.default_rng(0)
    address = numbers.ctypes.data
    for _ in range(2):
        draw.fill(numbers, stream)
    assert numbers.ctypes.data == address


def test_normal_moments() -> None:
    numbers = filled(Normal((100_000,))).astype(np.float64)
    # Four standard errors of the mean and of the variance
    assert abs(numbers.mean()) < 4 / np.sqrt(100_000)
    assert abs(numbers.var() - 1) < 4 * np.sqrt(2 / 100_000)


def test_empty_normal_leaves_the_stream_alone() -> None:
    stream, other = np.random.default_rng(0), np.random.default_rng(0)
    draw = Normal((4, 0))
    draw.fill(draw.empty(), stream)
    assert stream.random() == other.random()


def test_uniform_numbers_fill_the_unit_interval() -> None:
    numbers = filled(Uniform((100_000,)))
    assert 0 <= numbers.min() < 0.001 < 0.999 < numbers.max() < 1
    assert abs(numbers.mean(dtype=np.float64) - 0.5) < 4 / np.sqrt(12 * 100_000)


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_bernoulli_rate(p: float) -> None:
    mask = filled(Bernoulli((200, 500), p))
    assert set(np.unique(mask)) <= {0.0, 1.0}
    assert abs(mask.mean(dtype=np.float64) - p) <= 4 * np.sqrt(p * (1 - p) / 100_000)


def test_subset_has_no_number_twice_and_every_number_as_often() -> None:
    stream, draw, counts = np.random.default_rng(0), Subset(5, 2), np.zeros(5)
    numbers = draw.empty()
    for _ in range(5_000):
        draw.fill(numbers, stream)
        assert len(set(numbers.tolist())) == 2
        counts[numbers] += 1
    # Each of the five is in 2 of 5 subsets, within four standard deviations
    assert np.abs(counts - 2_000).max() < 4 * np.sqrt(5_000 * 0.4 * 0.6)
    assert sorted(filled(Subset(6, 6)).tolist()) == list(range(6))
