"""Checks of what a run has reached: each fault is among the first two findings."""

from typing import Any

import numpy as np
import pytest
from doctor_runs import FLAT, RISING, STEPS, Fault, named, run

from footlight.doctor.checkup import examine_data
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


def test_evaluations_that_lack_what_training_gained_are_named() -> None:
    lagging = run(RISING)  # from -100 to 0
    for row in lagging.evaluations:
        row |= {"mean_return": -70.0, "std_return": 5.0}
    assert named(lagging) == ["evaluations-lag"]
    lagging.evaluations[-2]["mean_return"] = -40.0  # a single one suffices
    assert "evaluations-lag" not in {each.check for each in examine_data(lagging).findings}
    elsewhere = run(RISING)
    elsewhere.config["eval_environment"] = {"environment": "Other-v0", "environment_source": "id"}
    for row in elsewhere.evaluations:
        row["mean_return"] = -70.0
    assert examine_data(elsewhere).is_healthy


def test_evaluations_lag_only_where_training_rose_and_chance_is_no_reason() -> None:
    luckless = run([-1.0] * 10 + [-0.5] * 80 + [0.0] * 9 + [-1000.0])  # most rose, the mean fell
    for row in luckless.evaluations:
        row["mean_return"] = -60.0
    noisy = run(RISING)
    for row in noisy.evaluations:
        row |= {"mean_return": -70.0, "std_return": 100.0, "returns": [0.0] * 5}
    for each in luckless, noisy:
        assert "evaluations-lag" not in {found.check for found in examine_data(each).findings}


@pytest.mark.parametrize("broken", [{"mean_return": None}, {"std_return": None}, {"returns": None}])
def test_forgetting_is_named_beside_evaluations_that_are_not_numbers(broken: Any) -> None:
    forgetful = run(FLAT)
    forgetful.evaluations[-1]["mean_return"] = -500.0
    forgetful.evaluations[3] |= broken
    assert "forgets" in named(forgetful)
