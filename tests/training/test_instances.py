"""Evaluations and videos use the training environment, or there are none; announced steps."""

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faulty
import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box
from gymnasium.wrappers import (
    DelayObservation,
    FrameStackObservation,
    NormalizeObservation,
    NormalizeReward,
    RecordEpisodeStatistics,
    TransformReward,
    vector,
)

import footlight
from footlight.environments import determinism
from footlight.environments.running_statistics import read_statistics, statistics_of
from footlight.errors import UserError
from footlight.storage import checkpoint

FAST: dict[str, Any] = {
    "steps": 60, "hidden_sizes": (8,), "learning_starts": 20, "batch_size": 8,
    "buffer_size": 100, "compile": "off", "threads": 1, "eval_episodes": 1, "eval_every": 0,
}  # fmt: skip


def trained(source: Any, folder: Path, **more: Any) -> footlight.Run:
    return footlight.train("sac", source, run_dir=folder / "run", **FAST | more)


def config(run: footlight.Run) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run.folder / "config.json").read_text())
    return content


def test_no_evaluations_if_the_copy_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env: Any = gymnasium.make("Pendulum-v1")
    env.unwrapped.g = 3.0
    with pytest.raises(
        UserError, match="videos cannot be recorded: a copy of the given object differs from it"
    ):
        trained(env, tmp_path, video_every=30, quiet=True)
    run = trained(env, tmp_path)
    reason = (
        "a copy of the given object differs from it: with the same seed and actions the "
        "observation differs"
    )
    assert f"no evaluations, no videos: {reason}" in capsys.readouterr().out
    assert run.result is not None
    assert run.result["final_evaluation"] is None
    assert config(run)["no_evaluations"] == config(run)["resume"] == reason
    for use in (run.evaluate, run.make_env):
        with pytest.raises(UserError, match=re.escape(reason)):
            use()
    other = footlight.Run(run.folder, environment="Pendulum-v1")  # which the user asks for by name
    assert other.make_env().unwrapped.g == 10.0  # type: ignore[attr-defined]


def test_wrappers_of_a_vector_environment_are_in_the_evaluation(tmp_path: Path) -> None:
    wide = Box(-1e3, 1e3, (3,), np.float32)
    together = gymnasium.make_vec("Pendulum-v1", 2, vectorization_mode="sync")
    run = trained(
        vector.TransformObservation(together, lambda o: o * 100, single_observation_space=wide),
        tmp_path,
        quiet=True,
    )
    assert config(run)["no_evaluations"] is None
    assert run.make_env().observation_space == wide
    assert abs(run.make_env().reset(seed=0)[0]).max() > 50


def test_evaluations_use_the_training_statistics_frozen(tmp_path: Path) -> None:
    run = trained(lambda: NormalizeObservation(faulty.Walk()), tmp_path, eval_every=20, quiet=True)
    arrays = checkpoint.read_arrays(checkpoint.find(run.folder), "environments")
    saved = statistics_of(arrays, 0)
    assert saved["0.obs_rms.count"] == pytest.approx(
        60 + 60 // faulty.LENGTH + 1, rel=1e-5
    )  # steps and resets of the training alone
    env = run.make_env()
    first, _ = env.reset(seed=0)
    raw, _ = faulty.Walk().reset(seed=0)
    expected = (raw - saved["0.obs_rms.mean"]) / np.sqrt(saved["0.obs_rms.var"] + 1e-8)
    np.testing.assert_allclose(first, expected, rtol=1e-5)
    for name, array in read_statistics(env).items():
        np.testing.assert_array_equal(array, saved[name])
    assert run.evaluate(2).returns == run.evaluate(2).returns


def _normalized() -> Any:
    return NormalizeReward(NormalizeObservation(faulty.Walk()))


NORMALIZED: dict[str, Callable[[], Any]] = {
    "normalized": _normalized,
    # These remember observations and rewards that were normalized earlier in the episode
    "stacked": lambda: FrameStackObservation(_normalized(), 3),
    "delayed": lambda: DelayObservation(_normalized(), 2),
    "recorded": lambda: RecordEpisodeStatistics(_normalized()),
}


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("kind", NORMALIZED)
def test_run_with_running_statistics_is_resumed_exactly(
    kind: str, vectorization: str, tmp_path: Path
) -> None:
    source = NORMALIZED[kind]
    settings: dict[str, Any] = {"quiet": True, "eval_episodes": 0, "num_envs": 2}
    settings["vectorization"] = vectorization
    settings["log_info"] = ("episode.r",) if kind == "recorded" else ()
    straight = trained(source, tmp_path / "straight", **settings | {"steps": 74})
    run = trained(source, tmp_path / "resumed", **settings | {"steps": 34})
    footlight.resume(run.folder, environment=source, steps=74, quiet=True)
    assert config(run)["resume"] == "exact"
    for group in ("policy", "environments"):
        one, other = (
            checkpoint.read_arrays(checkpoint.find(each.folder), group) for each in (straight, run)
        )
        assert one.keys() == other.keys()
        for name, array in one.items():
            np.testing.assert_array_equal(other[name], array, err_msg=name)
    episodes = [(each.folder / "episodes.jsonl").read_text() for each in (straight, run)]
    assert episodes[0] == episodes[1]


def test_reward_wrappers_are_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(lambda: TransformReward(faulty.Walk(), lambda reward: 0.01 * reward), tmp_path)
    assert config(run)["returns_of"] == "TransformReward"
    assert (
        "returns are sums of the rewards as modified by TransformReward, in training and evaluation"
        in capsys.readouterr().out
    )


class Level(faulty.Walk):
    made = 0

    def __init__(self) -> None:
        Level.made += 1
        self.level = Level.made

    def observe(self) -> Any:
        return np.array([self.position, self.level], np.float32)


def test_no_evaluations_if_instances_of_a_function_differ(tmp_path: Path) -> None:
    run = trained(Level, tmp_path, quiet=True)
    reason = "two instances of the environment differ at step 0"
    assert config(run)["no_evaluations"].startswith(reason)
    with pytest.raises(UserError, match=reason):
        run.evaluate(1)
    assert footlight.Run(run.folder, environment=faulty.Walk).evaluate(1).lengths == (
        faulty.LENGTH,
    )


class Growing(faulty.Walk):
    made = 0

    def __init__(self) -> None:
        Growing.made += 1
        size = 2 if Growing.made <= 3 else 3  # the training's, and two of the probe
        self.observation_space = Box(-np.inf, np.inf, (size,), np.float32)

    def observe(self) -> Any:
        return np.zeros(self.observation_space.shape, np.float32)


def test_spaces_are_compared_before_the_first_evaluation(tmp_path: Path) -> None:
    run = trained(Growing, tmp_path, quiet=True)
    assert re.search(
        r"other spaces than the training's: observations are Box.*\(2,\).*\(3,\)",
        config(run)["no_evaluations"],
    )


class OnePort(faulty.Walk):
    taken = False

    def __init__(self) -> None:
        if OnePort.taken:
            raise RuntimeError("worker number 0 is still in use")
        OnePort.taken = True

    def close(self) -> None:
        OnePort.taken = False


def test_refused_second_instance_is_a_user_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnePort, "taken", False)
    message = (
        "evaluations need a second environment, and OnePort failed to create an environment - "
        r"RuntimeError: worker number 0 is still in use \(test_instances\.py, line \d+\)"
    )
    with pytest.raises(UserError, match=f"{message} - eval_episodes 0 leaves them out"):
        trained(OnePort, tmp_path)
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(OnePort, "taken", False)
    run = trained(OnePort, tmp_path, eval_episodes=0, quiet=True)
    assert config(run)["resume"].startswith(
        "unknown: a second instance cannot be created for the probe (OnePort failed to create"
    )


class Counted(faulty.Walk):
    made = moves = 0

    def __init__(self) -> None:
        Counted.made += 1

    def step(self, action: Any) -> Any:
        Counted.moves += 1
        return super().step(action)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[Counted]:
    monkeypatch.setattr(Counted, "made", 0)
    monkeypatch.setattr(Counted, "moves", 0)
    return Counted


def test_probe_off_makes_and_steps_nothing(
    counted: type[Counted], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(counted, tmp_path, eval_episodes=0, probe="off")
    assert (counted.made, counted.moves) == (1, 60)
    assert config(run)["resume"] == "unknown: the start-up probe was left out (probe off)"
    printed = capsys.readouterr().out
    assert "whether it resumes exactly is unknown" in printed
    assert "random steps" not in printed


def test_probe_is_announced_before_the_first_step(
    counted: type[Counted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves: list[int] = []
    monkeypatch.setattr(
        footlight.instruments.progress.Display,
        "notify",
        lambda display, text: moves.append(counted.moves),
    )
    trained(counted, tmp_path, eval_episodes=0)
    assert moves[0] == 0
    assert counted.moves == 60 + determinism.ALL_STEPS


def test_probe_off_does_not_step_a_given_object(tmp_path: Path) -> None:
    run = trained(gymnasium.make("Pendulum-v1"), tmp_path, probe="off", quiet=True)
    assert "(probe off)" in config(run)["no_evaluations"]
    for use in (run.evaluate, run.make_env):
        with pytest.raises(
            UserError,
            match=r"was not compared with a copy \(probe off\) - use .*environment=function",
        ):
            use()


def test_announced_steps_are_an_upper_bound(
    counted: type[Counted], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Level(Counted):
        def observe(self) -> Any:
            return np.array([self.position, self.level], np.float32)

        def __init__(self) -> None:
            super().__init__()
            self.level = Counted.made

    trained(Level, tmp_path)
    said = (
        "up to 350 random steps in 2 further instances of Level (550 if episodes differ), at most "
        "10 s; probe off leaves it out"
    )
    assert said in capsys.readouterr().out
    assert counted.moves == 60 + 400


def test_steps_in_a_given_object_and_its_copies_are_announced(
    counted: type[Counted],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(
        gymnasium.registry, "Counted-v0", EnvSpec("Counted-v0", entry_point=counted)
    )
    env: Any = gymnasium.make("Counted-v0", disable_env_checker=True)
    run = trained(env, tmp_path, eval_episodes=0)
    said = (
        "up to 100 random steps in Counted-v0 itself (200 if a copy differs) and {}, at most {} s"
    )
    assert (
        f"start-up probe: {said.format('650 in copies of it', 20)}; probe off leaves it out"
        in capsys.readouterr().out
    )
    assert counted.moves == 60 + 100 + 100 + determinism.ALL_STEPS
    run.make_env()
    assert f"comparison with a copy: {said.format('100 in a copy', 15)}" in capsys.readouterr().err
    assert counted.moves == 60 + 2 * (100 + 100) + determinism.ALL_STEPS


# Resumed in another environment


class Drifting(faulty.Walk):
    def step(self, action: Any) -> Any:
        observation, *others = super().step(action)
        self.position += 0.1
        return (observation, *others)


class Wider(faulty.Walk):
    action_space = Box(-2, 2, (1,), np.float32)


class Doubled(faulty.Walk):
    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, 2 * reward, *rest


def test_resume_with_other_rewards_is_refused(tmp_path: Path) -> None:
    run = trained(faulty.Walk, tmp_path, steps=58, quiet=True)
    with pytest.raises(UserError, match="Doubled is not the environment Walk"):
        footlight.resume(run.folder, environment=Doubled, steps=80, quiet=True)


def test_resume_in_another_environment_is_refused(tmp_path: Path) -> None:
    run = trained(faulty.Walk, tmp_path, steps=58, quiet=True)
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    with pytest.raises(
        UserError,
        match="Drifting is not the environment Walk that the run was trained in - repeating the "
        "last episode",
    ):
        footlight.resume(run.folder, environment=Drifting, steps=80, quiet=True)
    with pytest.raises(UserError, match="the environment Wider has other spaces than Walk"):
        footlight.resume(run.folder, environment=Wider, steps=80, quiet=True)
    kept = {path: path.read_bytes() for path in before}
    assert kept == before


def test_resume_in_the_same_environment_of_another_function(tmp_path: Path) -> None:
    run = trained(faulty.Walk, tmp_path, steps=58, quiet=True)
    footlight.resume(run.folder, environment=lambda: faulty.Walk(), steps=62, quiet=True)
    assert run.result is not None
    assert run.result["steps"] == 62


def test_run_config_says_whether_there_are_evaluations_after_a_resume(tmp_path: Path) -> None:
    run = trained(gymnasium.make("Pendulum-v1"), tmp_path, steps=30, probe="off", quiet=True)
    assert config(run)["no_evaluations"] is not None
    footlight.resume(
        run.folder, environment=lambda: gymnasium.make("Pendulum-v1"), steps=40, quiet=True
    )
    assert run.result is not None
    assert run.result["final_evaluation"] is not None
    assert config(run)["no_evaluations"] is None
    footlight.resume(run.folder, environment=gymnasium.make("Pendulum-v1"), steps=50, quiet=True)
    assert run.result["final_evaluation"] is None
    assert "(probe off)" in config(run)["no_evaluations"] == run.config["no_evaluations"]


def test_unrestored_environment_is_recorded_in_an_inexact_run(
    tmp_path: Path,
) -> None:
    run = trained(faulty.Walk, tmp_path, steps=58, probe="off", quiet=True)
    other = type("Walk", (Drifting,), {"__qualname__": "Walk"})
    footlight.resume(run.folder, environment=other, steps=60, quiet=True)
    assert re.search(
        r"^unknown: .*; an environment could not be restored to its state at step 58",
        config(run)["resume"],
    )


class Pressing(faulty.Walk):
    """Somebody presses Ctrl-C while it is stepped."""

    pressed = False

    def step(self, action: Any) -> Any:
        if Pressing.pressed:
            signal.raise_signal(signal.SIGINT)
        return super().step(action)


def test_ctrl_c_during_a_restoration_leaves_the_run_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(Pressing, tmp_path, steps=58, eval_episodes=0, quiet=True)
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    monkeypatch.setattr(Pressing, "pressed", True)
    with pytest.raises(KeyboardInterrupt):
        footlight.resume(run.folder, environment=Pressing, steps=80, quiet=True)
    assert {path: path.read_bytes() for path in before} == before
    monkeypatch.setattr(Pressing, "pressed", False)
    footlight.resume(run.folder, environment=Pressing, steps=60, quiet=True)
