"""The sum tree: rows against a slow search, frequencies, exact sums, and the edges of rounding."""

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from footlight.buffers.sum_tree import WIDEST, SumTree, tree_bytes
from footlight.types import Array
from tolerance import assert_close

CAPACITIES = [1, 2, 7, WIDEST, WIDEST + 1, 3 * WIDEST - 1, 20 * WIDEST + 13]


def given(numbers: Array) -> Any:
    """A stream that returns these numbers."""
    return SimpleNamespace(random=lambda count: numbers)


def slow_rows(priorities: Array, numbers: Array) -> list[int]:
    """The row at each stratified position, by adding exact fractions one after the other."""
    exact = [Fraction(float(p)) for p in priorities]
    total, found = sum(exact), []
    for index, number in enumerate(numbers):
        rest, row = (index + Fraction(float(number))) * total / len(numbers), 0
        while rest >= exact[row]:
            rest, row = rest - exact[row], row + 1
        found.append(row)
    return found


def test_by_hand() -> None:
    tree = SumTree(4)
    tree.set(np.array([0, 1, 3]), np.array([1.0, 2.0, 5.0]))
    # Positions 0, 2, 4, 6 plus 2 u of the cumulative sums 1, 3, 3, 8
    rows, probabilities = tree.sample(given(np.array([0.0, 0.25, 0.0, 0.99])), 4)
    assert rows.tolist() == [0, 1, 3, 3]
    assert probabilities.tolist() == [1 / 8, 2 / 8, 5 / 8, 5 / 8]


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_rows_equal_a_slow_search(capacity: int) -> None:
    generator = np.random.default_rng(0)
    # Whole numbers, a third of them 0: their sums are exact
    priorities = np.maximum(0, generator.integers(-10, 20, capacity)).astype(np.float32)
    priorities[generator.integers(capacity)] = 9
    tree = SumTree(capacity)
    tree.set(np.arange(capacity), priorities)
    numbers = generator.integers(0, 2**20, 64) / 2**20
    rows, probabilities = tree.sample(given(numbers), 64)
    assert rows.tolist() == slow_rows(priorities, numbers)
    shares = priorities.astype(np.float64) / priorities.sum(dtype=np.float64)
    assert_close(probabilities, shares[rows])


def chi_square(counts: Array, expected: Array) -> float:
    return float((np.square(counts - expected) / expected).sum())


def test_frequencies_are_the_probabilities() -> None:
    capacity, batch, batches = 2 * WIDEST, 32, 40_000
    generator = np.random.default_rng(1)
    priorities = np.zeros(capacity, np.float32)
    held = generator.choice(capacity, 50, replace=False)
    priorities[held] = generator.exponential(size=50)
    tree = SumTree(capacity)
    tree.fill(priorities)
    counts = np.zeros(capacity)
    for _ in range(batches):
        np.add.at(counts, tree.sample(generator, batch)[0], 1)
    expected = batches * batch * priorities[held] / priorities.sum()
    assert counts.sum() == counts[held].sum() == batches * batch
    # 49 degrees of freedom: above 85.4 once in a thousand. A stratified sample is closer still to
    # the expected numbers, and a sampler that ignores the priorities is far off.
    assert chi_square(counts[held], expected) < 85.4
    slow = generator.choice(capacity, batches * batch, p=priorities / priorities.sum(dtype=float))
    assert chi_square(np.bincount(slow, minlength=capacity)[held], expected) < 85.4
    assert chi_square(np.full(50, batches * batch / 50), expected) > 1000


def test_sample_is_stratified() -> None:
    tree = SumTree(1000)
    tree.set(np.arange(1000), 1.0)
    for _ in range(20):
        rows, _ = tree.sample(np.random.default_rng(0), 100)
        assert (rows // 10).tolist() == list(range(100))


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_sums_are_exact_after_many_updates(capacity: int) -> None:
    generator = np.random.default_rng(2)
    tree, priorities = SumTree(capacity), np.zeros(capacity, np.float32)
    for _ in range(300):
        rows = generator.integers(0, capacity, 40)  # with duplicates
        new = (10 ** generator.uniform(-6, 6, 40)).astype(np.float32)
        tree.set(rows, new)
        for row, priority in zip(rows, new, strict=True):
            priorities[row] = priority
    np.testing.assert_array_equal(tree.priorities, priorities)
    rebuilt = SumTree(capacity)
    rebuilt.fill(priorities)
    for one, other in zip(tree._levels, rebuilt._levels, strict=True):
        np.testing.assert_array_equal(one, other)
    assert_close(tree._levels[-1].sum(), np.sum(priorities, dtype=float), terms=capacity)


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("number", [0.0, np.nextafter(1, 0)])
def test_row_of_priority_0_is_never_drawn(capacity: int, number: float) -> None:
    """At both ends of every part, with sums that round."""
    generator = np.random.default_rng(3)
    for trial in range(60):
        priorities = (10 ** generator.uniform(-8, 8, capacity)).astype(np.float32)
        priorities[generator.random(capacity) < 0.7] = 0
        priorities[capacity - trial % 5 :] = 0  # nothing written at the right edge
        priorities[generator.integers(capacity)] = 0.1
        tree = SumTree(capacity)
        tree.fill(priorities)
        for batch in (1, 3, 64):
            rows, probabilities = tree.sample(given(np.full(batch, number)), batch)
            assert (priorities[rows] > 0).all()
            assert (probabilities > 0).all()


def test_rest_that_rounding_makes_too_large_stays_left_of_zeros() -> None:
    # Of the pair (p, 0) the rest p is past the end of the left one
    tree = SumTree(2 * WIDEST)
    tree.set(np.array([0]), 1.0)
    tree._levels[-1][0] = 1 + 1e-9  # as if the sum had been rounded up
    rows, _ = tree.sample(given(np.array([np.nextafter(1, 0)])), 1)
    assert rows.tolist() == [0]


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"add up to 0\.0, there is nothing to draw"):
        SumTree(3).sample(np.random.default_rng(0), 1)


def test_fill_forgets_the_rest() -> None:
    tree = SumTree(3 * WIDEST)
    tree.set(np.arange(3 * WIDEST), 2.0)
    tree.fill(np.array([0, 3], np.float32))
    assert tree.sample(np.random.default_rng(0), 5)[0].tolist() == [1] * 5
    assert tree.priorities.sum() == 3


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_size_is_announced(capacity: int) -> None:
    tree = SumTree(capacity)
    assert sum(level.nbytes for level in tree._levels) == tree_bytes(capacity)
    assert len(tree._levels[-1]) <= WIDEST
    assert len(tree.priorities) == capacity
