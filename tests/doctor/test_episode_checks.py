"""Checks of training episodes: each fault is among the first two findings."""

from typing import Any

import numpy as np
import pytest
from doctor_runs import FLAT, RISING, Fault, episodes_of, named, run

from footlight.doctor.checkup import examine_data


def reaching_a_goal(limit: int) -> list[dict[str, Any]]:
    """Episodes that terminate after fewer and fewer steps, at first by a time limit."""
    episodes = episodes_of(RISING, how="terminated")
    for index, row in enumerate(episodes):
        row["length"] = limit if index < 6 else limit // 2 - 2 * index
    return episodes


FAULTS: dict[str, list[Fault]] = {
    "time-limit-as-termination": [
        lambda: run(episodes=episodes_of(FLAT, how="terminated")),
        lambda: run(episodes=episodes_of(FLAT, length=999, how="terminated")),
        lambda: run(episodes=reaching_a_goal(limit=500)),
    ],
    "buffer-ends-at-limits": [lambda: run(terminal_share=0.01)],
    "termination-ignored": [
        lambda: run(episodes=episodes_of(FLAT, length=17, how="terminated") * 2),
    ],
    "environment-differs": [
        lambda: run(episodes=episodes_of(
            [0.0 if index % 4 == 3 else value for index, value in enumerate(FLAT)], num_envs=4,
        ), num_envs=4),
        lambda: run(episodes=episodes_of(
            [-99.0 if index % 8 < 2 else value for index, value in enumerate(RISING)], num_envs=8,
        ), num_envs=8),
    ],
    "environments-equal": [
        lambda: run(equal_starts=1.0, num_envs=4),
        lambda: run(num_envs=2, episodes=[
            {**row, "env": env, "return": row["return"] + 0.5 + index / 999}
            for index, row in enumerate(episodes_of(FLAT)) for env in range(2)
        ]),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("check", "fault"), [(c, f) for c, faults in FAULTS.items() for f in faults]
)
def test_cause_is_named(check: str, fault: Fault) -> None:
    assert check in named(fault())


def test_environments_that_differ_by_chance_are_not_reported() -> None:
    stream = np.random.default_rng(0)
    for _ in range(20):
        returns = [*(np.linspace(20, 200, 399) * stream.exponential(1, 399)).tolist(), 200.0]
        found = examine_data(run(returns, episodes=episodes_of(returns, num_envs=8), num_envs=8))
        assert found.is_healthy, found


def test_truncated_episodes_of_equal_length_are_healthy() -> None:
    assert examine_data(run(RISING)).is_healthy


def test_terminated_episodes_of_different_lengths_are_healthy() -> None:
    episodes = episodes_of(RISING, how="terminated")
    for index, row in enumerate(episodes):
        row["length"] = 20 + index * 7
    assert examine_data(run(episodes=episodes, terminal_share=0.01)).is_healthy


def test_a_longest_length_that_is_no_round_number_is_healthy() -> None:
    assert examine_data(run(episodes=reaching_a_goal(limit=499), terminal_share=0.01)).is_healthy


def test_one_environment_that_begins_alike_is_a_note() -> None:
    checkup = examine_data(run(equal_starts=1.0))
    assert [(found.check, found.severity) for found in checkup.findings] == [
        ("environments-equal", "note")
    ]
    assert checkup.is_healthy


def test_environment_without_an_episode_differs_from_the_other() -> None:
    episodes = [{**row, "env": 0} for row in episodes_of(RISING)]
    assert named(run(episodes=episodes, num_envs=2)) == ["environment-differs"]


def test_two_environments_differ_once() -> None:
    returns = [value if index % 2 else 0.0 for index, value in enumerate(RISING)]
    checkup = examine_data(run(episodes=episodes_of(returns, num_envs=2), num_envs=2))
    assert [found.check for found in checkup.findings].count("environment-differs") == 1


def test_equal_returns_of_an_unsolved_task_are_no_twins() -> None:
    episodes = [
        {**row, "env": env, "return": -12.5} for row in episodes_of(FLAT) for env in range(2)
    ]
    assert "environments-equal" not in named(run(episodes=episodes, num_envs=2))


def test_small_samples_may_miss_terminal_transitions() -> None:
    episodes = episodes_of(RISING, length=37, how="terminated")
    assert examine_data(run(episodes=episodes, sample_rows=20.0)).is_healthy
    assert named(run(episodes=episodes, sample_rows=256.0)) == ["termination-ignored"]
