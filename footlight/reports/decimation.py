"""Fewer points for a chart than a log has, without losing its extremes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from footlight.reports.logs import Floats


class Points(NamedTuple):
    """A curve: x in ascending order, and y, all finite."""

    x: Floats
    y: Floats


class Aligned(NamedTuple):
    """Curves over one x axis; None where a curve has no point."""

    x: list[float]
    y: list[list[float | None]]
    intervals: int
    """In how many intervals each curve is its lowest and highest value; 0: all its points."""


def ordered(x: Floats, y: Floats) -> Points:
    """The finite points of a column, in the order of x."""
    good = np.isfinite(x) & np.isfinite(y)
    x, y = x[good], y[good]
    if len(x) > 1 and (np.diff(x) < 0).any():
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
    return Points(x, y)


def extremes(points: Points, intervals: int) -> Points:
    """The lowest and the highest point of each of equally long intervals, and both ends."""
    x, y = points
    if len(x) <= 2 * intervals:
        return points
    index = _interval_of(x, float(x[0]), float(x[-1]), intervals)
    low, high = _lowest_and_highest(index, y)
    kept = np.unique(np.concatenate([low, high, [0, len(x) - 1]]))
    return Points(x[kept], y[kept])


def evenly(points: Points, count: int) -> Points:
    """`count` of the points, evenly spaced; for curves that are smooth already."""
    if len(points.x) <= count:
        return points
    kept = np.unique(np.linspace(0, len(points.x) - 1, count).round().astype(int))
    return Points(points.x[kept], points.y[kept])


def aligned(curves: Sequence[Points], max_points: int) -> Aligned:
    """Curves over the union of their x, or over equally long intervals if it has too many."""
    curves = [curve if len(curve.x) else Points(np.zeros(0), np.zeros(0)) for curve in curves]
    x = np.unique(np.concatenate([curve.x for curve in curves])) if curves else np.zeros(0)
    if len(x) <= max_points:
        return Aligned(x.tolist(), [_at(curve, x) for curve in curves], 0)
    intervals = max(max_points // 2, 2)
    low, high = float(x[0]), float(x[-1])
    # Two places in each interval: for the lower and the higher value, whichever comes first.
    places = low + (high - low) * (np.arange(2 * intervals) + 0.5) / (2 * intervals)
    if high > 10 * intervals:
        places = places.round()
    rows: list[list[float | None]] = []
    for curve in curves:
        values = np.full(2 * intervals, np.nan)
        if len(curve.x):
            index = _interval_of(curve.x, low, high, intervals)
            lowest, highest = _lowest_and_highest(index, curve.y)
            both = np.sort(np.stack([lowest, highest], axis=1), axis=1)
            at = index[both[:, 0]] * 2
            values[at] = curve.y[both[:, 0]]
            differ = both[:, 0] != both[:, 1]
            values[at[differ] + 1] = curve.y[both[differ, 1]]
        rows.append(_listed(values))
    return Aligned(places.tolist(), rows, intervals)


def _interval_of(x: Floats, low: float, high: float, intervals: int) -> np.ndarray:
    width = (high - low) or 1.0
    return np.minimum(((x - low) / width * intervals).astype(np.int64), intervals - 1)


def _lowest_and_highest(index: np.ndarray, y: Floats) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the lowest and of the highest y among equal, ascending indices."""
    order = np.lexsort((y, index))
    starts = np.flatnonzero(np.diff(index[order], prepend=-1))
    ends = np.append(starts[1:], len(order)) - 1
    return order[starts], order[ends]


def _at(curve: Points, x: Floats) -> list[float | None]:
    values = np.full(len(x), np.nan)
    values[np.searchsorted(x, curve.x)] = curve.y  # of two at one x, the later one
    return _listed(values)


def _listed(values: Floats) -> list[float | None]:
    """Numbers of strict JSON, in few digits; None for NaN."""
    return [_short(value) for value in values.tolist()]


def _short(value: float) -> float | int | None:
    if value != value or value in (float("inf"), float("-inf")):
        return None
    if value == int(value) and abs(value) < 1e15:
        return int(value)
    return float(f"{value:.5g}")
