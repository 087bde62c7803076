"""Checks of rewards and observations: each fault is among the first two findings."""

import pytest
from doctor_runs import FLAT, RISING, Fault, episodes_of, named, run

from footlight.doctor.checkup import examine_data

FAULTS: dict[str, list[Fault]] = {
    "reward-constant": [lambda: run([5.0] * 100, reward_mode_share=1.0, reward_std=0.0)],
    "no-reward-yet": [
        lambda: run([0.0] * 100, reward_mode_share=1.0, reward_std=0.0),
        lambda: run([-200.0] * 100, reward_mode_share=1.0, reward_std=0.0),
    ],
    "reward-scale": [
        lambda: run(reward_std=4e3),
        lambda: run(reward_std=1e-5, reward_mean=0.0),
        lambda: run(reward_std=0.0, reward_mean=1e-4, reward_max=1e-4, reward_mode_share=1.0),
    ],
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


def test_steps_that_cost_make_the_policy_end_episodes() -> None:
    episodes = episodes_of(RISING, length=22, how="terminated")
    for index, row in enumerate(episodes):
        row["length"] = 22 + index % 3 if index < 10 else 9
    costly = run(episodes=episodes, positive_rewards=0.0, terminal_share=0.1)
    assert [(found.check, found.severity) for found in examine_data(costly).findings] == [
        ("reward-shifted", "note")  # for where it is the goal, this is success
    ]
    # A task with a goal: the first episodes end by the time limit
    for row in episodes[:10]:
        del row["terminated"]
        row["truncated"] = True
    assert examine_data(run(episodes=episodes, positive_rewards=0.0, terminal_share=0.1)).is_healthy
