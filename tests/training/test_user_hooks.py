"""Hooks of the user's own: what they see and log, how they stop a run, and how they resume."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import footlight
from footlight.errors import UserError
from footlight.storage import checkpoint
from footlight.training.hook_calls import HookFailed
from footlight.training.hook_context import HookContext
from footlight.training.user_hooks import UserHooks, on_episode, on_evaluation

SMALL: dict[str, Any] = {
    "preset": False, "hidden_sizes": (4,), "compile": "off", "quiet": True, "probe": "off",
    "eval_episodes": 1, "eval_every": 0, "n_steps": 5,
}  # fmt: skip


def train(folder: Path, hooks: Any, steps: int = 200, **values: Any) -> footlight.Run:
    return footlight.train(
        "a2c", "CartPole-v1", steps=steps, seed=3, run_dir=folder, hooks=hooks, **SMALL | values
    )


def rows(folder: Path, log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{log}.jsonl").read_text().splitlines()]


def require_equal_states(one: footlight.Run, other: footlight.Run) -> None:
    for group in ("policy", "agent", "environments"):
        first, second = (
            checkpoint.read_arrays(checkpoint.find(run.folder), group) for run in (one, other)
        )
        assert first.keys() == second.keys()
        for name in first:
            assert np.array_equal(first[name], second[name]), name


class Counter:
    """Logs how often it was called; with a state."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.count, self.stop_at = 0, stop_at

    def __call__(self, training: HookContext) -> None:
        self.count += 1
        training.log(count=self.count)
        if training.step == self.stop_at:
            training.stop("that was enough")

    def state(self) -> dict[str, Any]:
        return {"count": self.count}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.count = state["count"]


def test_hooks_see_step_metrics_episodes_and_evaluations(tmp_path: Path) -> None:
    seen: dict[str, list[Any]] = {"steps": [], "episodes": [], "evaluations": [], "updates": []}

    def at_every_step(training: HookContext) -> None:
        seen["steps"].append(training.step)
        if training.metrics:
            seen["updates"].append((training.step, set(training.metrics)))
        assert training.total_steps == 200
        transition = training.transition
        assert transition is not None
        with pytest.raises(ValueError, match="read-only"):
            transition.reward[:] = 0

    hooks = [
        at_every_step,
        on_episode(lambda training, episode: seen["episodes"].append((training.step, episode))),
        on_evaluation(lambda training, found: seen["evaluations"].append((training.step, found))),
    ]
    run = train(tmp_path / "run", hooks, eval_every=100)
    assert seen["steps"] == list(range(1, 201))
    assert [step for step, _ in seen["updates"]] == list(range(5, 201, 5))
    assert "policy_loss" in seen["updates"][0][1]
    logged = rows(run.folder, "episodes")
    assert logged == [
        {
            "step": step, "env": 0, "return": episode.total, "length": episode.length,
            "terminated": True,
        }
        for step, episode in seen["episodes"]
    ]  # fmt: skip
    assert [step for step, _ in seen["evaluations"]] == [100, 200]
    assert [found.mean_return for _, found in seen["evaluations"]] == [
        row["mean_return"] for row in rows(run.folder, "evaluations")
    ]


def test_numbers_of_hooks_are_logged_at_their_step(tmp_path: Path) -> None:
    notices: list[str] = []

    def log(training: HookContext) -> None:
        flag = np.bool_(True)
        training.log(half=0.5, whole=np.int64(2), tensor=torch.tensor([3.0]), nothing=np.nan)
        training.log(flag=flag)

    run = train(tmp_path / "run", [footlight.every(100, log)])
    expected = {"half": 0.5, "whole": 2.0, "tensor": 3.0, "flag": 1.0}
    own = [row for row in rows(run.folder, "metrics") if "half" in row]
    assert [{**row, "time_s": 0} for row in own] == [
        {"step": step, "update": step // 5, "time_s": 0, **expected} for step in (100, 200)
    ]
    assert not notices


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"policy_loss": 1.0}, "'policy_loss' is a name of the training's own log"),
        ({"step": 1.0}, "'step' is a name of the training's own log"),
        ({"mine": "text"}, "mine='text' cannot be logged - give a number"),
        ({"mine": np.zeros(3)}, "cannot be logged"),
    ],
)
def test_only_numbers_under_free_names_can_be_logged(
    values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        train(tmp_path / "run", [lambda training: training.log(**values)])


def test_hook_can_stop_the_run_with_a_reason(tmp_path: Path) -> None:
    run = train(tmp_path / "run", [Counter(stop_at=70)])
    result = run.result
    assert result is not None
    assert (result["status"], result["stop_reason"]) == ("stopped", "that was enough")
    assert result["steps"] == 70
    assert result["final_evaluation"]["step"] == 70
    result = footlight.resume(run.folder, hooks=[Counter()], quiet=True).result
    assert result is not None
    assert (result["status"], result["steps"]) == ("finished", 200)
    assert "stop_reason" not in result


def test_stopped_and_resumed_equals_straight_hooks_included(tmp_path: Path) -> None:
    straight = train(tmp_path / "straight", [footlight.every(30, Counter()), Counter()])
    stopped = train(tmp_path / "two", [footlight.every(30, Counter()), Counter(stop_at=80)])
    resumed = footlight.resume(
        stopped.folder, hooks=[footlight.every(30, Counter()), Counter()], quiet=True
    )
    assert resumed.config["resume"] == straight.config["resume"]
    require_equal_states(straight, resumed)
    logs = [
        [{**row, "time_s": 0} for row in rows(run.folder, "metrics") if "count" in row]
        for run in (straight, resumed)
    ]
    assert logs[0] == logs[1]
    assert len(logs[0]) == 200


def test_other_hooks_on_resume_are_said(tmp_path: Path) -> None:
    run = train(tmp_path / "run", [Counter(stop_at=50)])
    resumed = footlight.resume(run.folder, quiet=True)
    assert "resumed with no hooks instead of Counter" in resumed.config["resume"]


@pytest.mark.parametrize("error", [ZeroDivisionError("at 0"), SystemExit(3), KeyboardInterrupt()])
def test_failing_hook_ends_the_run_named_and_saved(error: BaseException, tmp_path: Path) -> None:
    def fails(training: HookContext) -> None:
        if training.step == 120:
            raise error

    with pytest.raises(HookFailed, match=r"the hook fails failed at step 120: (Zero|System|Key)"):
        train(tmp_path / "run", [fails])
    assert checkpoint.read_manifest(checkpoint.find(tmp_path / "run"))["step"] == 120
    result = footlight.resume(tmp_path / "run", hooks=[Counter()], quiet=True).result
    assert result is not None
    assert result["status"] == "finished"


@pytest.mark.parametrize(
    "misuse",
    [
        lambda agent: agent.act(np.zeros(4, np.float32), explore=True),
        lambda agent: agent.observe(np.zeros(4), 0, 1.0, np.zeros(4), False, False),
    ],
)
def test_hook_must_not_explore_or_learn(misuse: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has used the agent to explore or to learn"):
        train(tmp_path / "run", [footlight.every(50, lambda training: misuse(training.agent))])


def test_a_hook_that_looks_changes_no_bit(tmp_path: Path) -> None:
    def looks(training: HookContext) -> None:
        training.agent.policy.act(np.zeros(4, np.float32))
        torch.rand(3)
        np.random.rand()
        torch.set_num_threads(2)
        training.metrics.clear()
        training.episodes.clear()

    plain, looked = train(tmp_path / "plain", []), train(tmp_path / "looked", [looks])
    require_equal_states(plain, looked)
    assert rows(plain.folder, "episodes") == rows(looked.folder, "episodes")


def test_requests_of_a_hook_are_fulfilled_after_it(tmp_path: Path) -> None:
    evaluated: list[int] = []

    def asks(training: HookContext) -> None:
        training.request_evaluation()
        training.request_checkpoint()

    hooks = [
        footlight.every(60, asks),
        on_evaluation(lambda training, found: evaluated.append(training.step)),
    ]
    run = train(tmp_path / "run", hooks, checkpoint_every=0, keep_checkpoints=10)
    assert evaluated == [60, 120, 180, 200]
    assert [row["step"] for row in rows(run.folder, "evaluations")] == evaluated
    saved = {path.name for path in (run.folder / "checkpoints").glob("step-*")}
    assert {f"step-{step:09d}" for step in (60, 120, 180)} <= saved


def test_video_needs_a_run_that_records_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="set video_every, too"):
        train(tmp_path / "run", [lambda training: training.request_video()])


def test_what_is_no_hook_is_refused_before_anything_is_created(tmp_path: Path) -> None:
    for hooks, message in (
        (3, "hooks is 3"),
        ([3], "3 is not a hook"),
        ("ab", "hook is 'ab'"),
        ([on_episode(footlight.every(5, print))], r"write every\(interval, on_episode\(function"),
    ):
        with pytest.raises(UserError, match=message):
            train(tmp_path / "run", hooks)
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_called_is_refused_when_the_hook_is_made() -> None:
    for made, message in (
        (on_episode, r"on_episode was given 5 - .* two arguments, \(training, episode\)"),
        (on_evaluation, r"on_evaluation was given 5 - .* \(training, evaluation\)"),
        (lambda hook: footlight.every(10, hook), "5 is not a hook - give a function"),
    ):
        with pytest.raises(UserError, match=message):
            made(5)  # type: ignore[operator]


@pytest.mark.parametrize("state", [[1], {"x": object()}, {"x": float("nan")}])
def test_state_that_is_not_json_names_the_hook(state: Any, tmp_path: Path) -> None:
    class Odd(Counter):
        def state(self) -> Any:
            return state

    with pytest.raises(UserError, match="the state of the hook Odd cannot be saved"):
        train(tmp_path / "run", [Odd()])


def test_hooks_without_state_are_named() -> None:
    def plain(training: HookContext) -> None: ...

    assert UserHooks([]).notices == []
    assert UserHooks([Counter()]).notices == ["hooks: Counter"]
    first, second = UserHooks([Counter(), footlight.every(5, plain)]).notices
    assert first == "hooks: Counter, plain"
    assert second.startswith("plain has no state() and restore()")


def test_evaluation_that_is_requested_is_made_also_where_automatic_ones_are_skipped(
    tmp_path: Path,
) -> None:
    def asks(training: HookContext) -> None:
        if training.step in (7, 20):
            training.request_evaluation()

    run = train(tmp_path / "run", [asks], eval_every=None, eval_episodes=None)
    assert {7, 20} <= {row["step"] for row in rows(run.folder, "evaluations")}
    with pytest.raises(UserError, match="an evaluation was requested - the run makes none"):
        train(tmp_path / "none", [asks], eval_episodes=0)


def test_hooks_that_no_evaluation_will_call_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def best(training: HookContext, evaluation: Any) -> None: ...

    train(tmp_path / "run", [on_evaluation(best)], eval_episodes=0, quiet=False, steps=10)
    assert "on_evaluation: best is never called: the run makes no evaluations" in (
        capsys.readouterr().out
    )
