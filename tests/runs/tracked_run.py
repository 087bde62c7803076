"""A small run folder with all logs, and the numbers that trackers must get from it."""

import json
from pathlib import Path
from typing import Any

import numpy as np

CONFIG = {
    "format_version": 1,
    "algorithm": "sac",
    "environment": "Pendulum-v1",
    "seed": 1,
    "config": {"gamma": 0.9},
}
BINS = {"counts": [1, 2, 3], "low": -1.0, "high": 2.0}
EPISODES = [
    {"step": step, "env": env, "return": -float(step + env), "length": step}
    for step in (40, 90)
    for env in (0, 1)
]
LINES: dict[str, list[dict[str, Any]]] = {
    "metrics": [
        {"step": 50, "update": 5, "time_s": 0.5, "loss": 2.5},
        {"step": 100, "update": 9, "time_s": 1.0, "loss": 0.5},
    ],
    "episodes": EPISODES,
    "evaluations": [
        {
            "step": step,
            "mean_return": -1.5,
            "std_return": 0.5,
            "returns": [-1.0, -2.0],
            "lengths": [4, 5],
            "deterministic": True,
        }
        for step in (50, 100)
    ],
    "histograms": [
        {"step": 50, "weights": {"actor.0.weight": BINS}, "gradients": {"actor.0.weight": BINS}}
    ],
}
RESULT = {
    "status": "finished",
    "steps": 100,
    "updates": 9,
    "seconds": 1.0,
    "steps_per_second": 100.0,
}
GROUPS = {"metrics": "metrics", "episodes": "episode", "evaluations": "evaluation"}
SMALL: dict[str, Any] = {
    "hidden_sizes": (8, 8),
    "compile": "off",
    "quiet": True,
    "eval_episodes": 1,
    "preset": False,
}


def append(folder: Path, lines: dict[str, list[dict[str, Any]]]) -> None:
    for log, records in lines.items():
        with (folder / f"{log}.jsonl").open("a") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)


def write_run(folder: Path) -> None:
    """Write a finished run with one video."""
    (folder / "videos").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "videos" / "step-000000100.mp4").write_bytes(b"video")
    append(folder, LINES)
    (folder / "result.json").write_text(
        json.dumps(RESULT | {"final_evaluation": LINES["evaluations"][1]})
    )


Points = dict[str, list[tuple[int, Any]]]


def expected_points(folder: Path, single: Any = np.float32) -> Points:
    """Every number in a run folder's lines, by a second way."""
    points: Points = {}
    for log, group in GROUPS.items():
        for line in (folder / f"{log}.jsonl").read_text().splitlines():
            record = json.loads(line)
            for name, value in record.items():
                if type(value) in (int, float) and name not in ("step", "env"):
                    points.setdefault(f"{group}/{name}", []).append((record["step"], single(value)))
    return points


def of_logs(points: Points) -> Points:
    return {tag: found for tag, found in points.items() if tag.split("/")[0] in GROUPS.values()}
