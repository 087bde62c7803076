"""Checks of what a run has reached: each fault is among the first two findings."""

import numpy as np
import pytest
from doctor_runs import FLAT, RISING, STEPS, Fault, named, run

from footlight.runs.read import RunData

FAULTS: dict[str, list[Fault]] = {
    "policy-gets-worse": [lambda: run(RISING[::-1])],
    "does-not-learn": [lambda: run(FLAT)],
}  # fmt: skip


@pytest.mark.parametrize(
    ("check", "fault"), [(c, f) for c, faults in FAULTS.items() for f in faults]
)
def test_cause_is_named(check: str, fault: Fault) -> None:
    assert check in named(fault())


def test_divergence_and_forgetting_are_named() -> None:
    healthy = run()
    flat = run(FLAT)
    diverged = {**vars(healthy), "result": {"status": "diverged", "steps": STEPS}}
    assert named(RunData(**diverged)) == ["diverged"]
    flat.evaluations[-1]["mean_return"] = -500.0
    assert named(flat) == ["forgets", "does-not-learn"]


def test_noise_is_neither_progress_nor_decay() -> None:
    stream = np.random.default_rng(0)
    for _ in range(20):
        returns = stream.normal(-100, 30, 100).tolist()
        assert named(run(returns)) == ["does-not-learn"]


def test_last_evaluation_may_be_worse_by_chance() -> None:
    damaged = run(FLAT)
    for row in damaged.evaluations:
        row["std_return"] = 200.0
    damaged.evaluations[-1]["mean_return"] = -500.0
    assert named(damaged) == ["does-not-learn"]
