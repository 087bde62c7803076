"""Evaluations: how many episodes, which bounds, and what is said where one was reached."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import footlight
from footlight.cli.main import main
from footlight.config.options import Options
from footlight.environments.make import make
from footlight.training.evaluation import (
    Abandoned,
    Evaluation,
    Plan,
    episode_limit,
    evaluate,
    plan_evaluation,
)

SMALL: dict[str, Any] = {
    "hidden_sizes": (8,),
    "compile": "off",
    "quiet": True,
    "preset": False,
    "n_steps": 10,
}


class Countdown(gymnasium.Env[Any, Any]):
    """Reward 1 per step; episodes end after `length` steps."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    length: float = 7

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.clock = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        self.clock += 1
        return np.zeros(1, np.float32), 1.0, self.clock >= self.length, False, {}


class Endless(Countdown):
    length = float("inf")


class Still:
    """A policy that always takes the first choice."""

    def act(self, observation: Any, deterministic: bool = True) -> Any:
        return np.zeros(len(observation), np.int64)

    def reset(self, episode_start: Any = None) -> None:
        """There is nothing to forget."""


def run_episodes(
    source: Callable[[], Any], episodes: int, num_envs: int = 1, **given: Any
) -> Evaluation:
    return evaluate(Still(), make(source, 0, num_envs), episodes, **given)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rows(folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(folder, "evaluations.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("steps", "limit"), [(2_000, 1_000), (40_000, 2_000), (10_000_000, 50_000)]
)
def test_episodes_are_cut_off_after_a_twentieth_of_the_run(steps: int, limit: int) -> None:
    assert episode_limit(steps) == limit


def test_episode_that_is_cut_off_counts_with_its_return_so_far() -> None:
    evaluation = run_episodes(Endless, 2, limit=5)
    assert (evaluation.returns, evaluation.lengths, evaluation.unfinished) == (
        (5.0, 5.0),
        (5, 5),
        2,
    )
    assert evaluation.to_json()["unfinished"] == 2
    assert evaluation.remark(2) == "2 episodes cut off after 5 steps"
    assert (
        run_episodes(Endless, 1, limit=5).summary()
        == "5.0 ± 0.0 over 1 episode (1 episode cut off after 5 steps)"
    )
    assert run_episodes(Countdown, 2, limit=7).remark(2) == ""


@pytest.mark.parametrize(
    ("num_envs", "max_steps", "count"),
    [(1, 1, 1), (1, 14, 2), (1, 15, 3), (1, 1_000, 4), (2, 1, 2), (2, 15, 4)],
)
def test_no_episode_begins_after_max_steps(num_envs: int, max_steps: int, count: int) -> None:
    evaluation = run_episodes(Countdown, 4, num_envs, max_steps=max_steps)
    assert evaluation.lengths == (7,) * count
    assert evaluation.unfinished == 0


def test_progress_counts_completed_episodes_and_can_stop() -> None:
    seen: list[int] = []

    def progress(completed: int) -> bool:
        seen.append(completed)
        return completed < 2

    with pytest.raises(Abandoned):
        run_episodes(Countdown, 3, progress=progress)
    assert seen == [0] * 7 + [1] * 7 + [2]


def test_evaluations_take_at_most_as_many_steps_as_the_training() -> None:
    # Pendulum-v1 with its preset has episodes of 200 steps: 5 of them every 1,000 steps, not 500.
    options, evaluated, at = Options(steps=10_000), 0, []
    for step in range(500, 10_000, 500):
        if (plan := plan_evaluation(options, step, step // 200, evaluated)) is not None:
            assert plan == Plan(5, 1_000, 10_000)
            at.append(step)
            evaluated += 5 * 200
    assert at == list(range(1_000, 10_000, 1_000))
    assert plan_evaluation(options, 10_000, 50, evaluated) == Plan(20, 1_000, 10_000)


def test_evaluations_take_no_more_steps_than_the_training() -> None:
    options = Options(steps=20_000)
    assert plan_evaluation(options, 4_000, 0, 0) is None
    assert plan_evaluation(options, 4_000, 0, 0, is_requested=True) == Plan(5, 1_000, 20_000)
    assert plan_evaluation(options, 5_000, 0, 0) == Plan(5, 1_000, 20_000)


def test_numbers_of_the_user_are_followed() -> None:
    assert plan_evaluation(Options(steps=1_000, eval_every=10), 10, 0, 999) == Plan(5, 1_000, 1_000)
    assert plan_evaluation(
        Options(steps=1_000, eval_every=10, eval_episodes=30), 10, 0, 999
    ) == Plan(30, 1_000, None)
    assert plan_evaluation(Options(steps=1_000, eval_episodes=3), 1_000, 0, 0) == Plan(
        3, 1_000, None
    )
    assert plan_evaluation(Options(steps=1_000, eval_episodes=0), 1_000, 100, 0) is None


def test_evaluations_have_5_episodes_and_the_last_has_20() -> None:
    run = footlight.train("a2c", Countdown, steps=800, run_dir="run", **SMALL)
    found = rows("run")
    assert [row["step"] for row in found] == list(range(40, 801, 40))
    assert [len(row["returns"]) for row in found] == [5] * 19 + [20]
    assert run.config["eval_every"] is run.config["eval_episodes"] is None


def test_run_in_an_endless_environment_reports_unfinished_episodes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    footlight.train("a2c", Endless, steps=1_500, run_dir="run", **SMALL | {"quiet": False})
    (row,) = rows("run")
    assert (row["step"], row["lengths"], row["unfinished"]) == (1_500, [1_000, 1_000], 2)
    said = capsys.readouterr().out
    remark = (
        "2 of 20 episodes: stopped after as many steps as the run has; "
        "2 episodes cut off after 1,000 steps"
    )
    assert f"evaluation at step 1,500: {remark}" in said
    assert (
        "final evaluation 1000.0 ± 0.0 over 2 episodes (2 episodes cut off after 1,000 steps)"
        in said
    )


def test_resumed_run_makes_the_same_evaluations() -> None:
    straight = {**SMALL, "steps": 900}
    footlight.train("a2c", Countdown, run_dir="straight", **straight)
    footlight.train("a2c", Countdown, run_dir="run", **{**SMALL, "steps": 900, "max_time": 1e-9})
    assert not Path("run/evaluations.jsonl").exists()
    footlight.resume("run", environment=Countdown, max_time="none", quiet=True)
    assert rows("run") == rows("straight")


def test_evaluate_command_reports_progress_and_unfinished_episodes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("footlight.cli.commands.PROGRESS_SECONDS", 0.0)
    gymnasium.register("TestEndlessCountdown-v0", Endless)
    footlight.train(
        "a2c", "TestEndlessCountdown-v0", steps=100, eval_episodes=0, run_dir="run", **SMALL
    )
    assert main(["evaluate", "run", "--episodes", "2"]) == 0
    out, err = capsys.readouterr()
    assert err.splitlines() == ["evaluating 1/2"] * 1_000 + ["evaluating 2/2"] * 1_000
    assert (
        out.splitlines()[-1] == "mean return 1000.00 ± 0.00 over 2 episodes, deterministic "
        "(2 episodes cut off after 1,000 steps)"
    )


def test_evaluation_is_one_line() -> None:
    evaluation = Evaluation((1.0, 3.0), (5, 6), True, unfinished=1)
    text = (
        "<Evaluation: 2.0 ± 1.0 over 2 episodes (1 episode cut off after 6 steps), deterministic>"
    )
    assert repr(evaluation) == text
