"""Checkups of runs whose faults are known: each fault is named first, or right after the first."""

import json
from pathlib import Path
from typing import Any

import pytest
from doctor_runs import FLAT, RISING, STEPS, run

from footlight.doctor import Checkup, examine
from footlight.doctor.checkup import CHECKS, examine_data
from footlight.errors import UserError
from footlight.runs.read import RunData

FALLING = RISING[::-1]


def test_healthy_run_has_no_findings() -> None:
    checkup = examine_data(run())
    assert checkup.findings == ()
    assert checkup.is_healthy
    assert checkup.verdict.startswith("healthy: ")


def test_findings_say_since_when() -> None:
    mass = [0.1] * 6 + [0.9] * 4
    checkup = examine_data(run(edge_mass=mass))
    assert [(found.check, found.step) for found in checkup.findings] == [
        ("value-out-of-bins", 7000)
    ]


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


@pytest.mark.parametrize("value", ["auto", [1], None, True, {}])
def test_fields_of_other_types_are_not_judged(value: Any) -> None:
    names = "gamma", "buffer_size", "batch_size", "num_epochs", "tau", "initial_alpha", "n_steps"
    odd = run(config=dict.fromkeys(names, value))
    assert not any("failed" in line for line in examine_data(odd).not_judged)


def test_check_that_fails_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def unlucky(evidence: Any) -> Any:
        raise ZeroDivisionError("0")

    monkeypatch.setattr("footlight.doctor.checkup.CHECKS", (unlucky, *CHECKS))
    checkup = examine_data(run(reward_std=4e3))
    assert [found.check for found in checkup.findings] == ["reward-scale"]
    assert "unlucky: it failed with ZeroDivisionError: 0" in checkup.not_judged


def test_huge_number_of_environments_costs_nothing() -> None:
    found = examine_data(run(num_envs=10**9)).findings
    assert [each.check for each in found] == ["environment-differs"]


def test_fine_tuned_run_may_begin_at_its_best() -> None:
    tuned = run(FLAT)
    tuned.config["init_from"] = {"path": "other"}
    assert examine_data(tuned).is_healthy
