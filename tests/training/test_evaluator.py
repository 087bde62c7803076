"""Evaluations of a run that are interrupted, or whose environment fails."""

import json
import signal
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from small_runs import SMALL

import footlight
from footlight.environments.serial import SerialEnvironments
from footlight.errors import EnvironmentFault


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Interrupting(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Ctrl-C in the middle of the evaluation of this number, counted from 1."""

    evaluations, at = 0, 0

    def reset(self, **given: Any) -> Any:
        type(self).evaluations += 1
        return super().reset(**given)

    def step(self, action: Any) -> Any:
        if type(self).evaluations == type(self).at:
            signal.raise_signal(signal.SIGINT)
            type(self).at = 0
        return super().step(action)


@pytest.mark.parametrize("at", [2, 3])
def test_ctrl_c_abandons_an_evaluation_which_resume_repeats(
    at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields: dict[str, Any] = {
        **SMALL,
        "preset": False,
        "steps": 90,
        "eval_every": 30,
        "eval_episodes": 1,
        "n_steps": 10,
    }
    seen: dict[str, list[int]] = {"straight": [], "run": []}

    def hooks(name: str) -> list[Any]:
        return [footlight.on_evaluation(lambda training, found: seen[name].append(training.step))]

    footlight.train("a2c", "CartPole-v1", run_dir="straight", hooks=hooks("straight"), **fields)

    def wrapped(envs: list[Any], *given: Any) -> SerialEnvironments:
        return SerialEnvironments([Interrupting(env) for env in envs], *given)

    monkeypatch.setattr("footlight.training.instances.SerialEnvironments", wrapped)
    monkeypatch.setattr(Interrupting, "evaluations", 0)
    monkeypatch.setattr(Interrupting, "at", 2 * at - 1)  # it begins an episode after each one, too
    with pytest.raises(KeyboardInterrupt):
        footlight.train("a2c", "CartPole-v1", run_dir="run", hooks=hooks("run"), **fields)
    result = json.loads(Path("run/result.json").read_text())
    assert (result["status"], result["steps"], result["final_evaluation"]) == (
        "stopped",
        30 * at,
        None,
    )
    footlight.resume("run", quiet=True, hooks=hooks("run"))
    assert seen["run"] == seen["straight"] == [30, 60, 90]
    assert json.loads(Path("run/result.json").read_text())["status"] == "finished"
    for log in ("evaluations.jsonl", "diagnostics.jsonl"):
        assert Path("run", log).read_text() == Path("straight", log).read_text()
    assert "rollout_is_current" in Path("run/diagnostics.jsonl").read_text()


class Fragile(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Breaks at its second reset."""

    resets = 0

    def reset(self, **given: Any) -> Any:
        type(self).resets += 1
        if type(self).resets == 2:
            raise RuntimeError("cracked")
        return super().reset(**given)


def test_evaluation_that_fails_is_retried_once_on_resume(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrapped(envs: list[Any], *given: Any) -> SerialEnvironments:
        return SerialEnvironments([Fragile(env) for env in envs], *given)

    monkeypatch.setattr("footlight.training.instances.SerialEnvironments", wrapped)
    monkeypatch.setattr(Fragile, "resets", 0)
    fields: dict[str, Any] = {
        **SMALL,
        "preset": False,
        "steps": 60,
        "eval_every": 20,
        "n_steps": 10,
    }
    with pytest.raises(EnvironmentFault, match="cracked"):
        footlight.train("a2c", "CartPole-v1", run_dir="run", **fields)
    footlight.resume("run", quiet=True)
    assert json.loads(Path("run/result.json").read_text())["status"] == "finished"


class FailingOnce(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Fails in its first so many evaluations."""

    left = 0

    def step(self, action: Any) -> Any:
        if type(self).left:
            type(self).left -= 1
            raise RuntimeError("solver did not converge")
        return super().step(action)


@pytest.mark.parametrize(("failures", "evaluations"), [(0, 1), (1, 1), (2, 1), (3, 0)])
def test_evaluation_begins_again_after_a_fault_that_is_survived(
    failures: int, evaluations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrapped(envs: list[Any], *given: Any) -> SerialEnvironments:
        return SerialEnvironments([FailingOnce(env) for env in envs], *given)

    monkeypatch.setattr("footlight.training.instances.SerialEnvironments", wrapped)
    monkeypatch.setattr(FailingOnce, "left", failures)
    run = footlight.train(
        "a2c", "CartPole-v1", steps=30, n_steps=10, preset=False, run_dir="run",
        on_env_fault="new-episode", **SMALL,
    )  # fmt: skip
    log = run.folder / "evaluations.jsonl"
    assert len(log.read_text().splitlines() if log.exists() else []) == evaluations
    assert run.result is not None
    assert run.result["env_faults"] == failures
    assert (run.result["final_evaluation"] is not None) == (evaluations == 1)
