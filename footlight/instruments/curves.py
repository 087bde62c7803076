"""Curves from a run's logs over steps, updates, episodes or seconds; means and intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from footlight.config.suggestions import closest
from footlight.errors import UserError
from footlight.runs.read import RunData

Floats = npt.NDArray[np.float64]

AXES = {
    "steps": "environment steps",
    "updates": "gradient updates",
    "episodes": "training episodes",
    "seconds": "seconds",
}
MAX_POINTS = 500
MAX_WINDOW = 100  # episodes of a running mean
_NOT_PLOTTED = ("step", "env", "time_s", "update", "unfinished")


@dataclass(frozen=True)
class Curve:
    """One run's values over one of `AXES`.

    std: over the episodes of an evaluation; None for anything else.
    """

    x: Floats
    y: Floats
    std: Floats | None
    label: str


def t_quantile(degrees: int) -> float:
    """The 97.5 % quantile of Student's t with `degrees` >= 1 degrees of freedom, within 3e-4.

    Source: tables up to 10 degrees; beyond, the expansion of Fisher and Cornish (1960),
    Technometrics 2(2), p. 216.
    """
    table = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)
    if degrees <= len(table):
        return table[degrees - 1]
    z = 1.959964
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / degrees + second / degrees**2 + third / degrees**3


def mean_interval(values_RP: Floats) -> tuple[Floats, Floats]:
    """Mean over R runs at each of P points, and the half-width t s / sqrt(R) of the 95 % interval.

    The half-width is NaN if R = 1.
    """
    runs = len(values_RP)
    mean = values_RP.mean(axis=0)
    if runs < 2:
        return mean, np.full_like(mean, np.nan)
    return mean, t_quantile(runs - 1) * values_RP.std(axis=0, ddof=1) / np.sqrt(runs)


def common_grid(curves: Sequence[Curve]) -> tuple[Floats, Floats]:
    """Interpolate the curves on one grid in their common range: x [P] and values [R, P].

    Curves with equal x keep their points. P is 0 if the curves have no common range.
    """
    low, high = max(curve.x[0] for curve in curves), min(curve.x[-1] for curve in curves)
    x = np.unique(np.concatenate([curve.x for curve in curves]))
    x = x[(x >= low) & (x <= high)]
    if len(x) > MAX_POINTS:
        x = np.linspace(low, high, MAX_POINTS)
    return x, np.stack([np.interp(x, curve.x, curve.y) for curve in curves])


def _rows(run: RunData, log: str) -> list[dict[str, Any]]:
    logs = {
        "metrics": run.metrics,
        "episodes": run.episodes,
        "evaluations": run.evaluations,
        "diagnostics": run.diagnostics,
    }
    return logs[log]


def find_log(runs: Sequence[RunData], metric: str) -> str:
    """The log that has `metric`: "evaluations", "episodes", "metrics" or "diagnostics".

    Raises `UserError` naming the known metrics.
    """
    known: dict[str, str] = {}
    for log in ("diagnostics", "metrics", "episodes", "evaluations"):
        for run in runs:
            for row in _rows(run, log):
                known |= {
                    key: log
                    for key, value in row.items()
                    if key not in _NOT_PLOTTED and _is_number(value)
                }
    if metric not in known:
        raise UserError(
            f"unknown metric {metric!r}{closest(metric, known)} - "
            f"these runs have {', '.join(sorted(known)) or 'none'}"
        )
    return known[metric]


def curve_of(run: RunData, log: str, metric: str, x: str) -> Curve | None:
    """The curve of `metric` in a run's log, None if it is empty.

    Training episodes are shown as a running mean.
    """
    if log == "evaluations":
        return _evaluation_curve(run, metric, x)
    rows = [(row["step"], row[metric]) for row in _rows(run, log) if _is_number(row.get(metric))]
    table = _finite(sorted(rows, key=lambda row: row[0]), 2)
    if not len(table):
        return None
    window = (
        min(max(len(table) // 20, 1), MAX_WINDOW)
        if log == "episodes"
        else max(len(table) // MAX_POINTS, 1)
    )
    at = (
        np.arange(1.0, len(table) + 1)
        if (log, x) == ("episodes", "episodes")
        else _to_axis(run, x)(table[:, 0])
    )
    x_P, y_P = _last_of_each(at, running_mean(table[:, 1], window))
    shown = np.unique(np.linspace(0, len(x_P) - 1, MAX_POINTS).round().astype(int))
    label = "training episodes" if log == "episodes" else metric
    return Curve(
        x_P[shown], y_P[shown], None, f"{label} (running mean of {window})" if window > 1 else label
    )


def _evaluation_curve(run: RunData, metric: str, x: str) -> Curve | None:
    # Of two rows at one step, the later one counts: it is from a resumed run.
    rows = {row["step"]: row for row in run.evaluations}
    std = "std_return" if metric == "mean_return" else metric
    table = _finite(
        [(step, rows[step].get(metric), rows[step].get(std)) for step in sorted(rows)], 3
    )
    if not len(table):
        return None
    at, index = _last_of_each(
        _to_axis(run, x)(table[:, 0]), np.arange(len(table), dtype=np.float64)
    )
    table = table[index.astype(int)]
    return Curve(at, table[:, 1], table[:, 2] if metric == "mean_return" else None, "evaluation")


def running_mean(values: Floats, window: int) -> Floats:
    """The mean of each value and up to `window` - 1 values before it."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))


def _last_of_each(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The last value at each x: several environments can end episodes at one step."""
    last = np.append(np.diff(x) > 0, True)
    return x[last], y[last]


def _to_axis(run: RunData, axis: str) -> Callable[[Floats], Floats]:
    """Return the function from environment steps to one of `AXES`.

    Raises `UserError` if the run has not logged it yet.
    """
    if axis == "steps":
        return lambda steps: steps
    if axis == "episodes":
        ends = np.array(sorted(row["step"] for row in run.episodes), dtype=np.float64)
        return lambda steps: np.searchsorted(ends, steps, side="right").astype(np.float64)
    name, last = ("update", "updates") if axis == "updates" else ("time_s", "seconds")
    rows = [(row["step"], row[name]) for row in run.metrics if _is_number(row.get(name))]
    if run.result is not None and _is_number(run.result.get(last)):
        rows.append((run.result["steps"], run.result[last]))
    if not rows:
        raise UserError(
            f"{run.folder} has no {axis} - its metrics are not logged yet - "
            "train it further, or plot steps"
        )
    points = _finite(sorted({(0, 0), *rows}), 2)
    return lambda steps: np.asarray(np.interp(steps, points[:, 0], points[:, 1]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(rows: Sequence[tuple[Any, ...]], columns: int) -> Floats:
    # A value that was not finite is null in strict JSON; as a float it becomes NaN.
    table = np.array(rows, dtype=np.float64).reshape(-1, columns)
    return table[np.isfinite(table).all(axis=1)]
