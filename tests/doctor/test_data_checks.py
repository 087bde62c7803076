"""Checks of rewards and observations: each fault is among the first two findings."""

import pytest
from doctor_runs import FLAT, Fault, named, run

FAULTS: dict[str, list[Fault]] = {
    "reward-constant": [lambda: run([5.0] * 100, reward_mode_share=1.0, reward_std=0.0)],
    "reward-scale": [lambda: run(reward_std=4e3), lambda: run(reward_std=1e-5, reward_mean=0.0)],
    "reward-shifted": [lambda: run(reward_mean=40.0, reward_std=0.5)],
    "observation-scale": [lambda: run(observation_max=2e4)],
    "observation-constant": [lambda: run(FLAT, constant_observations=1.0)],
    "rollouts-stale": [lambda: run(rollout_is_current=0.0)],
}  # fmt: skip


@pytest.mark.parametrize(
    ("check", "fault"), [(c, f) for c, faults in FAULTS.items() for f in faults]
)
def test_cause_is_named(check: str, fault: Fault) -> None:
    assert check in named(fault())
