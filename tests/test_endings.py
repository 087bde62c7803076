"""Environments that end the program: the run is saved, and exit code and result are correct."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import footlight
from footlight.cli.main import main
from footlight.errors import EnvironmentFault, UserError
from footlight.storage import checkpoint

FAST = [
    "--no-preset",
    "--compile",
    "off",
    "--hidden-sizes",
    "8",
    "--eval-every",
    "0",
    "--eval-episodes",
    "1",
    "--threads",
    "1",
]
DDPG: dict[str, Any] = {
    "preset": False, "learning_starts": 20, "steps": 60, "hidden_sizes": (8,), "compile": "off",
    "quiet": True,
    "eval_episodes": 1, "eval_every": 0, "run_dir": "run",
}  # fmt: skip


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Point(gymnasium.Env[Any, Any]):
    """A random walk in episodes of ten steps."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps, self.position = 0, float(self.np_random.normal())
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps, self.position = self.steps + 1, self.position + float(action[0])
        return self.observe(), -abs(self.position), False, self.steps == 10, {}

    def observe(self) -> Any:
        return np.array([self.position, self.steps], np.float32)


def leave() -> None:
    sys.exit()


def leave_with_zero() -> None:
    sys.exit(0)


def interrupt() -> None:
    raise KeyboardInterrupt


def generator_exit() -> None:
    raise GeneratorExit


class Ends(Point):
    """Ends its program, in the call of this name, from the 26th of them on."""

    def __init__(self, end: Callable[[], None], call: str, first: int = 26) -> None:
        self.end, self.call, self.first, self.counts = (
            end,
            call,
            first,
            dict.fromkeys(("reset", "step", "close"), 0),
        )
        if call == "init":
            end()

    def count(self, call: str) -> None:
        self.counts[call] += 1
        if call == self.call and self.counts[call] >= self.first:
            self.end()

    def reset(self, **how: Any) -> Any:
        self.count("reset")
        return super().reset(**how)

    def step(self, action: Any) -> Any:
        self.count("step")
        return super().step(action)

    def close(self) -> None:
        self.count("close")


def train_a2c(environment: str, steps: int, more: Sequence[str] = ()) -> int:
    words = ["train", "a2c", environment, "--run-dir", "run", "--steps", str(steps)]
    return main([*words, *FAST, *more])


def registered(*arguments: Any) -> str:
    gymnasium.register("TestEnds-v0", lambda: Ends(*arguments))
    return "TestEnds-v0"


@pytest.fixture(autouse=True)
def no_id_stays() -> Any:
    yield
    gymnasium.registry.pop("TestEnds-v0", None)


@pytest.mark.parametrize("end", [leave, leave_with_zero, interrupt, generator_exit])
@pytest.mark.parametrize("more", [[], ["--num-envs", "2", "--vectorization", "async"]])
def test_environment_that_exits_is_a_fault(
    end: Callable[[], None],
    more: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("footlight.api.check_determinism", lambda *given: None)
    assert train_a2c(registered(end, "step"), steps=200, more=more) == 3
    name = {
        leave: "SystemExit",
        leave_with_zero: "SystemExit: 0",
        interrupt: "KeyboardInterrupt",
    }.get(end, "GeneratorExit")
    assert f"step raised {name} - " in capsys.readouterr().err
    assert json.loads(Path("run/result.json").read_text())["status"] == "fault"
    assert checkpoint.read_manifest(checkpoint.find(Path("run")))["step"] in (25, 50)


def test_reset_that_exits_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("footlight.api.check_determinism", lambda *given: None)
    assert train_a2c(registered(leave, "reset", 3), steps=90) == 3
    assert "reset raised SystemExit" in capsys.readouterr().err
    assert checkpoint.read_manifest(checkpoint.find(Path("run")))["step"] == 19


def test_vector_environment_that_exits_is_a_fault() -> None:
    venv = gymnasium.vector.SyncVectorEnv([lambda: Ends(leave, "step")] * 2)
    with pytest.raises(EnvironmentFault, match="step raised SystemExit"):
        footlight.train(
            "a2c",
            venv,
            **{name: value for name, value in DDPG.items() if name != "learning_starts"},
        )


def test_constructor_that_exits_is_a_user_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", "a2c", registered(leave, "init"), "--run-dir", "run", *FAST]) == 2
    assert "SystemExit" in capsys.readouterr().err
    assert not Path("run").exists()
    with pytest.raises(UserError, match="SystemExit"):
        footlight.train("ddpg", lambda: Ends(leave, "init"), **DDPG)


@pytest.mark.parametrize("more", [[], ["--num-envs", "2", "--vectorization", "async"]])
def test_environment_that_fails_to_close_keeps_the_result(
    more: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert train_a2c(registered(leave, "close", 1), steps=60, more=more) == 0
    out, err = capfd.readouterr()
    assert "closing the environment failed: SystemExit" in out + err
    assert "Traceback" not in err
    result = json.loads(Path("run/result.json").read_text())
    assert result["status"] == "finished"
    assert result["final_evaluation"] is not None
    assert main(["evaluate", "run", "--episodes", "2"]) == 0


def test_watching_an_environment_that_exits_has_an_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gymnasium.register("TestEnds-v0", lambda: Ends(leave, "step", 1000))
    assert (
        main(["train", "a2c", "TestEnds-v0", "--run-dir", "run", "--steps", "30", *FAST, "--quiet"])
        == 0
    )
    with pytest.warns(UserWarning, match="Overriding"):
        gymnasium.register("TestEnds-v0", lambda: Ends(leave, "step", 3))
    assert main(["evaluate", "run", "--episodes", "2"]) == 3
    assert "step raised SystemExit" in capsys.readouterr().err


class Moves(Point):
    """Works in a directory of its own."""

    def __init__(self) -> None:
        os.chdir("/")

    def reset(self, **how: Any) -> Any:
        os.chdir("/")
        return super().reset(**how)


def test_environment_that_changes_the_directory_moves_no_file(tmp_path: Path) -> None:
    run = footlight.train("ddpg", Moves, **DDPG, checkpoint_every=20)
    assert run.folder == tmp_path / "run"
    assert run.result is not None
    assert run.result["steps"] == 60
    os.chdir(tmp_path)
    footlight.resume("run", environment=Moves, steps=80, quiet=True)
    assert footlight.Run(tmp_path / "run").result["steps"] == 80  # type: ignore[index]
    os.chdir(tmp_path)
    assert (
        footlight.train("ddpg", Moves, **{**DDPG, "run_dir": None}).folder
        == tmp_path / "runs" / "Moves" / "ddpg" / "001"
    )


def test_environment_passed_as_an_object_is_not_closed() -> None:
    env = Ends(leave, "close", 1)
    footlight.train("ddpg", env, **{**DDPG, "eval_episodes": 0})
    assert env.counts["close"] == 0
    venv = gymnasium.vector.SyncVectorEnv([Point] * 2)
    for run_dir in ("one", "two"):
        settings = {name: value for name, value in DDPG.items() if name != "learning_starts"}
        footlight.train("a2c", venv, **{**settings, "run_dir": run_dir})
    assert not venv.closed


def test_exit_code_is_that_of_the_process() -> None:
    Path("ends.py").write_text(
        "import gymnasium, sys\nfrom test_endings import Ends\n"
        "gymnasium.register('Ends-v0', lambda: Ends(sys.exit, 'step'))\n"
    )
    command = [
        sys.executable,
        "-m",
        "footlight",
        "train",
        "a2c",
        "ends:Ends-v0",
        "--run-dir",
        "run",
        *FAST,
    ]
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(footlight.__file__).parents[1])])
    ran = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 3, ran.stderr
    assert Path("run/result.json").exists()
