"""Checkups of runs whose faults are known: each fault is named first, or right after the first."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from doctor_runs import FLAT, NUM_ROWS, RISING, STEPS, episodes_of, rows_of, run

from footlight.doctor import Checkup, examine
from footlight.doctor.catalog import CATALOG
from footlight.doctor.checkup import examine_data
from footlight.errors import UserError
from footlight.runs.read import RunData

FALLING = RISING[::-1]
FAULTS: dict[str, list[Callable[[], RunData]]] = {
    "time-limit-as-termination": [
        lambda: run(episodes=episodes_of(FLAT, how="terminated")),
        lambda: run(terminal_share=0.01),
    ],
    "termination-ignored": [
        lambda: run(episodes=episodes_of(FLAT, length=17, how="terminated") * 2),
    ],
    "environment-differs": [
        lambda: run(episodes=episodes_of(
            [0.0 if index % 4 == 3 else value for index, value in enumerate(FLAT)], num_envs=4,
        ), num_envs=4),
    ],
    "environments-equal": [
        lambda: run(equal_starts=1.0, num_envs=4),
        lambda: run(num_envs=2, episodes=[
            {**row, "env": env, "return": row["return"] + 0.5}
            for row in episodes_of(FLAT) for env in range(2)
        ]),
    ],
    "reward-constant": [lambda: run([5.0] * 100, reward_mode_share=1.0, reward_std=0.0)],
    "reward-scale": [lambda: run(reward_std=4e3), lambda: run(reward_std=1e-5, reward_mean=0.0)],
    "reward-shifted": [lambda: run(reward_mean=40.0, reward_std=0.5)],
    "observation-scale": [lambda: run(observation_max=2e4)],
    "observation-constant": [lambda: run(FLAT, constant_observations=1.0)],
    "rollouts-stale": [lambda: run(rollout_is_current=0.0)],
    "buffer-too-small": [lambda: run(config={"buffer_size": 100, "batch_size": 64})],
    "batch-too-small": [lambda: run(config={"batch_size": 2})],
    "too-many-epochs": [lambda: run(config={"num_epochs": 100})],
    "horizon-too-short": [lambda: run(config={"gamma": 0.5})],
    "horizon-too-long": [lambda: run(config={"gamma": 1.0})],
    "target-missing": [
        lambda: run(config={"tau": 1}),
        lambda: run(config={"target_network": False}),
        lambda: run(**{"critic.target_distance": 0.0}),
    ],
    "target-frozen": [lambda: run(**{"critic.target_distance": 1.0})],
    "learning-rate-too-high": [lambda: run(**{"critic.update_size": 0.2})],
    "learning-rate-too-low": [
        lambda: run(FLAT, **{"critic.update_size": 1e-6, "actor.update_size": 1e-6}),
    ],
    "policy-moves-too-far": [
        lambda: run(metrics=rows_of(critic_loss=1.0, approx_kl=0.3, clip_fraction=0.4)),
    ],
    "critic-overestimates": [lambda: run(FLAT, critic_bias=3.0)],
    "critic-underestimates": [lambda: run(FLAT, critic_bias=-0.9)],
    "critic-explains-nothing": [lambda: run(FLAT, critic_explained_variance=-2.0)],
    "value-impossible": [lambda: run(value_bound_ratio=8.0)],
    "value-out-of-bins": [lambda: run(edge_mass=0.5)],
    "critic-loss-rises": [
        lambda: run(FLAT, metrics=rows_of(
            critic_loss=[10.0**index for index in range(NUM_ROWS)], approx_kl=0.01,
            clip_fraction=0.1,
        )),
    ],
    "entropy-collapsed": [
        lambda: run(FLAT, relative_entropy=0.01),
        lambda: run(FLAT, relative_entropy=[0.9 - 0.1 * i for i in range(NUM_ROWS)]),
        lambda: run(config={"learn_alpha": False, "initial_alpha": 1e-6}),
    ],
    "entropy-too-high": [lambda: run(FLAT, relative_entropy=0.99)],
    "policy-saturated": [lambda: run(FLAT, action_saturation=0.97)],
    "policy-constant": [lambda: run(FLAT, action_variation=0.001)],
    "actions-not-rescaled": [
        lambda: run(action_saturation=0.4, action_reach=0.5),
        lambda: run(action_range=0.5),
    ],
    "units-dead": [lambda: run(FLAT, **{"actor.dormant": 0.97})],
    "units-saturated": [lambda: run(FLAT, **{"critic.saturated": 0.9})],
    "weights-grow": [lambda: run(FLAT, **{"critic.weight_growth": 30.0})],
    "policy-gets-worse": [lambda: run(FALLING)],
    "does-not-learn": [lambda: run(FLAT)],
}  # fmt: skip


@pytest.mark.parametrize(
    ("check", "number"),
    [(check, number) for check, runs in FAULTS.items() for number in range(len(runs))],
)
def test_cause_is_among_the_first_two_findings(check: str, number: int) -> None:
    checkup = examine_data(FAULTS[check][number]())
    assert check in [found.check for found in checkup.findings[:2]], checkup
    assert not checkup.is_healthy


def test_healthy_run_has_no_findings() -> None:
    checkup = examine_data(run())
    assert checkup.findings == ()
    assert checkup.is_healthy
    assert checkup.verdict.startswith("healthy: ")


def test_every_check_of_the_catalog_can_be_found() -> None:
    diverged = run()
    diverged = RunData(**{**vars(diverged), "result": {"status": "diverged", "steps": STEPS}})
    forgotten = run()
    forgotten.evaluations[-1]["mean_return"] = -500.0
    forgotten.evaluations[0]["mean_return"] = -510.0
    others = [
        found.check for each in (diverged, forgotten) for found in examine_data(each).findings
    ]
    assert {*FAULTS, *others} == CATALOG.keys()


def test_findings_say_since_when() -> None:
    ratio = [0.1] * 6 + [9.0] * 4
    checkup = examine_data(run(value_bound_ratio=ratio))
    assert [(found.check, found.step) for found in checkup.findings] == [("value-impossible", 7000)]


def test_learning_run_is_not_blamed_for_what_it_learns_with() -> None:
    odd: dict[str, Any] = {"relative_entropy": 0.01, "critic.dormant": 0.95, "action_saturation": 1}
    assert examine_data(run(RISING, **odd)).is_healthy
    assert not examine_data(run(FLAT, **odd)).is_healthy


def test_runs_of_earlier_versions_are_judged_by_what_they_have() -> None:
    old = run(FALLING)
    old = RunData(**{**vars(old), "diagnostics": []})
    checkup = examine_data(old)
    assert checkup.findings[0].check == "policy-gets-worse"
    assert any("no diagnostics" in line for line in checkup.not_judged)


def test_empty_run_is_judged_by_its_values() -> None:
    empty = RunData(Path("run"), {"config": {"gamma": 0.99}}, [], [], [], None)
    checkup = examine_data(empty)
    assert checkup.findings == ()
    assert checkup.not_judged


@pytest.mark.parametrize("value", [None, "x", True, float("nan"), {"a": 1}])
def test_values_that_are_no_numbers_are_ignored(value: Any) -> None:
    odd = run(**dict.fromkeys(("critic_bias", "equal_starts", "critic.dormant"), value))
    for row in odd.episodes[::3]:
        row["return"], row["length"] = value, value
    assert isinstance(examine_data(odd), Checkup)


def test_folder_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        examine(tmp_path)
    healthy = run()
    (tmp_path / "config.json").write_text(
        json.dumps({
            "format_version": 1, "algorithm": "sac", "environment": "E", "seed": 0, "steps": STEPS,
            **healthy.config,
        })
    )  # fmt: skip
    for log in ("episodes", "evaluations", "metrics", "diagnostics"):
        lines = "".join(json.dumps(row) + "\n" for row in vars(healthy)[log])
        (tmp_path / f"{log}.jsonl").write_text(lines)
    assert examine(tmp_path).is_healthy
