"""The sweep that the tests of this folder search."""

from typing import Any

from small_runs import DDPG

SMALL_RUNS: dict[str, Any] = {
    name: list(value) if isinstance(value, tuple) else value
    for name, value in DDPG.items()
    if name not in ("preset", "quiet")
} | {"steps": 60, "threads": 1, "probe": "off"}
GRID: dict[str, Any] = {
    "algorithm": "ddpg", "environment": "Pendulum-v1", "method": "grid", "preset": False,
    "values": SMALL_RUNS, "search": {"batch_size": [4, 8], "gamma": [0.9]},
}  # fmt: skip
