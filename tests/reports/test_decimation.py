"""Fewer points, with the extremes of all of them."""

import numpy as np
from reported_runs import points

from footlight.reports.decimation import Points, aligned, evenly, extremes, ordered


def test_extremes_of_each_interval_and_both_ends_are_kept() -> None:
    y = np.sin(np.arange(100_000) / 10)
    y[12_345], y[77_777] = 50.0, -60.0
    thin = extremes(points(y.tolist()), 100)
    assert len(thin.x) <= 202
    assert (thin.y.max(), thin.y.min()) == (50.0, -60.0)
    assert (thin.x[0], thin.x[-1]) == (1.0, 100_000.0)
    assert (np.diff(thin.x) > 0).all()
    assert thin.x[thin.y.argmax()] == 12_346  # at its own place


def test_few_points_stay_as_they_are() -> None:
    curve = points([1.0, 5.0, 2.0])
    assert extremes(curve, 10) is curve
    assert evenly(curve, 3) is curve
    assert evenly(points(list(range(1000))), 10).x.tolist()[-1] == 1000.0


def test_points_that_are_not_finite_are_left_out_and_the_others_sorted() -> None:
    found = ordered(np.array([3.0, 1.0, np.inf, 2.0]), np.array([30.0, 10.0, 5.0, np.nan]))
    assert (found.x.tolist(), found.y.tolist()) == ([1.0, 3.0], [10.0, 30.0])


def test_few_points_are_aligned_exactly() -> None:
    one = Points(np.array([1.0, 3.0]), np.array([10.0, 30.0]))
    other = Points(np.array([2.0, 3.0, 3.0]), np.array([0.5, 7.0, 8.0]))
    found = aligned([one, other, points([])], 10)
    assert found.x == [1.0, 2.0, 3.0]
    assert found.y == [[10, None, 30], [None, 0.5, 8], [None, None, None]]
    assert found.intervals == 0


def test_many_points_are_aligned_by_intervals_that_keep_the_extremes() -> None:
    y = [0.0] * 5_000
    y[1234], y[4321] = 9.0, -9.0
    short = points([1.0, 2.0], start=100)
    found = aligned([points(y), short], 200)
    assert found.intervals == 100
    assert len(found.x) == len(found.y[0]) == len(found.y[1]) == 200
    values = [value for value in found.y[0] if value is not None]
    assert (max(values), min(values)) == (9, -9)
    place = found.x[found.y[0].index(9)]
    assert abs(place - 1235) < 5_000 / 100
    assert sum(value is not None for value in found.y[1]) == 2


def test_no_curve_and_equal_steps_are_no_fault() -> None:
    assert aligned([], 10).x == []
    same = Points(np.full(5_000, 7.0), np.arange(5_000.0))
    assert extremes(same, 10).y.tolist() == [0.0, 4999.0]
    assert aligned([same], 10).y == [[4999]]
