"""The programs in benchmarks/: each starts, and its smallest form comes to its end.

mypy checks the rest of them, those that need Stable-Baselines3 included. kill.py has tests of its
own in tests/torture.
"""

import importlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import checkpoints
import collapse
import collection
import gpu
import kill
import learning
import ours
import own_loop
import pytest
import report
import several_seeds
import time_to_return

import footlight
from footlight.algorithms import config_class, find
from footlight.cli.main import main as command_line
from footlight.config import options
from footlight.config.fields import build
from footlight.storage.manager import CheckpointManager

PROGRAMS = [
    "ablations", "checkpoints", "collapse", "collection", "doctor", "frame_memory", "gpu",
    "growth", "kill", "learning", "mujoco_suite", "own_loop", "several_seeds", "speed",
    "time_to_return", "tricks",
]  # fmt: skip
JOB: dict[str, Any] = {"algorithm": "a2c", "environment": "CartPole-v1", "seed": 0, "threads": 1}


def call(program: str, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", [f"{program}.py", *words])
    return int(importlib.import_module(program).main())


@pytest.fixture(autouse=True)
def nothing_is_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In an empty folder, and without the minutes that `compile="on"` takes."""
    monkeypatch.chdir(tmp_path)
    for name in ("train", "Agent"):
        function = getattr(footlight, name)
        eager = lambda *given, function=function, **named: function(  # noqa: E731
            *given, **named | {"compile": "off"}
        )
        monkeypatch.setattr(footlight, name, eager)


@pytest.mark.parametrize("program", PROGRAMS)
def test_help(
    program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        call(program, monkeypatch, "--help")
    assert f"{program}.py" in capsys.readouterr().out


@pytest.mark.parametrize("name", kill.CASES)
def test_command_of_killed_case_is_valid(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    received: list[Any] = []

    def train(**named: Any) -> SimpleNamespace:
        received.append(named)
        return SimpleNamespace(folder=tmp_path)

    monkeypatch.setattr("footlight.api.train", train)
    assert command_line(kill.CASES[name].train(tmp_path, 1)) == 0
    assert received


def test_rows_of_collapse_are_valid() -> None:
    row = dict(collapse.PLAIN)
    for change in collapse.CHANGES.values():
        row |= change
        assert build(config_class(find("replay-actor-critic")), row)


def test_run_of_collapse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "LOG_EVERY", 100)
    result = collapse.train(collapse.PLAIN, steps=200, seed=1)
    assert 8 <= result["return"] <= 500
    assert result["entropy"] > 0


def test_frame_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = ["--frames=800", "--whole=80", "--output", str(tmp_path / "report.txt")]
    assert call("frame_memory", monkeypatch, *words) == 0
    assert "Image replay of 800 frames" in (tmp_path / "report.txt").read_text()


@pytest.mark.parametrize("spaces", [checkpoints.VECTORS, checkpoints.FRAMES])
def test_checkpoints_of_buffer(spaces: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "NEW", 20)
    first, further, size = checkpoints.buffer_seconds(spaces, 100)
    assert min(first, further, size) > 0


def test_checkpoints_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CheckpointManager, "save", CheckpointManager.save)  # which it replaces
    count, seconds, total = checkpoints.training_share(200)
    assert count == 2  # before its clock starts, and at its end
    assert min(seconds, total) > 0


def test_report_of_finished_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    footlight.train(
        "actor-critic", "CartPole-v1", steps=100, seed=1, run_dir="run", quiet=True, eval_every=50
    )
    words = ["actor-critic", "CartPole-v1", "--steps=100", "--seeds=1", "--runs", "run"]
    assert call("learning", monkeypatch, *words, "--output", "report.txt") == 0
    report = Path("report.txt").read_text()
    assert "100 steps, preset actor-critic/CartPole-v1" in report
    assert [line for line in report.splitlines() if line.startswith("50 ")]
    assert call("learning", monkeypatch, *words, "--first-seed=2", "--output", "other.txt") == 1


def test_speed_of_built_in_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "LOG_EVERY", options.LOG_EVERY)  # which it replaces
    answer = ours.train(**JOB, warmup=20, window=40, fields={"n_steps": 5}, log_every=5)
    assert (answer["steps"], answer["updates"]) == (40, 8)


def test_speed_of_hand_written_loop() -> None:
    answer = ours.agent(**JOB, warmup=20, window=40, fields={"n_steps": 5})
    assert (answer["steps"], answer["updates"]) == (40, 8)


def test_speed_of_hand_written_loop_with_vector_environments() -> None:
    """Steps in which an environment is reset are not counted."""
    answer = ours.agent(**JOB, warmup=40, window=80, fields={"n_steps": 5, "num_envs": 4})
    assert 76 <= answer["steps"] <= 84
    assert 3 <= answer["updates"] <= 5


def test_report_of_both_loops(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The other process takes twice as long by hand."""

    def answer(command: list[Any]) -> dict[str, Any]:
        if command[-1] == "versions":
            return {"footlight": "1"}
        _, _, _, loop, job, core = command
        assert (json.loads(job)["algorithm"], core) == ("a2c", "0")
        return {"steps": 1_000, "seconds": 0.1 if loop == "train" else 0.2}

    monkeypatch.setattr(own_loop, "run_json", answer)
    output = tmp_path / "report.txt"
    words = ["a2c-8", "--rounds=2", "--core=0", "--output", str(output)]
    monkeypatch.setattr("sys.argv", ["own_loop.py", *words])
    own_loop.main()
    row = next(line for line in output.read_text().splitlines() if line.startswith("a2c"))
    assert row.split()[-6:] == ["800.0", "800.0", "1600.0", "1600.0", "2.00", "2.00"]


def test_learning_reads_a_failed_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["learning.py", "a2c", "CartPole-v1", "--steps=9", "--seeds=1"])
    given = learning.read_arguments()

    def fail(seed: int) -> Any:
        raise learning.Failure("no figure")

    column = learning.train_all("footlight", fail, given)
    assert learning.notes_on({"footlight": column}, given) == [
        "footlight, seed 1, failed: no figure"
    ]


def test_several_seeds_are_compared_within_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    clock = iter(range(0, 1_000, 10))
    monkeypatch.setattr(several_seeds, "run", commands.append)
    monkeypatch.setattr(several_seeds.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr("sys.argv", ["several_seeds.py", "a2c-1", "--rounds=2", "--seeds=3"])
    row = several_seeds.compare("a2c-1", several_seeds.read_arguments())
    assert row == [
        "a2c-1, 3 x 100,000 steps", "30,000", "30,000", "1.00 (1.00..1.00)", "2", "3",
    ]  # fmt: skip
    assert [command[-3:] for command in commands if "--seeds" in command] == [["1", "2", "3"]] * 2
    assert len(commands) == 1 + 2 * (1 + 3)


def test_model_of_collection() -> None:
    constants = collection.Constants(policy=0.001, message=0.002, learner=0.0003, update=0.0007)
    # A round of 2 x 128 steps: 128 x 11 ms, then 2 x 2 ms and 256 x 1 ms
    assert collection.model("ppo", 0.01, 2, constants) == pytest.approx(256 / 1.668)
    # Of 2 x 32 steps: what takes longer of 32 x 11 ms and 2 x 2 + 64 x 1 ms
    assert collection.model("sac", 0.01, 2, constants) == pytest.approx(64 / 0.352)
    assert collection.model("sac", 0.0, 2, constants) == pytest.approx(64 / 0.068)


def test_time_to_return(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"RETURN": -1e9, "EVERY": 20, "EPISODES": 1, "LIMIT": 60}.items():
        monkeypatch.setattr(time_to_return, name, value)
    command_line([*time_to_return.command_of_ours(3, "run")[3:], "--compile", "off"])
    assert time_to_return.reached_by(Path("run")) == 20
    monkeypatch.setattr(
        time_to_return, "measure",
        lambda library, seed, *given: time_to_return.Reached(2.0 * seed + len(library), 500),
    )  # fmt: skip
    monkeypatch.setattr(time_to_return, "run_json", lambda command: {})
    words = ("footlight", "sb3", "--seeds=1", "--new-machines=0")
    assert call("time_to_return", monkeypatch, *words) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split() for row in rows if row.startswith("sb3")] == [
        ["sb3", "5.0", "0.5", "5.0", "(500)"]
    ]


def test_time_to_return_without_a_library_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(library: str, seed: int, *given: Any) -> time_to_return.Reached:
        if library == "footlight":
            raise report.Failure("no figure")
        return time_to_return.Reached(3.0, None)

    monkeypatch.setattr(time_to_return, "measure", measure)
    monkeypatch.setattr(time_to_return, "run_json", lambda command: {})
    words = ("footlight", "sb3", "--seeds=1", "--new-machines=0")
    assert call("time_to_return", monkeypatch, *words) == 0
    printed = capsys.readouterr()
    assert "footlight, seed 1: no figure" in printed.err
    assert "sb3                   3.0            -            3.0 (never)" in printed.out


def test_gpu_report_without_a_gpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(gpu.WAYS, "CPU", ("cpu", "off"))
    small = {"num_envs": 8, "n_steps": 4, "minibatch_size": 16, "num_epochs": 2}
    monkeypatch.setitem(gpu.WORKS, "ppo-cartpole", ("ppo", "tensors", small))
    assert call("gpu", monkeypatch, "ppo-cartpole", "--ways=CPU", "--seconds=0.01") == 0
    printed = capsys.readouterr().out
    assert "a saved and loaded agent continues with the same bits" in printed
    assert "a graph differs from eager updates by 0.0e+00" in printed  # both are eager here
    assert "ppo-cartpole" in printed
