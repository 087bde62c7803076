"""Statistics over runs, by hand."""

import numpy as np
import pytest
from reported_runs import points

from footlight.reports.aggregates import (
    interquartile_curve,
    normalized,
    performance_profile,
    probability_of_improvement,
    range_curve,
)


def test_interquartile_curve_leaves_out_a_quarter_at_either_end() -> None:
    runs = [points([value, value]) for value in (0.0, 1.0, 2.0, 300.0)]
    band = interquartile_curve(runs)
    assert band is not None
    assert band.mean.tolist() == [1.5, 1.5]
    assert (band.low <= band.mean).all()
    assert (band.mean <= band.high).all()
    assert band.low[0] >= 0
    assert band.high[0] <= 300


def test_there_is_no_interval_of_one_run_or_without_a_common_range() -> None:
    assert interquartile_curve([points([1.0, 2.0])]) is None
    assert interquartile_curve([points([1.0, 2.0]), points([1.0], start=50)]) is None
    assert range_curve([]) is None


def test_range_curve_has_the_mean_and_the_extremes() -> None:
    band = range_curve([points([0.0, 2.0]), points([4.0, 8.0])])
    assert band is not None
    assert [x.tolist() for x in band[1:]] == [[2.0, 5.0], [0.0, 2.0], [4.0, 8.0]]


def test_scores_are_normalized_in_each_environment() -> None:
    scores = {
        "a": {"one": np.array([0.0, 5.0]), "two": np.array([7.0])},
        "b": {"one": np.array([10.0]), "two": np.array([7.0])},
    }
    found = normalized(scores)
    assert found["a"]["one"].tolist() == [0.0, 0.5]
    assert found["b"]["one"].tolist() == [1.0]
    assert found["b"]["two"].tolist() == [0.0]  # all are equal there


def test_performance_profile_is_the_mean_share_over_environments() -> None:
    scores = {"one": np.array([0.2, 0.8]), "two": np.array([0.6, 0.6, 0.6])}
    band = performance_profile(scores, np.array([0.1, 0.5, 0.6, 0.9]))
    # tau = 0.5: one of two runs, and three of three; 0.6 is not above 0.6
    np.testing.assert_allclose(band.mean, [1.0, 0.75, 0.25, 0.0])
    np.testing.assert_allclose(band.low[[0, 3]], [1.0, 0.0])
    assert band.low[1] == 0.5
    assert band.high[1] == 1.0


def test_probability_of_improvement_counts_pairs_and_ties_half() -> None:
    ours = {"one": np.array([1.0, 3.0]), "two": np.array([1.0])}
    theirs = {"one": np.array([2.0, 3.0]), "two": np.array([0.0]), "three": np.array([9.0])}
    found = probability_of_improvement(ours, theirs)
    # one: 1 > 2 no, 1 > 3 no, 3 > 2 yes, 3 = 3 half: 1.5 of 4; two: 1 of 1
    assert found.mean == pytest.approx((1.5 / 4 + 1) / 2)
    assert found.low <= found.mean <= found.high
    back = probability_of_improvement(theirs, ours)
    assert back.mean == pytest.approx(1 - found.mean)
