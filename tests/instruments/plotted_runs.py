"""Run folders to plot, and what is in the axes of a figure."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def write_run(
    folder: Path,
    evaluations: Sequence[tuple[int, float | None]] = (),
    episodes: Sequence[tuple[int, float]] = (),
    metrics: Sequence[dict[str, Any]] = (),
    fields: dict[str, Any] | None = None,
    **options: Any,
) -> Path:
    """Write a run folder with these rows; `options` are further keys of its `config.json`."""
    folder.mkdir(parents=True)
    config = {"algorithm": "sac", "environment": "Pendulum-v1", "seed": 1, "config": fields or {}}
    config["format_version"] = 1
    (folder / "config.json").write_text(json.dumps(config | options))
    lines = [
        {
            "step": step,
            "mean_return": mean,
            "std_return": 2.0,
            "returns": [mean, mean],
            "lengths": [9, 9],
        }
        for step, mean in evaluations
    ]
    ends = [{"step": step, "env": 0, "return": value, "length": 9} for step, value in episodes]
    for name, rows in (("evaluations", lines), ("episodes", ends), ("metrics", metrics)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def legend(figure: Figure) -> list[str]:
    (drawn,) = figure.legends
    return [text.get_text() for text in drawn.get_texts()]


def lines(axes: Axes, width: float = 2) -> list[list[float]]:
    return [
        np.asarray(line.get_ydata()).tolist()
        for line in axes.lines
        if line.get_linewidth() == width
    ]
