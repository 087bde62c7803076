"""Whole sweeps: from Python, from the command line, killed, and in two processes."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from sweep_specs import GRID, SMALL_RUNS

import footlight
from footlight.cli.main import main
from footlight.storage import checkpoint

TOML = """algorithm = "ddpg"
environment = "Pendulum-v1"
method = "grid"
preset = false
[values]
{values}
[search]
batch_size = [4, 8]
gamma = [0.9]
"""


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_toml(**changes: Any) -> str:
    values = {**SMALL_RUNS, **changes}
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in values.items())
    Path("small.toml").write_text(TOML.format(values=lines))
    return "small.toml"


def arrays(run: Path) -> dict[str, Any]:
    return checkpoint.read_arrays(checkpoint.find(run), "agent")


def require_single_runs(folder: Path, **changes: Any) -> None:
    """The runs of both trials have the bits that they have by themselves."""
    for number, batch_size in enumerate((4, 8)):
        single = Path(f"single-{number}")
        footlight.train(
            "ddpg", "Pendulum-v1", preset=False, run_dir=single, quiet=True, seed=0, gamma=0.9,
            batch_size=batch_size, **{**SMALL_RUNS, **changes},
        )  # fmt: skip
        found, wanted = arrays(folder / f"trial-{number}" / "seed-0"), arrays(single)
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
        logs = [(path / "evaluations.jsonl").read_text() for path in
                (folder / f"trial-{number}" / "seed-0", single)]  # fmt: skip
        assert logs[0] == logs[1]


def test_sweep_trains_ordinary_runs_once(capsys: pytest.CaptureFixture[str]) -> None:
    sweep = footlight.sweep(GRID, run_dir="sweep", write_preset="best.toml")
    printed = capsys.readouterr().out
    assert "sweep by grid: 2 trials, " in printed
    assert "wrote best.toml" in printed
    require_single_runs(Path("sweep"))
    assert [trial.state for trial in sweep.trials] == ["finished"] * 2
    best = sweep.best
    assert best is not None
    assert best.value == max(trial.value or -np.inf for trial in sweep.trials)
    times = [path.stat().st_mtime_ns for path in sorted(Path("sweep").glob("trial-*/seed-0/*"))]
    footlight.sweep(GRID, run_dir="sweep", quiet=True)
    assert times == [
        path.stat().st_mtime_ns for path in sorted(Path("sweep").glob("trial-*/seed-0/*"))
    ]


def test_killed_command_continues_to_the_same_bits() -> None:
    slower = {"steps": 160, "checkpoint_every": 40}
    command = [sys.executable, "-m", "footlight", "sweep", write_toml(**slower), "--jobs", "1"]
    folder = Path("runs/sweeps/small")
    first = folder / "trial-0" / "seed-0" / "checkpoints"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (first.is_dir() and [*first.glob("step-*")]):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    together = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [each.wait(timeout=240) for each in together] == [0, 0]
    assert sorted(path.name for path in folder.glob("trial-*")) == ["trial-0", "trial-1"]
    require_single_runs(folder, **slower)


def test_stopped_sweep_in_an_environment_of_python_continues(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the environment changes the working directory."""

    def make() -> Any:
        monkeypatch.chdir("/")
        return gymnasium.make("Pendulum-v1")

    given = {**GRID, "search": {"batch_size": [4]}}
    start = Path.cwd()
    sweep = footlight.sweep(given, environment=make, run_dir="sweep", quiet=True)
    os.chdir(start)
    (trial,) = sweep.trials
    assert trial.state == "finished"
    dataclasses.replace(trial, state="running", value=None).write()
    longer = Path("sweep/trial-0/seed-0/result.json")
    longer.unlink()  # as if it had been killed at its last checkpoint
    again = footlight.sweep(given, environment=make, run_dir="sweep", quiet=True)
    assert longer.is_file()
    assert again.trials == [trial]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.toml"], "cannot read none.toml"),
        (["small.toml", "--jobs", "0"], "it must be an integer >= 1"),
        (["small.toml", "--write-preset", "small.toml"], "never overwritten"),
        (["small.toml", "--environment", "Pendulum-v9"], "unknown environment"),
    ],
)
def test_wrong_command_creates_nothing(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_toml()
    assert main(["sweep", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not Path("runs").exists()


def test_quiet_command_prints_the_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", write_toml(), "--quiet", "--trials", "1", "--jobs", "1"]) == 0
    assert capsys.readouterr().out == "runs/sweeps/small\n"
    assert [path.name for path in Path("runs/sweeps/small").glob("trial-*")] == ["trial-0"]
