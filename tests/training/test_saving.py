"""Checkpoints of a run: cadence, full disks, rollback after divergence, restoring."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from small_runs import DDPG, SMALL, Acting, acting, step_of

import footlight
from footlight.errors import Diverged, StorageFault
from footlight.storage import checkpoint, writer


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("steps", [5, 400])
def test_parameters_that_are_not_finite_are_never_saved(steps: int) -> None:
    # The loss before the step is finite, and the step is not
    with pytest.raises(
        Diverged, match=r"is not finite after update 1 (.|\n)*rolling back has not helped 2 times"
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
def test_run_that_diverges_rolls_back_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "footlight.api.check_determinism", lambda *given: None
    )  # its instances would count their steps, too
    settings = DDPG | {"quiet": False, "checkpoint_every": 100, "run_dir": "run"}
    run = footlight.train("ddpg", poisoned(2, monkeypatch), **settings)
    said = capsys.readouterr().out
    assert "continuing from step-000000100 with other random numbers (1 of 2)" in said
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
def test_third_divergence_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Diverged, match=r"rolling back has not helped 2 times"):
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
def test_rollback_uses_the_newest_intact_checkpoint(
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
    monkeypatch.setattr("footlight.api.check_determinism", lambda *given: None)
    settings = DDPG | {
        "quiet": False,
        "checkpoint_every": 100,
        "run_dir": "run",
        "eval_episodes": 0,
    }
    if damaged == 1:
        footlight.train("ddpg", source, **settings)
        assert (
            "continuing from step-000000100 with other random numbers (1 of 2)"
            in capsys.readouterr().out
        )
    else:
        with pytest.raises(Diverged, match="is not finite after update"):
            footlight.train("ddpg", source, **settings)


def test_sigusr1_saves_a_checkpoint_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_run_folder_that_was_replaced_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def replace() -> None:
        shutil.rmtree("run")
        shutil.copytree("other", "run")

    footlight.train("ddpg", "Pendulum-v1", run_dir="other", **{**DDPG, "seed": 5})
    before = {path: path.read_bytes() for path in Path("other").rglob("*") if path.is_file()}
    monkeypatch.setattr("footlight.training.saving.FINAL_SAVE_RETRIES", (0.01,))
    with pytest.raises(StorageFault, match="run is not the folder in which this training started"):
        footlight.train(
            "ddpg", acting(monkeypatch, 150, replace), run_dir="run", checkpoint_every=100, **DDPG
        )
    for path, content in before.items():
        assert Path("run", *path.parts[1:]).read_bytes() == content
    assert len([path for path in Path("run").rglob("*") if path.is_file()]) == len(before)


def test_checkpoints_behind_a_symbolic_link_are_not_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def move() -> None:
        Path("run/checkpoints").rename("larger-disk")
        Path("run/checkpoints").symlink_to("../larger-disk")

    monkeypatch.setattr("footlight.training.saving.FINAL_SAVE_RETRIES", (0.01,))
    with pytest.raises(StorageFault, match="run/checkpoints is a symbolic link"):
        footlight.train(
            "ddpg", acting(monkeypatch, 150, move), run_dir="run", checkpoint_every=100, **DDPG
        )
    assert len(list(Path("larger-disk").glob("step-*"))) == 2


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


def test_resume_marks_run_not_reproducible_when_environment_cannot_be_restored(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def source() -> Any:
        return LateNoise(gymnasium.make("Pendulum-v1"))

    footlight.train("ddpg", source, run_dir="run", **{**DDPG, "steps": 150})
    assert footlight.Run(Path("run")).config["resume"] == "exact"
    footlight.resume("run", environment=source, steps=180)
    assert "environment 0 cannot be restored to its state" in capsys.readouterr().out
    reason = "an environment could not be restored to its state at step 150"
    assert footlight.Run(Path("run")).config["resume"] == reason
    assert json.loads(Path("run/config.json").read_text())["resume"] == reason


def full_disk(failures: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full for so many writes of a checkpoint, from the second on."""
    write, count = writer.write_bytes, iter(range(1_000_000))

    def failing(path: Path, content: bytes) -> None:
        if path.name == "policy.safetensors" and 0 < next(count) <= failures:
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(writer, "write_bytes", failing)


def test_disk_that_is_full_for_a_while_does_not_end_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full_disk(2, monkeypatch)
    footlight.train(
        "ddpg", "Pendulum-v1", run_dir="run", checkpoint_every=50, **DDPG | {"quiet": False}
    )
    said = capsys.readouterr().out
    assert "continuing without this checkpoint (2 of 3 failures)" in said
    assert "No space left" in said
    assert step_of("run") == 300


def test_disk_that_stays_full_ends_the_run_and_keeps_the_newest_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as full:
        full.setattr("footlight.training.saving.FINAL_SAVE_RETRIES", (0.0, 0.0))
        full_disk(1_000, full)
        with pytest.raises(StorageFault, match=r"No space left on device"):
            footlight.train("ddpg", "Pendulum-v1", run_dir="run", checkpoint_every=50, **DDPG)
    assert step_of("run") == 0
    footlight.resume("run", quiet=True)
    assert step_of("run") == 300


def test_deleted_run_folder_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footlight.training.saving.FINAL_SAVE_RETRIES", (0.0,))
    source = acting(monkeypatch, 100, lambda: shutil.rmtree("run"))
    with pytest.raises(StorageFault, match="in which this training started - it was removed"):
        footlight.train("ddpg", source, run_dir="run", checkpoint_every=50, **DDPG)
    assert not Path("run").exists()
