"""Runs that end early: at a return, after so many episodes, without improvement."""

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import footlight
from footlight.errors import UserError
from footlight.training.stopping import judged_by

SMALL: dict[str, Any] = {
    "preset": False, "hidden_sizes": (4,), "compile": "off", "quiet": True, "probe": "off",
    "eval_episodes": 1, "n_steps": 5, "seed": 3,
}  # fmt: skip


class Growing(gymnasium.Env[Any, Any]):
    """The n-th episode of an instance has three steps, and the return n."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    episode = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode += 1
        self.time = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        info = {"is_success": self.episode % 2 == 0, "goal": {"x": self.episode}, "note": "odd"}
        ends = self.time == 3
        return np.zeros(2, np.float32), self.episode * float(ends), ends, False, info


def train(folder: Path, **values: Any) -> dict[str, Any]:
    given = {"steps": 300, **SMALL, **values}
    run = footlight.train("a2c", Growing, run_dir=folder, **given)
    assert run.result is not None
    return run.result


def test_run_ends_at_the_mean_return_of_a_full_window(tmp_path: Path) -> None:
    result = train(tmp_path / "run", stop_at_return=4.5, stop_window=4, eval_every=0)
    assert result["steps"] == 3 * 6  # the returns 3, 4, 5, 6 have the mean 4.5
    assert result["status"] == "stopped"
    assert result["stop_reason"] == (
        "the mean return of the last 4 training episodes is 4.5, at least 4.5"
    )


def test_by_default_the_window_has_a_hundred_episodes(tmp_path: Path) -> None:
    assert train(tmp_path / "run", stop_at_return=5.0, eval_every=0)["status"] == "finished"


def test_run_ends_at_the_return_of_an_evaluation(tmp_path: Path) -> None:
    given = {"eval_every": 30, "stop_at_return": 3.0, "stop_on": "evaluation"}
    result = train(tmp_path / "run", **given)
    log = (tmp_path / "run" / "evaluations.jsonl").read_text().splitlines()
    *before, last = (json.loads(line)["mean_return"] for line in log)
    assert max(before) < 3 <= last
    assert result["steps"] == 30 * len(log)
    assert f"of the last 1 evaluation is {last:g}, at least 3" in result["stop_reason"]


@pytest.mark.parametrize(
    "how",
    [
        {"episodes": 8},  # at a step without an evaluation, whose steps would be too many
        {"stop_at_return": 3.0, "stop_on": "evaluation"},  # after one of 5 episodes at this step
    ],
)
def test_run_that_ends_early_has_the_final_evaluation_of_any_run(
    how: dict[str, Any], tmp_path: Path
) -> None:
    result = train(tmp_path / "run", **how, **{"eval_episodes": None})
    assert len(result["final_evaluation"]["returns"]) == 20
    assert result["final_evaluation"]["step"] == result["steps"] < 300
    log = (tmp_path / "run" / "evaluations.jsonl").read_text().splitlines()
    assert [len(json.loads(line)["returns"]) for line in log][-1] == 20
    footlight.resume(tmp_path / "run", environment=Growing, episodes=8, quiet=True)
    again = (tmp_path / "run" / "evaluations.jsonl").read_text().splitlines()
    assert again[: len(log)] == log


def test_run_whose_time_is_up_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = train(tmp_path / "run", steps=10**7, max_time=0.5, quiet=False)
    assert result["stop_reason"] == "the 0.5 seconds of max_time are over"
    assert result["final_evaluation"] is None
    assert "stopped: the 0.5 seconds of max_time are over" in capsys.readouterr().out


def test_window_is_the_same_after_a_resume(tmp_path: Path) -> None:
    given = {"stop_at_return": 4.5, "stop_window": 4, "eval_every": 0}
    train(tmp_path / "run", episodes=5, **given)
    run = footlight.resume(tmp_path / "run", environment=Growing, episodes=50, quiet=True)
    # Its instance begins again at 1 and reruns an episode of no steps: the returns are 3, 4, 5 and
    # then 1, 2, ... so that the window reaches the mean later.
    assert run.result is not None
    log = (tmp_path / "run" / "episodes.jsonl").read_text().splitlines()
    returns = [json.loads(line)["return"] for line in log]
    assert np.mean(returns[-4:]) >= 4.5
    windows = [np.mean(returns[i : i + 4]) for i in range(len(returns) - 4)]
    assert max(windows) < 4.5


def test_run_ends_after_its_episodes(tmp_path: Path) -> None:
    result = train(tmp_path / "run", episodes=7, eval_every=0)
    assert (result["steps"], result["stop_reason"]) == (21, "7 episodes have ended")


def test_run_ends_after_evaluations_without_improvement(tmp_path: Path) -> None:
    class Constant(Growing):
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            observation, reward, *rest = super().step(action)
            return observation, float(reward > 0), *rest  # type: ignore[return-value]

    run = footlight.train(
        "a2c", Constant, steps=300, run_dir=tmp_path / "run", eval_every=20, stop_patience=3,
        **SMALL,
    )  # fmt: skip
    assert run.result is not None
    assert run.result["steps"] == 80  # the first is the best, the next three are not better
    assert run.result["stop_reason"] == (
        "no evaluation has been better than 1 (step 20) for 3 evaluations"
    )


def test_infos_of_episodes_are_logged_with_their_means(tmp_path: Path) -> None:
    keys = ("is_success", "goal.x", "note", "absent")
    train(tmp_path / "run", log_info=keys, episodes=6, eval_every=0)
    episodes = (tmp_path / "run" / "episodes.jsonl").read_text().splitlines()
    assert [json.loads(line)["info"] for line in episodes] == [
        {"is_success": number % 2 == 0, "goal.x": number, "note": "odd"} for number in range(1, 7)
    ]
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert (row["is_success"], row["goal.x"]) == (0.5, 3.5)
    assert not {"note", "absent"} & row.keys()


def test_missing_key_is_reported_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tmp_path / "run", log_info=("absent",), episodes=6, quiet=False)
    said = [line for line in capsys.readouterr().out.splitlines() if "log_info" in line]
    assert said == [
        "log_info: the info of an episode has no absent - it has is_success, goal, note"
    ]


def test_key_of_the_training_is_refused_before_anything_is_created(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'entropy' is a name of the training's own log"):
        train(tmp_path / "run", log_info=("entropy",))
    assert not (tmp_path / "run").exists()


def test_evaluations_can_have_an_environment_of_their_own(tmp_path: Path) -> None:
    class Evaluated(Growing):
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            observation, reward, *rest = super().step(action)
            return observation, 100 * reward, *rest  # type: ignore[return-value]

    result = train(tmp_path / "run", eval_environment=Evaluated, eval_every=0, episodes=4)
    assert result["final_evaluation"]["returns"] == [100.0]
    with pytest.raises(UserError, match="pass it as eval_environment"):
        footlight.resume(tmp_path / "run", environment=Growing, quiet=True)
    run = footlight.resume(
        tmp_path / "run", environment=Growing, eval_environment=Evaluated, quiet=True, episodes=9
    )
    assert run.result is not None
    assert run.result["final_evaluation"]["returns"] == [100.0]


def test_evaluation_environment_has_to_fit(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="eval_environment Pendulum-v1 does not fit"):
        train(tmp_path / "run", eval_environment="Pendulum-v1")
    with pytest.raises(UserError, match="nothing would be evaluated in it"):
        train(tmp_path / "run", eval_environment=Growing, eval_episodes=0)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("given", [{"stop_window": 5}, {"stop_on": "evaluation"}])
def test_options_of_a_target_without_one_are_refused(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"needs stop_at_return - .* --stop-at-return R"):
        train(tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_judge_ends_a_run_and_leaves_its_own_reasons_alone(tmp_path: Path) -> None:
    seen: list[int] = []

    def judge(step: int, mean_return: float) -> str | None:
        seen.append(step)
        return "pruned: enough" if step == 40 else None

    common: dict[str, Any] = {"steps": 100, "eval_every": 20, "eval_episodes": 1}
    with judged_by(judge):
        assert train(tmp_path / "a", **common)["stop_reason"] == "pruned: enough"
    assert seen == [20, 40]
    with judged_by(lambda step, mean_return: None):
        result = train(tmp_path / "b", stop_at_return=-1e9, stop_on="evaluation", **common)
    assert result["steps"] == 20
    assert "at least" in result["stop_reason"]
    assert "stop_reason" not in train(tmp_path / "c", **common)
