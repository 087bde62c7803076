"""The tables that `learning.py` prints: final evaluations, curves and notes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from report import Failure, table


@dataclass(frozen=True)
class Outcome:
    """What one seed came to."""

    final: float
    """Mean return of the evaluation after the last step."""
    curve: dict[int, float]
    """Mean return by step, the final evaluation included."""
    steps: int
    """Environment steps trained."""
    seconds: float
    """From the start of the process to its end: imports, compilation and evaluations too."""
    config: dict[str, Any]
    """footlight: the run's config.json; a peer: the fields that it has no word for."""


Column = list[Outcome | Failure]  # one for each seed


def finished(column: Column) -> list[Outcome]:
    """The seeds that came to something."""
    return [outcome for outcome in column if isinstance(outcome, Outcome)]


def mean_text(values: Sequence[float]) -> str:
    """Mean and 95 % interval (Student t) over seeds."""
    if not values:
        return "-"
    from footlight.instruments.curves import mean_interval

    mean, half = (float(x) for x in mean_interval(np.array(values, dtype=np.float64)))
    return (
        f"{mean:.1f}" if math.isnan(half) else f"{mean:.1f} [{mean - half:.1f}, {mean + half:.1f}]"
    )


def reaches(outcome: Outcome | Failure, must: float) -> bool:
    """Whether a seed came to what it had to; one that failed didn't."""
    return isinstance(outcome, Outcome) and outcome.final >= must


def seed_table(columns: dict[str, Column], seeds: range, must: float | None) -> list[str]:
    """A row for each seed, and the mean over those that finished."""
    cells = [["seed", *map(str, seeds), "mean"]]
    for name, column in columns.items():
        finals = [f"{o.final:.1f}" if isinstance(o, Outcome) else "failed" for o in column]
        seconds = [f"{o.seconds:.0f}" if isinstance(o, Outcome) else "-" for o in column]
        cells.append([name, *finals, mean_text([o.final for o in finished(column)])])
        cells.append(["seconds", *seconds, ""])
        if must is not None and name == "footlight":
            cells.append(
                [f"must {must:g}", *("met" if reaches(o, must) else "not met" for o in column), ""]
            )
    return table(list(zip(*cells, strict=True)))


def curve_table(columns: dict[str, Column]) -> list[str]:
    """Mean and interval over seeds at every step with an evaluation."""
    steps = sorted(
        {
            step
            for column in columns.values()
            for outcome in finished(column)
            for step in outcome.curve
        }
    )
    rows = [["step", *columns]]
    for step in steps:
        means = [
            [o.curve[step] for o in finished(column) if step in o.curve]
            for column in columns.values()
        ]
        rows.append([f"{step:,}", *map(mean_text, means)])
    return table(rows) if steps else []
