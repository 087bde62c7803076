"""Runs that start from another run: what they record, how they resume, what they refuse."""

import json
import shutil
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import footlight
from footlight.cli.main import main
from footlight.errors import UserError
from footlight.storage import checkpoint
from footlight.storage.files import hash_file
from footlight.training.fine_tuning import FineTuning

SMALL: dict[str, Any] = {
    "preset": False, "hidden_sizes": (4,), "compile": "off", "quiet": True, "threads": 1,
    "eval_episodes": 1, "eval_every": 0, "batch_size": 4, "learning_starts": 10,
    "buffer_size": 100,
}  # fmt: skip


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of SAC on Pendulum-v1 to start from."""
    folder = tmp_path_factory.mktemp("first") / "run"
    footlight.train(
        "sac", "Pendulum-v1", steps=60, seed=1, run_dir=folder, normalize_observations=True, **SMALL
    )
    return folder


def train(folder: Path, **values: Any) -> footlight.Run:
    settings = {"steps": 60, "seed": 2, "normalize_observations": True, **SMALL, **values}
    return footlight.train("sac", "Pendulum-v1", run_dir=folder, **settings)


def arrays_at(folder: Path, step: int | None = None) -> dict[str, Any]:
    where = checkpoint.find(folder if step is None else folder / f"checkpoints/step-{step:09d}")
    groups = ("policy", "agent", "buffer", "environments")
    return {
        f"{group}/{name}": array
        for group in groups
        for name, array in checkpoint.read_arrays(where, group).items()
    }


def test_run_begins_with_the_parameters_of_the_other(first: Path, tmp_path: Path) -> None:
    run = train(tmp_path / "run", init_from=first, init_buffer=True, learning_rate=1e-3)
    before, begun = arrays_at(first), arrays_at(run.folder, 0)
    for name in ("agent/actor", "agent/target_critic", "agent/log_alpha", "agent/normalizer.mean"):
        assert np.array_equal(before[name], begun[name]), name
    assert np.array_equal(before["buffer/rows.action"], begun["buffer/rows.action"])
    assert not begun["agent/actor_optimizer.first_moment"].any()
    assert before["agent/actor_optimizer.first_moment"].any()
    manifest = checkpoint.find(first) / checkpoint.MANIFEST
    assert run.config["init_from"] == {
        "path": str(first), "step": 60, "sha256": hash_file(manifest)[1],
        "environment": "Pendulum-v1", "buffer": 60,
    }  # fmt: skip
    assert run.config["config"]["learning_rate"] == 1e-3
    assert footlight.Run(first).config.get("init_from") is None


def test_running_statistics_of_wrappers_are_taken_over(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def normalized() -> gymnasium.Env[Any, Any]:
        inside = gymnasium.wrappers.NormalizeReward(gymnasium.make("Pendulum-v1"))
        return gymnasium.wrappers.NormalizeObservation(inside)

    settings: dict[str, Any] = {"steps": 60, **SMALL}
    before = footlight.train("sac", normalized, run_dir=tmp_path / "before", **settings)
    settings |= {"init_from": before.folder, "num_envs": 2, "vectorization": "sync", "quiet": False}
    capsys.readouterr()
    after = footlight.train("sac", normalized, run_dir=tmp_path / "after", **settings)
    taken = "running statistics of NormalizeObservation, NormalizeReward"
    assert f"parameters, {taken}; optimizers" in capsys.readouterr().out
    saved, begun = arrays_at(before.folder), arrays_at(after.folder, 0)
    for env in "01":
        count = f"statistics.{env}.0.obs_rms.count"  # which the first reset has increased by one
        assert (
            begun[f"environments/{count}"] == saved["environments/statistics.0.0.obs_rms.count"] + 1
        )
        name = f"environments/statistics.{env}.1.return_rms.var"
        assert begun[name] == saved["environments/statistics.0.1.return_rms.var"]
        assert not begun[f"environments/statistics.{env}.1.discounted_reward"].any()
    footlight.train(
        "sac", normalized, run_dir=tmp_path / "differs", **settings | {"init_from": first}
    )
    assert (
        "does not hold running statistics of the same wrappers as this run"
        in capsys.readouterr().out
    )


def test_episodes_of_the_other_run_need_not_be_readable(first: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(first, other)
    damaged = checkpoint.find(other) / "environments.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    runs = [
        train(tmp_path / f"from-{each.name}", init_from=each, steps=10) for each in (first, other)
    ]
    one, same = (arrays_at(run.folder) for run in runs)
    assert all(np.array_equal(array, same[name]) for name, array in one.items())


@pytest.mark.parametrize("with_buffer", [False, True])
def test_resume_is_exact_and_needs_the_other_run_no_more(
    with_buffer: bool, first: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(first, other)
    given = {"init_from": other, "init_buffer": with_buffer}
    straight = train(tmp_path / "straight", **given)
    train(tmp_path / "two", **given | {"steps": 35})
    shutil.rmtree(other)
    resumed = footlight.resume(tmp_path / "two", steps=60, quiet=True)
    assert resumed.config["resume"] == straight.config["resume"] == "exact"
    assert resumed.config["init_from"] == straight.config["init_from"]
    one, two = arrays_at(straight.folder), arrays_at(resumed.folder)
    assert one.keys() == two.keys()
    for name in one:
        assert np.array_equal(one[name], two[name]), name


def test_checkpoints_and_saved_agents_are_starting_points_too(first: Path, tmp_path: Path) -> None:
    for name in ("BEST", "step-000000060"):
        run = train(tmp_path / name, init_from=str(first / "checkpoints" / name), steps=1)
        assert run.config["init_from"]["step"] == 60
        assert run.config["init_from"]["path"].endswith(name)
    begun = train(tmp_path / "0", init_from=first / "checkpoints" / "step-000000060", steps=1)
    agent = footlight.Agent.load(begun.folder)
    agent.save(tmp_path / "agent")
    run = train(tmp_path / "run", init_from=tmp_path / "agent", steps=1)
    assert run.config["init_from"]["environment"] == "Pendulum-v1"
    agent.environment = {}
    agent.save(tmp_path / "agent")
    run = train(tmp_path / "again", init_from=tmp_path / "agent", steps=1)
    assert run.config["init_from"]["environment"] is None
    assert run.config["init_from"]["step"] == 1
    assert np.array_equal(
        arrays_at(run.folder, 0)["agent/critic"], arrays_at(begun.folder)["agent/critic"]
    )


class Tilted(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Another environment with the same spaces."""

    def __init__(self) -> None:
        super().__init__(gymnasium.make("Pendulum-v1", g=5.0))


def test_environment_may_be_another_one_with_the_same_spaces(first: Path, tmp_path: Path) -> None:
    run = footlight.train(
        "sac", Tilted, run_dir=tmp_path / "run", init_from=first, steps=12, num_envs=2, **SMALL
    )
    assert run.config["num_envs"] == 2
    assert run.config["init_from"]["environment"] == "Pendulum-v1"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"hidden_sizes": (5,)}, ["actor.body.0.weight is [4, 3] there and [5, 3] here", "4, as"]),
        ({"algorithm": "td3"}, ["is an agent of sac", "train sac"]),
        ({"environment": "MountainCarContinuous-v0"}, ["its spaces differ", "float32[3]"]),
        ({"init_from": "nowhere"}, ["there is no folder", "nowhere"]),
        ({"init_from": 3}, ["init_from is 3"]),
        ({"init_from": None, "init_buffer": True}, ["init_buffer needs init_from"]),
        ({"init_buffer": "yes"}, ["init_buffer is 'yes'"]),
        ({"init_buffer": True, "gamma": 0.5}, ["gamma 0.99, and here it is 0.5"]),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_created(
    values: dict[str, Any], words: list[str], first: Path, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"algorithm": "sac", "environment": "Pendulum-v1", "init_from": first}
    given |= {"run_dir": tmp_path / "run", "steps": 20, **SMALL, **values}
    with pytest.raises(UserError) as caught:
        footlight.train(given.pop("algorithm"), given.pop("environment"), **given)
    text = str(caught.value)
    assert all(word in text for word in words), text
    assert text.count("\n") <= 2
    assert not (tmp_path / "run").exists()


def test_run_that_has_begun_cannot_be_initialized(first: Path, tmp_path: Path) -> None:
    train(tmp_path / "run", steps=20)
    with pytest.raises(UserError, match="init_from cannot be changed in a run that has begun"):
        footlight.resume(tmp_path / "run", steps=30, init_from=first, quiet=True)


def test_other_run_is_only_read(first: Path, tmp_path: Path) -> None:
    def listing() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in sorted(first.rglob("*"))}

    before = listing()
    for path in first.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    train(tmp_path / "run", init_from=first, init_buffer=True, steps=12)
    for path in first.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert listing() == before


def test_from_the_command_line(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(first.parent)
    line = [
        "train", "sac", "Pendulum-v1", "--init-from", "run/checkpoints/BEST", "--init-buffer",
        "--no-preset", "--hidden-sizes", "4", "--compile=off", "--steps", "12",
        "--batch-size=4", "--eval-episodes", "0", "--buffer-size=100",
        "--normalize-observations", "true", "--run-dir", str(tmp_path / "run"),
    ]  # fmt: skip
    assert main(line) == 0
    assert (
        "initialized from run/checkpoints/BEST at step 60: parameters, statistics of the "
        "normalizer, 60 transitions; optimizers start fresh\n"
    ) in capsys.readouterr().out
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["init_from"]["path"] == "run/checkpoints/BEST"
    line[line.index("--hidden-sizes") + 1] = "5"
    line[-1] = str(tmp_path / "other")
    assert main(line) == 2
    assert not (tmp_path / "other").exists()


def test_values_are_split_from_the_others() -> None:
    tuning, rest = FineTuning.split({"gamma": 0.9, "init_from": "a", "init_buffer": False})
    assert (tuning.path, tuning.with_buffer) == ("a", False)
    assert tuning.folder.is_absolute()
    assert rest == {"gamma": 0.9}
    assert FineTuning.split({"steps": 3}) == (FineTuning(), {"steps": 3})
