"""Checks of the critic: each fault is among the first two findings."""

import pytest
from doctor_runs import FLAT, NUM_ROWS, Fault, named, rows_of, run

FAULTS: dict[str, list[Fault]] = {
    "critic-overestimates": [lambda: run(FLAT, critic_bias=3.0)],
    "critic-underestimates": [lambda: run(FLAT, critic_bias=-0.9)],
    "critic-explains-nothing": [lambda: run(FLAT, critic_explained_variance=-2.0)],
    "value-impossible": [lambda: run(FLAT, value_bound_ratio=8.0, value_size=1e4)],
    "value-out-of-bins": [lambda: run(edge_mass=0.5)],
    "critic-loss-rises": [
        lambda: run(FLAT, metrics=rows_of(
            critic_loss=[10.0**index for index in range(NUM_ROWS)], approx_kl=0.01,
            clip_fraction=0.1,
        )),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("check", "fault"), [(c, f) for c, faults in FAULTS.items() for f in faults]
)
def test_cause_is_named(check: str, fault: Fault) -> None:
    assert check in named(fault())
