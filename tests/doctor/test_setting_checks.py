"""Checks of the values that a run was started with: each fault is among the first two findings."""

import pytest
from doctor_runs import Fault, named, run

FAULTS: dict[str, list[Fault]] = {
    "horizon-too-short": [lambda: run(config={"gamma": 0.5})],
    "horizon-too-long": [lambda: run(config={"gamma": 1.0})],
    "buffer-too-small": [lambda: run(config={"buffer_size": 100, "batch_size": 64})],
    "batch-too-small": [lambda: run(config={"batch_size": 2})],
    "too-many-epochs": [lambda: run(config={"num_epochs": 100})],
}  # fmt: skip


@pytest.mark.parametrize(
    ("check", "fault"), [(c, f) for c, faults in FAULTS.items() for f in faults]
)
def test_cause_is_named(check: str, fault: Fault) -> None:
    assert check in named(fault())
