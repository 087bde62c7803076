"""`train` from Python: folders that are in use, and what is refused before anything is created."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from small_runs import DDPG, SMALL, step_of

import footlight
from footlight.errors import EnvironmentFault, UserError
from footlight.storage import checkpoint
from footlight.storage.manifest import checksum
from footlight.training import parts


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


SEEN, ACTED = (
    gymnasium.spaces.Box(-1, 1, (3,), np.float32),
    gymnasium.spaces.Box(-2, 2, (2,), np.float32),
)


class Broken(gymnasium.Env[Any, Any]):
    observation_space, action_space = SEEN, ACTED

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        raise RuntimeError("no license")


class Unmakeable(Broken):
    def __init__(self) -> None:
        raise RuntimeError("no license")


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        (
            Unmakeable,
            UserError,
            "Unmakeable failed to create an environment - RuntimeError: no license",
        ),
        (Broken, EnvironmentFault, "reset raised RuntimeError: no license"),
    ],
)
def test_environment_that_cannot_be_created_leaves_nothing_behind(
    source: Any, error: Any, words: str
) -> None:
    with pytest.raises(error, match=words) as raised:
        footlight.train("td3", source, steps=50, **SMALL)
    assert "saved" not in str(raised.value)
    assert not Path("runs").exists()


def test_same_environment_twice_is_rejected() -> None:
    env = gymnasium.make("Pendulum-v1")
    with pytest.raises(UserError, match="returned the environment of the training again"):
        footlight.train("td3", lambda: env, steps=50, **SMALL)
    with pytest.raises(
        UserError,
        match="returned the same environment twice; 2 are needed - create a new one on each call",
    ):
        footlight.train("td3", lambda: env, steps=50, num_envs=2, vectorization="sync", **SMALL)
    assert not Path("runs").exists()


def test_number_of_environments_of_a_preset_yields_to_given_ones() -> None:
    run = footlight.train(
        "ppo", gymnasium.make("CartPole-v1"), steps=40, minibatch_size=32, **SMALL
    )
    assert (run.config["num_envs"], run.config["preset"]) == (1, "ppo/CartPole-v1")


def test_file_in_place_of_a_folder_is_named() -> None:
    Path("runs/CartPole-v1").mkdir(parents=True)
    Path("runs/CartPole-v1/ppo").touch()
    with pytest.raises(UserError, match=r"cannot create the run folder .*/runs/CartPole-v1/ppo"):
        footlight.train("ppo", "CartPole-v1", steps=50, **SMALL)


def test_run_killed_before_its_first_checkpoint_can_be_started_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(checkpoint, "write", lambda *given, **more: sys.exit(9))
        with pytest.raises(SystemExit):
            footlight.train("ddpg", "Pendulum-v1", run_dir="run", **DDPG)
    assert {path.name for path in Path("run").iterdir()} == {".lock", "config.json", "checkpoints"}
    with pytest.raises(
        UserError, match=r"has saved no checkpoint yet - wait, or start it again: --run-dir .*/run$"
    ):
        footlight.resume("run")
    footlight.train("ddpg", "Pendulum-v1", run_dir="run", **{**DDPG, "quiet": False})
    assert step_of("run") == 300
    with pytest.raises(UserError, match="run exists - a run is never overwritten"):
        footlight.train("ddpg", "Pendulum-v1", run_dir="run", **DDPG)


def test_folder_with_other_content_is_rejected() -> None:
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


def test_folder_that_another_process_has_started_in_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inner = parts.locked

    def late(folder: Path) -> Any:  # another process was faster, and has ended meanwhile
        footlight.train("ddpg", "Pendulum-v1", run_dir="elsewhere", **DDPG)
        shutil.copytree("elsewhere", folder, dirs_exist_ok=True)
        return inner(folder)

    calls = iter([late, inner])
    monkeypatch.setattr("footlight.training.parts.locked", lambda folder: next(calls)(folder))
    with pytest.raises(UserError, match="run exists - a run is never overwritten"):
        footlight.train("ddpg", "Pendulum-v1", run_dir="run", **{**DDPG, "seed": 5})
    assert footlight.Run(Path("run")).config["seed"] == 0


def test_module_of_an_environment_is_imported_only_if_allowed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("stranger.py").write_text("raise SystemExit('it ran')")
    footlight.train("ddpg", "Pendulum-v1", run_dir="run", **DDPG | {"steps": 30})
    folder = checkpoint.find(Path("run"))
    manifest = checkpoint.read_manifest(folder)
    manifest["run"]["environment"] = "stranger:Pendulum-v1"
    (folder / "manifest.json").write_text(json.dumps({**manifest, "checksum": checksum(manifest)}))
    Path("run/config.json").write_text(json.dumps(manifest["run"]))
    for act in (
        lambda: footlight.resume("run", steps=60, quiet=True),
        lambda: footlight.evaluate("run", 1),
    ):
        with pytest.raises(
            UserError,
            match="would run the module 'stranger' - if you trust that, say so: --allow-env-imp",
        ):
            act()


def test_no_secret_of_the_environment_reaches_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "MY_PASSWORD", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"secret-of-{name}")
    footlight.train("ddpg", "Pendulum-v1", run_dir="run", **DDPG | {"steps": 30})
    files = [path for path in Path("run").rglob("*") if path.is_file()]
    assert len(files) > 8
    assert not [path for path in files if b"secret-of" in path.read_bytes()]
