"""Runs that go wrong, from Python: what is said, what is kept, and what is refused before anything is made."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

import footlight
from footlight.cli.main import main
from footlight.config.options import Options
from footlight.errors import DeviceFault, Diverged, EnvironmentFault, StorageFault, UserError
from footlight.learning.agent import Agent
from footlight.learning.compilation import CompilerMissing
from footlight.learning.learner import Learner
from footlight.runs.folder import RunFolder
from footlight.storage import checkpoint
from footlight.trees import tree_items
from tolerance import assert_close

SMALL: dict[str, Any] = {
    "hidden_sizes": (8, 8),
    "compile": "off",
    "quiet": True,
    "eval_episodes": 1,
    "eval_every": 0,
}
DDPG: dict[str, Any] = {"preset": False, "learning_starts": 20, "steps": 300, **SMALL}
SEEN, ACTED = (
    gymnasium.spaces.Box(-1, 1, (3,), np.float32),
    gymnasium.spaces.Box(-2, 2, (2,), np.float32),
)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def step_of(run_dir: str) -> int:
    return int(checkpoint.read_manifest(checkpoint.find(Path(run_dir)))["step"])


# Divergence


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("steps", [5, 400])
def test_parameters_that_are_no_numbers_are_never_saved(steps: int) -> None:
    # The loss before the step is finite, and the step is not
    with pytest.raises(
        Diverged, match=r"is not finite after update 1 (.|\n)*going back has not helped 2 times"
    ):
        footlight.train(
            "a2c",
            "Pendulum-v1",
            preset=False,
            learning_rate=1e38,
            optimizer="adam",
            steps=steps,
            run_dir="run",
            **SMALL,
        )
    assert json.loads(Path("run/result.json").read_text())["status"] == "diverged"
    arrays = checkpoint.read_arrays(checkpoint.find(Path("run")), "agent")
    assert all(np.isfinite(array).all() for array in arrays.values())


@pytest.mark.parametrize(
    ("algorithm", "fields", "compile"),
    [
        ("sac", {"learning_starts": 4, "batch_size": 4}, "off"),
        ("sac", {"learning_starts": 4, "batch_size": 4}, "on"),
        ("td3", {"learning_starts": 4, "batch_size": 4}, "off"),
        ("ddpg", {"learning_starts": 4, "batch_size": 4}, "off"),
        ("a2c", {"n_steps": 5}, "off"),
        ("a2c", {"n_steps": 5}, "on"),
        ("ppo", {"n_steps": 8, "minibatch_size": 8, "num_epochs": 1}, "off"),
        ("actor-critic", {}, "off"),
        ("stream-ac", {"normalize_observations": False, "normalize_rewards": False}, "off"),
        ("stream-ac", {"normalize_observations": False, "normalize_rewards": False}, "on"),
    ],
)
def test_a_step_along_a_gradient_that_is_not_finite_is_not_taken(
    algorithm: str, fields: dict[str, Any], compile: Any
) -> None:
    agent = Agent(algorithm, SEEN, ACTED, hidden_sizes=(8,), compile=compile, **fields)

    def go() -> None:
        draws = np.random.default_rng(0)
        for step in range(100):
            seen, following = draws.uniform(-1, 1, (2, 3)).astype(np.float32)
            acted = agent.act(seen, explore=True)
            agent.observe(seen, acted, np.inf if step == 40 else 1.0, following, False, False)

    with pytest.raises(Diverged, match=r"batch\.reward is not finite"):
        go()
    rollout = (
        "advantage",
        "value",
        "log_prob",
    )  # PPO's notes about the rollout, which the next one replaces
    learned = {
        name: np.asarray(leaf)
        for name, leaf in tree_items(agent.state).items()
        if name not in rollout
    }
    assert all(np.isfinite(leaf).all() for leaf in learned.values())


class Poisoned(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Rewards that make a critic diverge, so many times, one after each rollback."""

    times, steps = 0, 0

    def step(self, action: Any) -> Any:
        seen, reward, *rest = self.env.step(action)
        type(self).steps += 1
        poisoned = type(self).steps % 150 == 0 and type(self).times > 0
        type(self).times -= poisoned
        return seen, 3e38 if poisoned else reward, *rest


def poisoned(times: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(Poisoned, "times", times)
    monkeypatch.setattr(Poisoned, "steps", 0)
    return lambda: Poisoned(
        gymnasium.make("Pendulum-v1", max_episode_steps=13)
    )  # some end between checkpoint and divergence


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_run_that_diverges_goes_back_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "footlight.api.inexactness", lambda *given: None
    )  # its instances would count their steps, too
    settings = DDPG | {"quiet": False, "checkpoint_every": 100, "run_dir": "run"}
    run = footlight.train("ddpg", poisoned(2, monkeypatch), **settings)
    said = capsys.readouterr().out
    assert "going on from step-000000100 with other random numbers (1 of 2)" in said
    assert "(2 of 2)" in said
    assert run.result is not None
    assert (run.result["status"], run.result["steps"]) == ("finished", 300)
    manifest = checkpoint.read_manifest(checkpoint.find(Path("run")))
    assert manifest["rollbacks"] == 2
    steps = [
        json.loads(line)["step"] for line in Path("run/episodes.jsonl").read_text().splitlines()
    ]
    assert steps == sorted(set(steps))  # what was written before going back is cut off
    kept = checkpoint.read_arrays(Path("run/crash/diverged-1"), "batch")
    assert not np.isfinite(kept["batch.reward"].astype(np.float32) ** 2).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_diverges_a_third_time_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Diverged, match=r"going back has not helped 2 times"):
        footlight.train(
            "ddpg", poisoned(9, monkeypatch), checkpoint_every=100, run_dir="run", **DDPG
        )
    assert step_of("run") == 200
    assert sorted(path.name for path in Path("run/crash").iterdir()) == [
        f"diverged-{number}" for number in (1, 2, 3)
    ]
    arrays = checkpoint.read_arrays(checkpoint.find(Path("run")), "agent")
    assert all(np.isfinite(array).all() for array in arrays.values())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("damaged", [1, 9])
def test_what_diverges_goes_back_to_what_is_whole(
    damaged: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def poison(env: Poisoned, action: Any) -> Any:
        Poisoned.steps += 1
        seen, reward, *rest = env.env.step(action)
        if Poisoned.steps == 250:
            for folder in checkpoint.newest_first(Path("run"))[:damaged]:
                (folder / "agent.safetensors").write_bytes(b"")
            reward = 3e38
        return seen, reward, *rest

    source = poisoned(0, monkeypatch)
    monkeypatch.setattr(Poisoned, "step", poison)
    monkeypatch.setattr("footlight.api.inexactness", lambda *given: None)
    settings = DDPG | {
        "quiet": False,
        "checkpoint_every": 100,
        "run_dir": "run",
        "eval_episodes": 0,
    }
    if damaged == 1:
        footlight.train("ddpg", source, **settings)
        assert (
            "going on from step-000000100 with other random numbers (1 of 2)"
            in capsys.readouterr().out
        )
    else:
        with pytest.raises(Diverged, match="is not finite after update"):
            footlight.train("ddpg", source, **settings)


def test_a_run_can_be_resumed_from_before_its_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(
            "footlight.training.loop.Training.compile",
            lambda training: (_ for _ in ()).throw(KeyboardInterrupt),
        )
        with pytest.raises(KeyboardInterrupt):
            footlight.train(
                "ppo", "CartPole-v1", preset=False, steps=70, n_steps=64, run_dir="run", **SMALL
            )
    footlight.resume("run", quiet=True)
    footlight.train(
        "ppo", "CartPole-v1", preset=False, steps=70, n_steps=64, run_dir="straight", **SMALL
    )
    resumed, straight = (
        checkpoint.read_arrays(checkpoint.find(Path(name)), "agent") for name in ("run", "straight")
    )
    assert all(np.array_equal(resumed[name], array) for name, array in straight.items())


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
def test_ctrl_c_in_an_evaluation_does_not_wait_for_it_and_loses_nothing(
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
    footlight.train("a2c", "CartPole-v1", run_dir="straight", **fields)
    make = footlight.environments.make.make

    def interrupting(source: Any, seed: int, *given: Any, **named: Any) -> Any:
        return make(
            Interrupting(source) if named.get("stream") == "evaluation" else source,
            seed,
            *given,
            **named,
        )

    monkeypatch.setattr("footlight.environments.make.make", interrupting)
    monkeypatch.setattr(Interrupting, "evaluations", 0)
    monkeypatch.setattr(Interrupting, "at", 2 * at - 1)  # it begins an episode after each one, too
    with pytest.raises(KeyboardInterrupt):
        footlight.train("a2c", "CartPole-v1", run_dir="run", **fields)
    result = json.loads(Path("run/result.json").read_text())
    assert (result["status"], result["steps"], result["final_evaluation"]) == (
        "stopped",
        30 * at,
        None,
    )
    footlight.resume("run", quiet=True)
    assert json.loads(Path("run/result.json").read_text())["status"] == "finished"
    assert (
        Path("run/evaluations.jsonl").read_text() == Path("straight/evaluations.jsonl").read_text()
    )


class Fragile(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Breaks at its second reset."""

    resets = 0

    def reset(self, **given: Any) -> Any:
        type(self).resets += 1
        if type(self).resets == 2:
            raise RuntimeError("cracked")
        return super().reset(**given)


def test_a_fault_in_an_evaluation_does_not_come_back_with_every_resume(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make = footlight.environments.make.make

    def fragile(source: Any, seed: int, *given: Any, **named: Any) -> Any:
        return make(
            Fragile(source) if named.get("stream") == "evaluation" else source,
            seed,
            *given,
            **named,
        )

    monkeypatch.setattr("footlight.environments.make.make", fragile)
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


@pytest.mark.parametrize(
    ("steps", "interval"), [(10, 1_000), (10_000_000, 1_000), (1_000_000_000, 100_000)]
)
def test_metrics_have_ten_thousand_lines_at_most(steps: int, interval: int) -> None:
    assert Options(steps=steps).log_interval == interval


# Schedules and normalization


def test_one_rollout_with_a_linear_schedule_learns() -> None:
    agent = Agent(
        "ppo",
        SEEN,
        ACTED,
        n_steps=4,
        minibatch_size=4,
        learning_rate_schedule="linear",
        total_steps=4,
    )
    before = agent.state.actor_critic.clone()
    for _ in range(4):
        observation = SEEN.sample()
        agent.observe(
            observation, agent.act(observation, explore=True), 1.0, SEEN.sample(), False, False
        )
    assert agent.num_updates == 10
    assert not before.equal(agent.state.actor_critic)


@pytest.mark.parametrize(
    ("algorithm", "fields"),
    [
        ("ppo", {"n_steps": 4, "minibatch_size": 1}),
        ("a2c", {"n_steps": 1, "normalize_advantage": True}),
    ],
)
def test_one_advantage_cannot_be_normalized(algorithm: str, fields: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"1 with normalize_advantage"):
        Agent(algorithm, SEEN, ACTED, **fields)


def test_equal_rewards_are_not_scaled() -> None:
    agent = Agent("actor-critic", SEEN, ACTED, num_envs=8, normalize_rewards=True)
    seen, no = np.zeros((8, 3), np.float32), np.zeros(8, bool)
    metrics = agent.observe(seen, np.zeros((8, 2), np.float32), np.ones(8), seen, ~no, no)
    assert metrics["td_error"] == pytest.approx(1, abs=0.5)


# Actions


def test_an_action_that_was_changed_in_place_counts_as_changed() -> None:
    agent = Agent("td3", SEEN, ACTED, buffer_size=9, batch_size=1, learning_starts=9)
    observation = np.zeros(3, np.float32)
    for change in (False, True):
        action = agent.act(observation, explore=True)
        if change:
            action[:] = 0.5
        agent.observe(observation, action, 0.0, observation, False, False)
        stored = agent.buffer.arrays()["rows.action"][-1]
        assert_close(stored, np.asarray(action) / 2, scale=1)


# Environments


def test_one_environment_twice_is_refused() -> None:
    env = gymnasium.make("Pendulum-v1")
    with pytest.raises(UserError, match="returned the environment of the training again"):
        footlight.train("td3", lambda: env, steps=50, **SMALL)
    with pytest.raises(
        UserError,
        match="returned the same environment twice; 2 are needed - create a new one on each call",
    ):
        footlight.train("td3", lambda: env, steps=50, num_envs=2, vectorization="sync", **SMALL)
    assert not Path("runs").exists()


def test_a_presets_number_of_environments_yields_to_what_is_given() -> None:
    run = footlight.train(
        "ppo", gymnasium.make("CartPole-v1"), steps=40, minibatch_size=32, **SMALL
    )
    assert (run.config["num_envs"], run.config["preset"]) == (1, "ppo/CartPole-v1")


class Forgetful(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A wrapper that does not record what it was made with."""


def test_what_cannot_be_made_again_is_not_evaluated() -> None:
    run = footlight.train(
        "ppo", Forgetful(gymnasium.make("CartPole-v1")), preset=False, n_steps=64, steps=70, **SMALL
    )
    assert run.result is not None
    assert (run.result["status"], run.result["final_evaluation"]) == ("finished", None)


class Broken(gymnasium.Env[Any, Any]):
    observation_space, action_space = SEEN, ACTED

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        raise RuntimeError("no license")


class Unmakeable(Broken):
    def __init__(self) -> None:
        raise RuntimeError("no license")


class SingleNumber(gymnasium.Env[Any, Any]):
    observation_space: Any = gymnasium.spaces.Box(-1, 1, (), np.float32)
    action_space = ACTED


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        (
            Unmakeable,
            UserError,
            "Unmakeable failed to create an environment - RuntimeError: no license",
        ),
        (Broken, EnvironmentFault, "reset raised RuntimeError: no license"),
        (SingleNumber, UserError, r"of shape \(\) - "),
    ],
)
def test_an_environment_that_cannot_begin_leaves_nothing_behind(
    source: Any, error: Any, words: str
) -> None:
    with pytest.raises(error, match=words):
        footlight.train("td3", source, steps=50, **SMALL)
    assert not Path("runs").exists()


# Values


WRONG = [
    ("num_envs", 0),
    ("num_envs", 2.0),
    ("total_steps", -5),
    ("threads", 0),
    ("seed", True),
    ("device", "tpu"),
]


@pytest.mark.parametrize(("name", "value"), [*WRONG, ("device", "cuda")])
def test_an_agent_refuses_what_cannot_work(
    name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match=name):
        Agent("sac", SEEN, ACTED, **{name: value})


@pytest.mark.parametrize("field", ["initial_log_std", "learning_rate"])
@pytest.mark.parametrize("value", ["nan", "inf", float("nan")])
def test_no_number_is_refused(field: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"{field} is"):
        footlight.train("a2c", "Pendulum-v1", steps=50, **{field: value}, **SMALL)
    assert not Path("runs").exists()


def test_rows_that_wait_count_as_memory() -> None:
    with pytest.raises(UserError, match="n_steps 1,000,000,000,000 needs"):
        Agent("sac", SEEN, ACTED, n_steps=10**12)
    with pytest.raises(UserError, match="do not fit into memory"):
        Agent("a2c", SEEN, ACTED, hidden_sizes=(10**7, 10**7))


# Files


@pytest.mark.parametrize("damage", ["", "{", '{"seed": 1}', None])
def test_a_damaged_config_file_is_mended_from_the_checkpoint(
    damage: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {**SMALL, "quiet": False}
    footlight.train(
        "ppo", "CartPole-v1", preset=False, n_steps=64, steps=70, run_dir="run", **small
    )
    path = Path("run/config.json")
    before = path.read_text()
    if damage is None:
        path.unlink()
    else:
        path.write_text(damage)
    footlight.resume("run", steps=99)
    assert "config.json is written anew" in capsys.readouterr().out
    assert json.loads(path.read_text()) == json.loads(before) | {"steps": 99}


def test_a_file_in_the_place_of_a_folder_is_named() -> None:
    Path("runs/CartPole-v1").mkdir(parents=True)
    Path("runs/CartPole-v1/ppo").touch()
    with pytest.raises(UserError, match=r"cannot create the run folder .*/runs/CartPole-v1/ppo"):
        footlight.train("ppo", "CartPole-v1", steps=50, **SMALL)


def test_lines_wait_while_the_disk_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    folder, write, room = RunFolder(Path()), os.write, [5, 0, 7, 1000]

    def narrow(descriptor: int, data: bytes) -> int:
        if (count := room.pop(0)) == 0:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:count])

    monkeypatch.setattr(os, "write", narrow)
    folder.append("episodes", {"step": 1})
    with pytest.raises(StorageFault, match=r"episodes\.jsonl - No space left"):
        folder.flush()
    folder.append("episodes", {"step": 2})
    folder.flush()
    folder.close()
    assert Path("episodes.jsonl").read_text() == '{"step": 1}\n{"step": 2}\n'


def test_a_reader_that_leaves_ends_no_run() -> None:
    command = f"{sys.executable} -m footlight train td3 Pendulum-v1 --no-preset --steps 2000 --learning-starts 5000 --run-dir run"
    subprocess.run(["bash", "-c", f"{command} --compile off --eval-episodes 0 | true"], check=True)
    assert json.loads(Path("run/result.json").read_text())["status"] == "finished"


# Saving


class Acting(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Does something in the process at one step, once."""

    at, what, count = 0, staticmethod(lambda: None), 0

    def step(self, action: Any) -> Any:
        type(self).count += 1
        if type(self).count == type(self).at:
            type(self).what()
        return super().step(action)


def acting(monkeypatch: pytest.MonkeyPatch, at: int, what: Any) -> Any:
    for name, value in (("at", at), ("what", staticmethod(what)), ("count", 0)):
        monkeypatch.setattr(Acting, name, value)
    monkeypatch.setattr(
        "footlight.api.inexactness", lambda *given: None
    )  # its instances would count their steps, too
    return lambda: Acting(gymnasium.make("Pendulum-v1"))


def test_sigusr1_saves_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def ask() -> None:
        signal.raise_signal(signal.SIGUSR1)

    def look() -> None:
        seen.append(step_of("run"))

    def look_and_reset(env: Acting, **given: Any) -> Any:
        if Path("run/checkpoints/LATEST").exists():
            look()
        return env.env.reset(**given)

    source = acting(monkeypatch, 100, ask)
    monkeypatch.setattr(Acting, "reset", look_and_reset)
    footlight.train("ddpg", source, run_dir="run", checkpoint_every=0, **DDPG)
    assert 100 in seen
    footlight.train(
        "ddpg", acting(monkeypatch, 0, ask), run_dir="straight", checkpoint_every=0, **DDPG
    )
    arrays = [
        checkpoint.read_arrays(checkpoint.find(Path(name)), "agent") for name in ("run", "straight")
    ]
    assert all(np.array_equal(arrays[0][name], array) for name, array in arrays[1].items())


@pytest.mark.parametrize(
    ("number", "ends", "code"),
    [
        (signal.SIGUSR1, None, 0),
        (signal.SIGINT, KeyboardInterrupt, 130),
        (signal.SIGTERM, SystemExit, 143),
    ],
)
def test_a_signal_while_environments_are_made(number: int, ends: Any, code: int) -> None:
    made = iter([lambda: signal.raise_signal(number), *[lambda: None] * 9])

    def source() -> Any:
        next(made)()
        return gymnasium.make("Pendulum-v1")

    with contextlib.nullcontext() if ends is None else pytest.raises(ends):
        footlight.train("ddpg", source, run_dir="run", **DDPG)
    assert Path("run").exists() == (ends is None)
    assert code in (0, 130, 143)


@pytest.mark.parametrize(
    ("number", "ends", "code"),
    [
        (signal.SIGUSR1, None, 0),
        (signal.SIGINT, KeyboardInterrupt, 130),
        (signal.SIGTERM, SystemExit, 143),
    ],
)
def test_a_signal_before_the_loop(
    number: int, ends: Any, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_it, handlers = (
        Agent.compile,
        [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)],
    )

    def interrupted(agent: Agent) -> None:
        signal.raise_signal(number)
        compile_it(agent)

    settings = {**DDPG, "compile": "on"}
    monkeypatch.setattr(
        "footlight.learning.learner.compile_in_place",
        lambda function, tensors: lambda: function(*tensors),
    )
    with monkeypatch.context() as patch:
        patch.setattr(Agent, "compile", interrupted)
        with contextlib.nullcontext() if ends is None else pytest.raises(ends) as caught:
            footlight.train("ddpg", "Pendulum-v1", run_dir="run", **settings)
        assert caught is None or getattr(caught.value, "code", 130) == code
    assert step_of("run") == (300 if ends is None else 0)
    assert [
        signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    ] == handlers
    if ends is not None:
        footlight.resume("run", quiet=True)
        assert step_of("run") == 300


def test_a_training_killed_before_its_first_checkpoint_is_begun_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(checkpoint, "write", lambda *given, **more: sys.exit(9))
        with pytest.raises(SystemExit):
            footlight.train("ddpg", "Pendulum-v1", run_dir="run", **DDPG)
    assert {path.name for path in Path("run").iterdir()} == {".lock", "config.json", "checkpoints"}
    with pytest.raises(
        UserError, match=r"has saved no checkpoint yet - wait, or begin it again: --run-dir .*/run$"
    ):
        footlight.resume("run")
    footlight.train("ddpg", "Pendulum-v1", run_dir="run", **{**DDPG, "quiet": False})
    assert step_of("run") == 300
    with pytest.raises(UserError, match="run exists - a run is never overwritten"):
        footlight.train("ddpg", "Pendulum-v1", run_dir="run", **DDPG)


def test_a_folder_of_anything_else_is_not_begun_in() -> None:
    for name, inside in (
        ("empty", []),
        ("mine", ["config.json"]),
        ("more", [".lock", "config.json", "notes"]),
    ):
        Path(name).mkdir()
        for file in inside:
            Path(name, file).write_text("mine")
        with pytest.raises(UserError, match=f"{name} exists - a run is never overwritten"):
            footlight.train("ddpg", "Pendulum-v1", run_dir=name, **DDPG)
        assert sorted(path.name for path in Path(name).iterdir()) == sorted(inside)
    Path("file").touch()
    Path("linked").mkdir()
    Path("linked/.lock").touch()
    Path("linked/checkpoints").symlink_to("../empty")
    for name in ("file", "linked"):
        with pytest.raises(UserError, match=name):
            footlight.train("ddpg", "Pendulum-v1", run_dir=name, **DDPG)
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]


def test_a_folder_that_was_removed_and_begun_anew_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def replace() -> None:
        shutil.rmtree("run")
        shutil.copytree("other", "run")

    footlight.train("ddpg", "Pendulum-v1", run_dir="other", **{**DDPG, "seed": 5})
    before = {path: path.read_bytes() for path in Path("other").rglob("*") if path.is_file()}
    monkeypatch.setattr("footlight.training.loop.LAST_PAUSES", (0.01,))
    with pytest.raises(StorageFault, match="run is not the folder that this training began in"):
        footlight.train(
            "ddpg", acting(monkeypatch, 150, replace), run_dir="run", checkpoint_every=100, **DDPG
        )
    for path, content in before.items():
        assert Path("run", *path.parts[1:]).read_bytes() == content
    assert len([path for path in Path("run").rglob("*") if path.is_file()]) == len(before)


def test_checkpoints_that_are_moved_behind_a_link_are_not_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def move() -> None:
        Path("run/checkpoints").rename("larger-disk")
        Path("run/checkpoints").symlink_to("../larger-disk")

    monkeypatch.setattr("footlight.training.loop.LAST_PAUSES", (0.01,))
    with pytest.raises(StorageFault, match="run/checkpoints is a link"):
        footlight.train(
            "ddpg", acting(monkeypatch, 150, move), run_dir="run", checkpoint_every=100, **DDPG
        )
    assert len(list(Path("larger-disk").glob("step-*"))) == 2


def test_an_output_that_is_full_ends_no_run() -> None:
    settings = (
        "--steps 60 --hidden-sizes 8 --compile off --eval-episodes 0 --run-dir run --no-preset"
    )
    command = [sys.executable, "-m", "footlight", "train", "ddpg", "Pendulum-v1", *settings.split()]
    with Path("/dev/full").open("w") as full:
        assert subprocess.run(command, stdout=full, timeout=100, check=False).returncode == 0
    assert json.loads(Path("run/result.json").read_text())["status"] == "finished"


class LateNoise(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Is exact for as long as a probe looks."""

    steps = 0

    def reset(self, **given: Any) -> Any:
        self.steps = 0
        return self.env.reset(**given)

    def step(self, action: Any) -> Any:
        self.steps += 1
        seen, *rest = self.env.step(action)
        return seen + (np.random.default_rng().normal() if self.steps > 120 else 0), *rest


def test_what_cannot_be_put_where_it_stood_is_inexact_from_then_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def source() -> Any:
        return LateNoise(gymnasium.make("Pendulum-v1"))

    footlight.train("ddpg", source, run_dir="run", **{**DDPG, "steps": 150})
    assert footlight.Run(Path("run")).config["resume"] == "exact"
    footlight.resume("run", environment=source, steps=180)
    assert "environment 0 cannot be put where it stood" in capsys.readouterr().out
    reason = "an environment could not be put where it stood at step 150"
    assert footlight.Run(Path("run")).config["resume"] == reason
    assert json.loads(Path("run/config.json").read_text())["resume"] == reason


def test_a_folder_that_another_process_begins_in_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inner = footlight.api.locked

    def late(folder: Path) -> Any:  # another process was faster, and has ended meanwhile
        footlight.train("ddpg", "Pendulum-v1", run_dir="elsewhere", **DDPG)
        shutil.copytree("elsewhere", folder, dirs_exist_ok=True)
        return inner(folder)

    calls = iter([late, inner])
    monkeypatch.setattr("footlight.api.locked", lambda folder: next(calls)(folder))
    with pytest.raises(UserError, match="run exists - a run is never overwritten"):
        footlight.train("ddpg", "Pendulum-v1", run_dir="run", **{**DDPG, "seed": 5})
    assert footlight.Run(Path("run")).config["seed"] == 0


def test_what_is_changed_on_resuming_holds_from_then_on() -> None:
    footlight.train("ddpg", "Pendulum-v1", run_dir="run", max_time=1e-3, **DDPG)
    for wrong in (
        ["--max-time", "never"],
        ["--steps", "some"],
        ["--on-worker-death", "weep"],
        ["--env-timeout", "-1"],
    ):
        assert main(["resume", "run", *wrong]) == 2
    assert (
        main(
            [
                "resume",
                "run",
                "--env-timeout",
                "7.5",
                "--on-worker-death",
                "restart",
                "--steps",
                "3e2",
                "--quiet",
            ]
        )
        == 0
    )
    config = footlight.Run(Path("run")).config
    assert (config["env_timeout"], config["on_worker_death"], config["max_time"]) == (
        7.5,
        "restart",
        1e-3,
    )
    assert step_of("run") < 300
    assert main(["resume", "run", "--max-time", "none", "--quiet"]) == 0
    config = footlight.Run(Path("run")).config
    assert config["max_time"] is None
    assert config == json.loads(Path("run/config.json").read_text())
    assert step_of("run") == 300
    with pytest.raises(
        UserError, match=r"seed cannot be changed of a run that has begun - steps, threads, .* can"
    ):
        footlight.resume("run", seed=3)


def test_trackers_of_a_folder_are_named_and_can_be_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    footlight.train(
        "ddpg", "Pendulum-v1", run_dir="run", **{**DDPG, "track": ("tensorboard",), "steps": 50}
    )
    shutil.rmtree("run/tensorboard")
    assert main(["resume", "run", "--steps", "60", "--track", "none"]) == 0
    assert "sending to" not in capsys.readouterr().out
    assert not Path("run/tensorboard").exists()
    assert main(["resume", "run", "--steps", "70", "--track", "tensorboard"]) == 0
    assert main(["resume", "run", "--steps", "80"]) == 0
    assert (
        "sending to tensorboard, as recorded; `--track none` ends that" in capsys.readouterr().out
    )
    assert any(Path("run/tensorboard").iterdir())


def test_time_that_is_up_saves_and_stops_and_the_rest_is_the_same() -> None:
    run = footlight.train("ddpg", "Pendulum-v1", run_dir="run", max_time=1e-3, **DDPG)
    assert run.result is not None
    assert run.result["status"] == "stopped"
    assert step_of("run") < 300
    footlight.resume("run", max_time=1000, quiet=True)
    assert step_of("run") == 300
    footlight.train("ddpg", "Pendulum-v1", run_dir="straight", **DDPG)
    arrays = [
        checkpoint.read_arrays(checkpoint.find(Path(name)), "agent") for name in ("run", "straight")
    ]
    assert all(np.array_equal(arrays[0][name], array) for name, array in arrays[1].items())


def full_disk(failures: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full for so many writes of a checkpoint, from the second on."""
    write, count = checkpoint.write_bytes, iter(range(1_000_000))

    def failing(path: Path, content: bytes) -> None:
        if path.name == "policy.safetensors" and 0 < next(count) <= failures:
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(checkpoint, "write_bytes", failing)


def test_a_disk_that_is_full_for_a_while_costs_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full_disk(2, monkeypatch)
    footlight.train(
        "ddpg", "Pendulum-v1", run_dir="run", checkpoint_every=50, **DDPG | {"quiet": False}
    )
    said = capsys.readouterr().out
    assert "going on without this checkpoint (2 of 3 failures)" in said
    assert "No space left" in said
    assert step_of("run") == 300


def test_a_disk_that_stays_full_ends_the_run_and_keeps_the_last_good_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as full:
        full.setattr("footlight.training.loop.LAST_PAUSES", (0.0, 0.0))
        full_disk(1_000, full)
        with pytest.raises(StorageFault, match=r"No space left on device"):
            footlight.train("ddpg", "Pendulum-v1", run_dir="run", checkpoint_every=50, **DDPG)
    assert step_of("run") == 0
    footlight.resume("run", quiet=True)
    assert step_of("run") == 300


def test_a_deleted_run_folder_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footlight.training.loop.LAST_PAUSES", (0.0,))
    source = acting(monkeypatch, 100, lambda: shutil.rmtree("run"))
    with pytest.raises(StorageFault, match="that this training began in - it was removed"):
        footlight.train("ddpg", source, run_dir="run", checkpoint_every=50, **DDPG)
    assert not Path("run").exists()


def test_an_environment_of_a_strangers_module_is_not_imported(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("stranger.py").write_text("raise SystemExit('it ran')")
    footlight.train("ddpg", "Pendulum-v1", run_dir="run", **DDPG | {"steps": 30})
    folder = checkpoint.find(Path("run"))
    manifest = checkpoint.read_manifest(folder)
    manifest["run"]["environment"] = "stranger:Pendulum-v1"
    (folder / "manifest.json").write_text(
        json.dumps({**manifest, "checksum": checkpoint._checksum(manifest)})
    )
    Path("run/config.json").write_text(json.dumps(manifest["run"]))
    for act in (
        lambda: footlight.resume("run", steps=60, quiet=True),
        lambda: footlight.evaluate("run", 1),
    ):
        with pytest.raises(
            UserError,
            match="would run the module 'stranger' - if you trust that, say so: --allow-env-import stranger",
        ):
            act()


def test_no_secret_of_the_environment_reaches_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "MY_PASSWORD", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"secret-of-{name}")
    footlight.train("ddpg", "Pendulum-v1", run_dir="run", **DDPG | {"steps": 30})
    files = [path for path in Path("run").rglob("*") if path.is_file()]
    assert len(files) > 8
    assert not [path for path in files if b"secret-of" in path.read_bytes()]


@pytest.mark.parametrize(
    ("error", "is_fault"),
    [
        (ValueError("a bug"), False),
        (MemoryError("no room for this update"), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"
            ),
            True,
        ),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), True),
    ],
    ids=["bug", "memory", "cuda memory", "cpu memory", "cuda"],
)
def test_what_is_half_made_is_not_saved(
    error: Exception, is_fault: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    update, count = Learner.update, iter(range(1_000))

    def failing(learner: Learner, *given: Any) -> None:
        if next(count) == 150:
            if is_fault:  # what has failed once gives nothing any more
                broken.setattr(Agent, "metrics", failing_again)
            raise error
        update(learner, *given)

    def failing_again(agent: Agent) -> Any:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(Learner, "update", failing)
        with pytest.raises(DeviceFault if is_fault else ValueError) as caught:
            footlight.train("ddpg", "Pendulum-v1", run_dir="run", checkpoint_every=100, **DDPG)
    if is_fault:
        assert caught.value.exit_code == 3
        run = Path("run").absolute()
        words = f"{run}/checkpoints/step-000000100 is the newest checkpoint - make room, then `footlight resume {run}`"
        assert words in str(caught.value)
    assert step_of("run") == 100
    assert json.loads(Path("run/result.json").read_text())["status"] == "failed"
    footlight.resume("run", quiet=True)
    footlight.train("ddpg", "Pendulum-v1", run_dir="straight", checkpoint_every=100, **DDPG)
    arrays = [
        checkpoint.read_arrays(checkpoint.find(Path(name)), "agent") for name in ("run", "straight")
    ]
    assert all(np.array_equal(arrays[0][name], array) for name, array in arrays[1].items())


def test_fewer_steps_than_were_made_are_refused() -> None:
    footlight.train("ddpg", "Pendulum-v1", run_dir="run", **DDPG)
    Path("run/result.json").unlink()  # as if it had not come to its end
    with pytest.raises(UserError, match="has reached step 300 of 200"):
        footlight.resume("run", steps=200, quiet=True)
    footlight.resume("run", quiet=True)
    assert json.loads(Path("run/result.json").read_text())["status"] == "finished"


def test_a_run_that_loses_its_compiler_goes_on_inexactly(monkeypatch: pytest.MonkeyPatch) -> None:
    def plainly(function: Any, tensors: Any) -> Any:  # so that nothing has to be compiled for this
        return torch.no_grad()(lambda: function(*tensors))

    monkeypatch.setattr("footlight.learning.learner.compile_in_place", plainly)
    settings = DDPG | {"compile": "on"}
    footlight.train("ddpg", "Pendulum-v1", run_dir="run", **settings)
    assert json.loads(Path("run/config.json").read_text())["resume"] == "exact"
    monkeypatch.setattr("footlight.learning.learner.compile_in_place", without_compiler)
    footlight.resume("run", steps=320, quiet=True)
    reason = json.loads(Path("run/config.json").read_text())["resume"]
    assert reason == checkpoint.read_manifest(checkpoint.find(Path("run")))["run"]["resume"]
    assert reason == "resumed without the compiler that it began with"
    footlight.resume("run", steps=340, threads=2, quiet=True)
    reason = footlight.Run(Path("run")).config["resume"]
    assert (
        reason
        == "resumed without the compiler that it began with; resumed with threads 2 instead of 1"
    )


def without_compiler(function: Any, tensors: Any) -> Any:
    raise CompilerMissing("there is none")
