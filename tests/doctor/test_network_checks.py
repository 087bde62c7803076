"""Checks of networks and updates: each fault is among the first two findings."""

import pytest
from doctor_runs import FLAT, Fault, named, run

from footlight.doctor.checkup import examine_data

FAULTS: dict[str, list[Fault]] = {
    "learning-rate-too-high": [lambda: run(**{"critic.update_size": 0.2})],
    "learning-rate-too-low": [
        lambda: run(FLAT, **{"critic.update_size": 1e-6, "actor.update_size": 1e-6}),
    ],
    "network-frozen": [lambda: run(**{"actor.weight_growth": 1.0})],
    "units-dead": [lambda: run(FLAT, **{"actor.dormant": 0.97})],
    "units-saturated": [lambda: run(FLAT, **{"critic.saturated": 0.9})],
    "weights-grow": [lambda: run(FLAT, **{"critic.weight_growth": 30.0})],
    "target-missing": [
        lambda: run(config={"tau": 1}),
        lambda: run(config={"target_network": False}),
        lambda: run(**{"critic.target_distance": 0.0}),
    ],
    "target-frozen": [lambda: run(**{"critic.target_distance": 1.0})],
}  # fmt: skip


@pytest.mark.parametrize(
    ("check", "fault"), [(c, f) for c, faults in FAULTS.items() for f in faults]
)
def test_cause_is_named(check: str, fault: Fault) -> None:
    assert check in named(fault())


def test_schedule_that_ends_at_zero_is_healthy() -> None:
    falling = [1e-3 * (1 - index / 9) for index in range(10)]
    changes = {"critic.update_size": falling, "actor.update_size": falling}
    assert examine_data(run(FLAT, **changes)).findings[0].check == "does-not-learn"


def test_targets_that_are_copied_at_intervals_are_not_judged() -> None:
    checkup = examine_data(run(config={"copy_interval": 250}, **{"critic.target_distance": 0.0}))
    assert checkup.is_healthy


def test_many_small_updates_are_healthy() -> None:
    small = {"critic.update_size": 4e-5, "actor.update_size": 4e-5}
    damaged = run(**small)
    assert named(damaged) == ["learning-rate-too-low"]
    for index, row in enumerate(damaged.diagnostics):
        row["update"] = 15_000 * (index + 1)
    assert examine_data(damaged).is_healthy


@pytest.mark.parametrize(("growth", "suffices"), [(2.0, True), (1.01, False)])
def test_many_small_updates_suffice_where_weights_grow(growth: float, suffices: bool) -> None:
    small = dict.fromkeys(("critic.update_size", "actor.update_size"), 4e-5)
    grown = dict.fromkeys(("critic.weight_growth", "actor.weight_growth"), growth)
    damaged = run(FLAT, **small, **grown)
    for index, row in enumerate(damaged.diagnostics):
        row["update"] = 15_000 * (index + 1)
    assert ("learning-rate-too-low" not in named(damaged)) is suffices


def test_networks_without_updates_are_not_frozen() -> None:
    early = run(**{"actor.weight_growth": 1.0})
    for row in early.diagnostics:
        row["update"] = 1  # the actor's first one comes later
    assert "network-frozen" not in {found.check for found in examine_data(early).findings}


def test_weights_of_fixed_norm_are_not_frozen() -> None:
    config = {"unit_weights": "rows"}
    assert examine_data(run(config=config, **{"actor.weight_growth": 1.0})).is_healthy


def test_network_that_moved_and_died_is_not_called_frozen() -> None:
    damaged = run(config={"learning_rate": 0.1}, **{"actor.weight_growth": 7.0})
    assert named(damaged) == ["learning-rate-too-high"]
