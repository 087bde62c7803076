"""Checks of the values that a run was started with: each fault is among the first two findings."""

from typing import Any

import pytest
from doctor_runs import STEPS, Fault, named, run

from footlight.doctor.checkup import examine_data
from footlight.runs.read import RunData


def planned(config: dict[str, Any]) -> RunData:
    """A run that was to take `STEPS` steps."""
    made = run(config=config)
    made.config["steps"] = STEPS
    return made


def never_updated() -> RunData:
    """A run that has come far beyond `learning_starts`."""
    made = planned({"learning_starts": 100, "updates_per_step": 1.0})
    for row in made.diagnostics:
        row["update"] = 0
    return made


FAULTS: dict[str, list[Fault]] = {
    "horizon-too-short": [lambda: run(config={"gamma": 0.5})],
    "horizon-too-long": [lambda: run(config={"gamma": 1.0})],
    "buffer-too-small": [lambda: run(config={"buffer_size": 100, "batch_size": 64})],
    "batch-too-small": [lambda: run(config={"batch_size": 2})],
    "updates-too-few": [
        lambda: planned({"learning_starts": 9_000, "updates_per_step": 1.0}),
        lambda: planned({"learning_starts": 100, "updates_per_step": 0.01}),
        lambda: never_updated(),
    ],
    "too-many-epochs": [lambda: run(config={"num_epochs": 100})],
}  # fmt: skip


@pytest.mark.parametrize(
    ("check", "fault"), [(c, f) for c, faults in FAULTS.items() for f in faults]
)
def test_cause_is_named(check: str, fault: Fault) -> None:
    assert check in named(fault())


@pytest.mark.parametrize(("rate", "batch"), [(0.25, 32), (0.002, 32_768)])
def test_rare_updates_with_enough_rows_are_healthy(rate: float, batch: int) -> None:
    rare = {"learning_starts": 5_000, "updates_per_step": rate, "batch_size": batch}
    found = examine_data(planned({**rare, "buffer_size": 10**6})).findings
    assert "updates-too-few" not in [each.check for each in found]


def test_updates_need_not_have_begun_right_after_the_first_steps() -> None:
    made = never_updated()
    made.config["config"]["learning_starts"] = made.diagnostics[-1]["step"] - 100
    made.config["steps"] = 100 * STEPS
    assert "updates-too-few" not in {found.check for found in examine_data(made).findings}


def test_gamma_of_four_nines_is_healthy() -> None:
    assert examine_data(run(config={"gamma": 0.9999})).is_healthy
