"""Curves from the logs of a run, against steps, updates, episodes or seconds; means and intervals over runs."""

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
    """One run's values against one of `AXES`; `std` over an evaluation's episodes, None for anything else."""

    x: Floats
    y: Floats
    std: Floats | None
    label: str


def t_quantile(degrees: int) -> float:
    """The 97.5 % quantile of Student's t with `degrees` >= 1 degrees of freedom, right to 3e-4.

    Source: tables up to 10 degrees; beyond, the expansion of Fisher and Cornish (1960), Technometrics 2(2), p. 216.
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
    """Mean over R runs at each of P points, and half the width of its 95 % interval, t * s / sqrt(R); NaN if R = 1."""
    runs = len(values_RP)
    mean = values_RP.mean(axis=0)
    if runs < 2:
        return mean, np.full_like(mean, np.nan)
    return mean, t_quantile(runs - 1) * values_RP.std(axis=0, ddof=1) / np.sqrt(runs)


def common_grid(curves: Sequence[Curve]) -> tuple[Floats, Floats]:
    """The curves on one grid, interpolated within the range that all of them cover: x (P) and values (R, P).

    Curves with the same x are returned as they are. Without a common range there are no points.
    """
    low, high = max(curve.x[0] for curve in curves), min(curve.x[-1] for curve in curves)
    x = np.unique(np.concatenate([curve.x for curve in curves]))
    x = x[(x >= low) & (x <= high)]
    if len(x) > MAX_POINTS:
        x = np.linspace(low, high, MAX_POINTS)
    return x, np.stack([np.interp(x, curve.x, curve.y) for curve in curves])


def find_log(records: Sequence[RunData], metric: str) -> str:
    """The log that has `metric`: "evaluations", "episodes" or "metrics". Raises `UserError` naming the known ones."""
    known: dict[str, str] = {}
    for log in ("metrics", "episodes", "evaluations"):
        for record in records:
            for row in getattr(record, log):
                known |= {
                    key: log
                    for key, value in row.items()
                    if key not in _NOT_PLOTTED and _is_number(value)
                }
    if metric not in known:
        raise UserError(
            f"unknown metric {metric!r}{closest(metric, known)} - these runs have {', '.join(sorted(known)) or 'none'}"
        )
    return known[metric]


def curve_of(record: RunData, log: str, metric: str, x: str) -> Curve | None:
    """The curve of `metric` in a run's log, None if it is empty. Training episodes are shown as a running mean."""
    if log == "evaluations":
        return _evaluation_curve(record, metric, x)
    rows = [
        (row["step"], row[metric]) for row in getattr(record, log) if _is_number(row.get(metric))
    ]
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
        else _to_axis(record, x)(table[:, 0])
    )
    x_P, y_P = _last_of_each(at, running_mean(table[:, 1], window))
    shown = np.unique(np.linspace(0, len(x_P) - 1, MAX_POINTS).round().astype(int))
    label = "training episodes" if log == "episodes" else metric
    return Curve(
        x_P[shown], y_P[shown], None, f"{label} (running mean of {window})" if window > 1 else label
    )


def _evaluation_curve(record: RunData, metric: str, x: str) -> Curve | None:
    rows = {
        row["step"]: row for row in record.evaluations
    }  # of two at one step, the later one, of a resumed run, counts
    std = "std_return" if metric == "mean_return" else metric
    table = _finite(
        [(step, rows[step].get(metric), rows[step].get(std)) for step in sorted(rows)], 3
    )
    if not len(table):
        return None
    at, index = _last_of_each(
        _to_axis(record, x)(table[:, 0]), np.arange(len(table), dtype=np.float64)
    )
    table = table[index.astype(int)]
    return Curve(at, table[:, 1], table[:, 2] if metric == "mean_return" else None, "evaluation")


def running_mean(values: Floats, window: int) -> Floats:
    """The mean of each value and the `window` - 1 before it, fewer at the start."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))


def _last_of_each(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The last value at each x. Several environments can end several episodes at one step."""
    last = np.append(np.diff(x) > 0, True)
    return x[last], y[last]


def _to_axis(record: RunData, axis: str) -> Callable[[Floats], Floats]:
    """The function from environment steps to one of `AXES`. Raises `UserError` if the run has not logged it yet."""
    if axis == "steps":
        return lambda steps: steps
    if axis == "episodes":
        ends = np.array(sorted(row["step"] for row in record.episodes), dtype=np.float64)
        return lambda steps: np.searchsorted(ends, steps, side="right").astype(np.float64)
    name, last = ("update", "updates") if axis == "updates" else ("time_s", "seconds")
    rows = [(row["step"], row[name]) for row in record.metrics if _is_number(row.get(name))]
    if record.result is not None and _is_number(record.result.get(last)):
        rows.append((record.result["steps"], record.result[last]))
    if not rows:
        raise UserError(
            f"{record.folder} has no {axis} - its metrics are not logged yet - train it further, or plot steps"
        )
    points = _finite(sorted({(0, 0), *rows}), 2)
    return lambda steps: np.asarray(np.interp(steps, points[:, 0], points[:, 1]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(rows: Sequence[tuple[Any, ...]], columns: int) -> Floats:
    # A value that was not finite may be null in a strict JSON file: as a float it becomes NaN.
    table = np.array(rows, dtype=np.float64).reshape(-1, columns)
    return table[np.isfinite(table).all(axis=1)]
