"""What is critical is said while a run trains: once, and without ending it."""

from pathlib import Path

import gymnasium
import pytest
from small_runs import SMALL

import footlight

GIVEN = {**SMALL, "eval_every": 100, "steps": 800, "quiet": False}


def large(env: gymnasium.Env[object, object]) -> gymnasium.Env[object, object]:
    return gymnasium.wrappers.TransformReward(env, lambda reward: 1e4 * float(reward))


def test_critical_finding_is_printed_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    footlight.train(
        "a2c", "Pendulum-v1", run_dir=tmp_path / "run", wrapper=large, preset=False, **GIVEN
    )
    said = capsys.readouterr().out
    assert said.count("rewards have an unusual scale: root mean square") == 1
    assert f"footlight doctor {tmp_path / 'run'}" in said


def test_healthy_run_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    footlight.train("a2c", "CartPole-v1", run_dir=tmp_path / "run", **GIVEN)
    assert "footlight doctor" not in capsys.readouterr().out
