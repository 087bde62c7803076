"""A tracker that fails, in whatever way, and the training that goes on."""

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tracked_run import SMALL

import footlight
from footlight.runs.trackers.follower import run_trackers
from footlight.storage import checkpoint


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"algorithm": "sac", "environment": "Pendulum-v1", "seed": 1})
    )
    (folder / "episodes.jsonl").write_text(
        '{"step": 40, "return": -9.0}\n{"step": 99, "return": 7.0}\n'
    )
    return folder


def tensorboard_points(folder: Path, tag: str) -> list[tuple[int, float]]:
    found = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    found.Reload()
    return [(event.step, event.value) for event in found.Scalars(tag)]


@pytest.fixture
def straight(tmp_path: Path) -> dict[str, Any]:
    return trained(tmp_path / "straight")


def trained(folder: Path, **options: Any) -> dict[str, Any]:
    footlight.train("a2c", "CartPole-v1", steps=300, run_dir=folder, **SMALL, **options)
    return checkpoint.read_arrays(checkpoint.find(folder), "policy")


def break_tensorboard(home: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """In processes that are started from now on, `import tensorboard` runs this."""
    (home / "broken" / "tensorboard").mkdir(parents=True)
    (home / "broken" / "tensorboard" / "__init__.py").write_text(program)
    monkeypatch.setattr(sys, "path", [str(home / "broken"), *sys.path])


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (
            "raise RuntimeError('no room')",
            "tensorboard did not accept the run - RuntimeError: no room - fix that",
        ),
        ("import os; os.kill(os.getpid(), 11)", "it was killed by signal 11"),
        ("import os; os._exit(3)", "see "),
        ("import time; time.sleep(1000)", "it took too long and was killed"),
    ],
)
def test_failing_tracker_does_not_affect_the_training(
    program: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    straight: dict[str, Any],
) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        "footlight.runs.trackers.follower.FINISH_SECONDS", 1.0 if "sleep" in program else 60.0
    )
    monkeypatch.setattr("footlight.runs.trackers.follower.QUIET_SECONDS", 0.1)
    monkeypatch.setattr(
        "footlight.instruments.progress.Display.notify", lambda display, text: said.append(text)
    )
    break_tensorboard(tmp_path, monkeypatch, program)
    weights = trained(tmp_path / "run", track="tensorboard")
    assert all(np.array_equal(weights[name], array) for name, array in straight.items())
    assert footlight.Run(tmp_path / "run").result["status"] == "finished"  # type: ignore[index]
    (last,) = (text for text in said if "add the rest later" in text)
    assert words in last
    assert last.endswith(f"footlight track {tmp_path / 'run'} --track tensorboard")
    monkeypatch.undo()
    footlight.Run(tmp_path / "run").track("tensorboard")
    assert tensorboard_points(tmp_path / "run", "result/steps") == [(300, 300)]


def test_early_end_of_a_tracker_is_reported_at_once(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    break_tensorboard(tmp_path, monkeypatch, "raise RuntimeError('no room')")
    with run_trackers(run_folder, ["tensorboard"], said.append) as check:
        waited_until = time.monotonic() + 60
        while not said and time.monotonic() < waited_until:
            check()
            time.sleep(0.05)
        check()
        (early,) = said
        assert early.startswith("tensorboard has stopped - ")
        assert early.endswith(" - the training continues")
    assert len(said) == 2


def test_tracker_process_that_cannot_start_is_reported(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with run_trackers(run_folder, ["tensorboard"], said.append) as check:
        check()
    assert "No such file or directory: '/nowhere/python'" in said[0]
    assert "add the rest later" in said[1]


def test_tracker_reads_a_killed_training_to_its_last_line(run_folder: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path\n"
        "from footlight.runs.trackers.follower import TrackerProcess\n"
        "tracker = TrackerProcess(Path(sys.argv[1]), 'tensorboard', print); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program, str(run_folder)], check=False, timeout=60
    )
    assert killed.returncode == -9
    wait_until_written(run_folder / "tensorboard")
    assert tensorboard_points(run_folder, "episode/return") == [(40, -9), (99, 7)]


def wait_until_written(home: Path) -> None:
    """Wait until the process that writes there has come and gone."""
    for _ in range(600):
        time.sleep(0.1)
        if list(home.glob("events*")):
            descriptor = os.open(home, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                continue
            finally:
                os.close(descriptor)
    raise AssertionError(f"nobody finished writing to {home}")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts in /proc")
def test_starting_and_ending_a_follower_leaves_no_descriptor_open(run_folder: Path) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with run_trackers(
        run_folder, ["tensorboard"], lambda text: pytest.fail(text) if "fill" in text else None
    ):
        pass
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert tensorboard_points(run_folder, "episode/return") == [(40, -9), (99, 7)]
