"""What several runs say together: curves with intervals, and comparisons of algorithms.

Source: Agarwal, Schwarzer, Castro, Courville and Bellemare (2021), "Deep Reinforcement Learning at
the Edge of the Statistical Precipice", https://arxiv.org/abs/2108.13264.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from footlight.instruments.curves import Curve, common_grid
from footlight.instruments.scores import Interval, bootstrap_interval
from footlight.reports.decimation import Points
from footlight.reports.logs import Floats

MIN_RUNS = 3  # of an algorithm in an environment, for a comparison with another one
GRID = 120  # points of a curve over several runs
REPETITIONS = 1_000
THRESHOLDS = 80

Scores = Mapping[str, Mapping[str, Floats]]
"""The scores [runs] of each environment, by algorithm."""


class Band(NamedTuple):
    """A curve over several runs, with what lies below and above it."""

    x: Floats
    mean: Floats
    low: Floats
    high: Floats


def interquartile_curve(curves: Sequence[Points]) -> Band | None:
    """The interquartile mean of several runs over their common range, with a 95 % interval.

    None if there is a single run, or no common range.
    """
    x, values_RP = _on_grid(curves)
    if len(values_RP) < 2 or not len(x):
        return None
    stream = np.random.default_rng(0)
    found = bootstrap_interval("", values_RP[:, None, :], REPETITIONS, stream)
    return Band(x, found.mean, found.low, found.high)


def range_curve(curves: Sequence[Points]) -> Band | None:
    """The mean of several runs over their common range, from the lowest run to the highest."""
    x, values_RP = _on_grid(curves)
    if not len(x):
        return None
    return Band(x, values_RP.mean(axis=0), values_RP.min(axis=0), values_RP.max(axis=0))


def _on_grid(curves: Sequence[Points]) -> tuple[Floats, Floats]:
    given = [Curve(points.x, points.y, None, "") for points in curves if len(points.x)]
    if not given:
        return np.zeros(0), np.zeros((0, 0))
    x, values_RP = common_grid(given)
    if len(x) > GRID:
        x = np.linspace(x[0], x[-1], GRID)
        values_RP = np.stack([np.interp(x, curve.x, curve.y) for curve in given])
    return x, values_RP


def normalized(scores: Scores) -> dict[str, dict[str, Floats]]:
    """Scores from 0, the lowest of an environment, to 1, the highest there."""
    bounds: dict[str, tuple[float, float]] = {}
    for environment in dict.fromkeys(name for each in scores.values() for name in each):
        every = [each[environment] for each in scores.values() if environment in each]
        both = np.concatenate(every)
        bounds[environment] = float(both.min()), float(both.max())
    return {
        algorithm: {
            name: (values - bounds[name][0]) / ((bounds[name][1] - bounds[name][0]) or 1.0)
            for name, values in each.items()
        }
        for algorithm, each in scores.items()
    }


def performance_profile(scores: Mapping[str, Floats], thresholds: Floats) -> Band:
    """The share of runs with a score above each threshold, as the mean over environments.

    Formula: F(tau) = 1/M sum_m 1/N_m sum_n 1[x_mn > tau], equation (3) of Agarwal et al.; with the
    95 % interval of a stratified bootstrap.
    """
    stream = np.random.default_rng(0)

    def share(values_BR: Floats) -> Floats:
        return np.asarray((values_BR[:, :, None] > thresholds).mean(axis=1))

    every = [values[None] for values in scores.values()]
    mean = np.mean([share(values)[0] for values in every], axis=0)
    drawn = np.mean(
        [
            share(values[stream.integers(len(values), size=(REPETITIONS // 4, len(values)))])
            for values in scores.values()
        ],
        axis=0,
    )
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return Band(thresholds, mean, low, high)


def probability_of_improvement(
    ours: Mapping[str, Floats], theirs: Mapping[str, Floats]
) -> Interval:
    """How probably a run of one algorithm has a higher score than a run of another one.

    Formula: P(X > Y) = 1/M sum_m 1/(N K) sum_ij S(x_mi, y_mj) over the environments that both
    have, where S is 1 if x > y, 1/2 if x = y, else 0; section 4.4 of Agarwal et al.; with the 95 %
    interval of a stratified bootstrap. The environments of both must overlap.
    """
    stream = np.random.default_rng(0)
    means, drawn = [], []
    for name in (name for name in ours if name in theirs):
        x, y = ours[name], theirs[name]
        means.append(_share_higher(x[None], y[None])[0])
        x_BR = x[stream.integers(len(x), size=(REPETITIONS, len(x)))]
        y_BR = y[stream.integers(len(y), size=(REPETITIONS, len(y)))]
        drawn.append(_share_higher(x_BR, y_BR))
    low, high = np.percentile(np.mean(drawn, axis=0), [2.5, 97.5])
    return Interval(float(np.mean(means)), float(low), float(high))


def _share_higher(x_BR: Floats, y_BR: Floats) -> Floats:
    difference = x_BR[:, :, None] - y_BR[:, None, :]
    return np.asarray(((difference > 0) + 0.5 * (difference == 0)).mean(axis=(1, 2)))
