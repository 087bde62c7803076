"""Checks and conversions of observations and rewards."""

from typing import Any

import numpy as np
import pytest

from footlight.environments.checks import (
    all_finite,
    as_observation,
    as_observations,
    as_records,
    as_reward,
    as_rewards,
    as_stored,
    as_stored_rows,
)
from footlight.environments.episodes import EpisodeTracker
from footlight.errors import EnvironmentFault
from footlight.trees import Leaf
from footlight.types import DiscreteAction, Spaces

FLOAT, BYTE = np.dtype(np.float32), np.dtype(np.uint8)


@pytest.fixture
def tracker() -> EpisodeTracker:
    return EpisodeTracker(3, 7, "episode")


def test_all_finite() -> None:
    assert all_finite(np.zeros((2, 0)))
    assert all_finite(np.ones(3))
    assert not all_finite(np.array([0, np.nan]))
    assert not all_finite(np.array([[0, -np.inf]]))
    assert not all_finite(np.array([np.inf, -np.inf]))
    assert all_finite(np.full(3, 1e308))  # the sum is infinite
    assert not all_finite(np.array([1.0] * 99 + [np.nan]))


@pytest.mark.parametrize("given", [[1, 2], (1.0, 2.0), np.array([1, 2]), np.array([1, 2], FLOAT)])
def test_observation_is_copied_to_the_stored_dtype(tracker: EpisodeTracker, given: Any) -> None:
    observation = as_observation(tracker, 0, given, (2,), FLOAT, {})
    assert observation.dtype == FLOAT
    assert observation.tolist() == [1, 2]
    assert observation is not given


@pytest.mark.parametrize(
    ("given", "dtype", "message"),
    [
        ([1, [2, 3]], FLOAT, "the observation is not an array"),
        ([1, 2, 3], FLOAT, r"the observation has shape \(3,\), its space says \(2,\)"),
        (["a", "b"], FLOAT, "the observation has dtype <U1, its space says float32"),
        ([1, np.nan], FLOAT, r"observation\[1\] is nan"),
        ([1, 1e300], FLOAT, r"observation\[1\] is inf"),
        ([1, 256], BYTE, "and 256 in it, its space says uint8"),
        ([0.5, 1], BYTE, r"and 0\.5 in it, its space says uint8"),
    ],
)
def test_invalid_observation_is_a_fault(
    tracker: EpisodeTracker, given: Any, dtype: Any, message: str
) -> None:
    with pytest.raises(EnvironmentFault, match=f"environment 1 failed .*{message}"):
        as_observation(tracker, 1, given, (2,), dtype, {})


OPTIONS = (range(3), range(-2, 1))


@pytest.mark.parametrize(
    ("given", "shape", "choices", "message"),
    [
        ([3, 0], (2,), OPTIONS, r"observation\[0\] is 3, its space says 0 to 2"),
        ([0, -3], (2,), OPTIONS, r"observation\[1\] is -3, its space says -2 to 0"),
        ([[0, 1]], (1, 2), OPTIONS, r"observation\[0, 1\] is 1, its space says -2 to 0"),
        (4, (), (range(1, 4),), "observation is 4, its space says 1 to 3"),
        ([1] * 49 + [9], (50,), (range(2),) * 50, r"observation\[49\] is 9, its space says 0 to 1"),
    ],
)
def test_choice_outside_its_space_is_a_fault(
    tracker: EpisodeTracker, given: Any, shape: Any, choices: Any, message: str
) -> None:
    dtype = np.dtype(np.int64)
    with pytest.raises(EnvironmentFault, match=f"environment 1 failed .*: {message} - fix"):
        as_observation(tracker, 1, given, shape, dtype, {"": choices})
    valid = np.broadcast_to([each.start for each in choices], (3, *shape)) if shape else [1, 2, 3]
    rows = np.array(valid)
    assert as_stored_rows(tracker, rows, dtype, {"": choices}).tolist() == rows.tolist()
    rows[2] = given
    with pytest.raises(EnvironmentFault, match=f"environment 2 failed .*: {message} - fix"):
        as_stored_rows(tracker, rows, dtype, {"": choices})
    spaces = Spaces.of_leaves(
        {"": Leaf(shape=shape, dtype="int64", choices=choices)},
        DiscreteAction(sizes=(2,), starts=(0,)),
    )
    with pytest.raises(EnvironmentFault, match=f"environment 2 failed .*: {message} - fix"):
        as_observations(tracker, rows, spaces, np.array([True, False, True]))
    counted = np.array([True, True, False])
    assert as_observations(tracker, rows, spaces, counted).tolist() == rows.tolist()


def test_choice_of_a_part_outside_its_space_is_a_fault(tracker: EpisodeTracker) -> None:
    dtype = np.dtype([("a", np.int64), ("b", np.float32, (2,))], align=True)
    given = {"a": 5, "b": [0, 1], "mission": "go"}  # a text is no part
    records = as_records(tracker, [0], given, (), dtype, {"a": (range(4, 6),)})
    assert records["a"] == 5
    with pytest.raises(EnvironmentFault, match=r"observation\.a is 5, its space says 0 to 4"):
        as_records(tracker, [0], given, (), dtype, {"a": (range(5),)})
    rows = {"a": [5, 0, 6], "b": np.zeros((3, 2))}
    with pytest.raises(EnvironmentFault, match=r"environment 2 .*observation\.a is 6, its space"):
        as_records(tracker, [1, 2], rows, (3,), dtype, {"a": (range(5),)})


def test_integers_that_fit_are_stored(tracker: EpisodeTracker) -> None:
    stored = as_stored(tracker, 0, np.array([0, 255], np.int64), BYTE)
    assert stored.dtype == BYTE
    assert stored.tolist() == [0, 255]


def test_rows_are_rounded_together_and_the_invalid_one_is_named(tracker: EpisodeTracker) -> None:
    rows = np.array([[1.0], [2.0], [3.0]])
    assert as_stored_rows(tracker, rows, FLOAT, {}).tolist() == [[1], [2], [3]]
    rows[2] = 1e300
    with pytest.raises(EnvironmentFault, match=r"environment 2 failed .*observation\[0\] is inf"):
        as_stored_rows(tracker, rows, FLOAT, {})


def test_rewards_exact_and_rounded(tracker: EpisodeTracker) -> None:
    exact, rounded = as_rewards(tracker, [0.1, 1, 2], None)
    assert exact.tolist() == [0.1, 1, 2]
    assert rounded.dtype == FLOAT
    assert rounded[0] == np.float32(0.1)


def test_rewards_of_steps_that_only_reset_are_zero(tracker: EpisodeTracker) -> None:
    exact, rounded = as_rewards(tracker, [1, np.nan, 2], np.array([True, False, True]))
    assert exact.tolist() == rounded.tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["1", "2", "3"], "the rewards are not numbers: their dtype is <U1"),
        ([1j, 2, 3], "the rewards are not numbers: their dtype is complex128"),
        ([object(), 2, 3], "the rewards are not numbers"),
        ([1, 2], r"the rewards have shape \(2,\), expected \(3,\)"),
        ([1, 2, np.inf], "environment 2 failed .*: reward is inf"),
        ([1, 1e39, 2], r"environment 1 failed .*: reward is 1e\+39"),
    ],
)
def test_invalid_rewards_are_a_fault(tracker: EpisodeTracker, given: Any, message: str) -> None:
    with pytest.raises(EnvironmentFault, match=message):
        as_rewards(tracker, given, None)


@pytest.mark.parametrize("given", [2, 2.0, np.float32(2), np.array(2.0), True + 1])
def test_reward_of_any_numeric_type(tracker: EpisodeTracker, given: Any) -> None:
    reward = as_reward(tracker, 0, given)
    assert type(reward) is float
    assert reward == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("2", "the reward is '2', which is not a number"),
        (None, "the reward is None, which is not a number"),
        (np.nan, "reward is nan"),
        (1e39, r"reward is 1e\+39"),
    ],
)
def test_invalid_reward_is_a_fault(tracker: EpisodeTracker, given: Any, message: str) -> None:
    with pytest.raises(EnvironmentFault, match=message):
        as_reward(tracker, 0, given)
