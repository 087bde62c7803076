"""Collectors in processes: killed, failing, interrupted; and none is left over."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from collecting import RUNS, SMALL, InProcess, digests

import footlight
from footlight.collection.collection import Collection
from footlight.errors import EnvironmentFault, FootlightError
from footlight.streams import derived_seed


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Whatever a test does, its collectors end with it."""
    before = set(multiprocessing.active_children())
    yield
    assert set(multiprocessing.active_children()) <= before


def test_same_numbers_after_some_are_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {**SMALL, **RUNS["ppo"], "collectors": 2}
    with monkeypatch.context() as patch:
        patch.setattr("footlight.training.parts.ProcessChannel", InProcess)
        InProcess.losses = set()
        footlight.train("ppo", run_dir=tmp_path / "one", **arguments)
    calls, step = iter(range(1000)), Collection.step

    def killing(collection: Collection, *given: Any) -> Any:
        if (call := next(calls)) in (20, 60, 61):
            channel: Any = collection._collectors[call % 2].channel
            os.kill(channel._process.pid, signal.SIGKILL)
        return step(collection, *given)

    monkeypatch.setattr(Collection, "step", killing)
    footlight.train("ppo", run_dir=tmp_path / "other", **{**arguments, "quiet": False})
    assert digests(tmp_path / "one") == digests(tmp_path / "other")
    out = capsys.readouterr().out
    assert "2 collectors, processes of 2 environments each" in out
    assert out.count("killed by signal 9 (SIGKILL)") == 3
    assert "another one repeats what it had not returned" in out


def test_vector_environments_in_processes(tmp_path: Path) -> None:
    """Their episodes end without an info, in rows that are no transitions."""
    arguments = {**SMALL, "n_steps": 8, "num_envs": 4, "collectors": 2, "steps": 400}
    arguments |= {"vectorization": "native", "eval_episodes": 0}
    run = footlight.train("a2c", "CartPole-v1", run_dir=tmp_path / "run", **arguments)
    rows = (run.folder / "episodes.jsonl").read_text().splitlines()
    assert {json.loads(row)["env"] for row in rows} == {0, 1, 2, 3}
    assert run.result is not None
    assert run.result["steps"] == 400


class Slow(gymnasium.Env[Any, Any]):
    """Starts a program, and a step takes half a second."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, folder: Path) -> None:
        self.program = subprocess.Popen(["sleep", "600"])
        (folder / str(self.program.pid)).touch()

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        time.sleep(0.5)
        return np.zeros(1, np.float32), 1.0, False, False, {}

    def close(self) -> None:
        self.program.terminate()
        self.program.wait()


def test_a_stop_waits_for_a_step_and_not_for_a_chunk(tmp_path: Path) -> None:
    """Environments are closed, and what they have started can be terminated."""
    (tmp_path / "programs").mkdir()
    arguments = {**SMALL, "n_steps": 100, "num_envs": 2, "collectors": 2, "steps": 1000}
    arguments |= {"probe": "off", "eval_episodes": 0, "max_time": 3.0}
    footlight.train(
        "a2c", partial(Slow, tmp_path / "programs"), run_dir=tmp_path / "run", **arguments
    )
    programs = [path.name for path in (tmp_path / "programs").iterdir()]
    assert len(programs) >= 3  # of the template, too
    assert not [number for number in programs if Path(f"/proc/{number}").exists()]


SCRIPT = """
import sys, footlight
arguments = {arguments}
footlight.train("td3", run_dir=sys.argv[1], **arguments)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ends with its parent on Linux")
def test_a_killed_learner_leaves_no_collector_and_resumes(tmp_path: Path) -> None:
    arguments = {**SMALL, **RUNS["td3"], "collectors": 2, "checkpoint_every": 20, "eval_every": 0}
    footlight.train("td3", run_dir=tmp_path / "whole", **arguments)
    run_dir, script = tmp_path / "killed", tmp_path / "script.py"
    script.write_text(SCRIPT.format(arguments=arguments))
    process = subprocess.Popen([sys.executable, str(script), str(run_dir)])
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 120
    while not any(run_dir.glob("checkpoints/step-*[1-9]*")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    collectors = [int(number) for number in children.read_text().split()]
    process.kill()
    process.wait()
    assert len(collectors) == 2
    for number in collectors:
        while Path(f"/proc/{number}").exists() and not _is_dead(number):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    footlight.resume(run_dir, quiet=True)
    assert digests(run_dir) == digests(tmp_path / "whole")


def _is_dead(number: int) -> bool:
    """Whether a process has ended, and nobody has asked how."""
    return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


class Failing(gymnasium.Env[Any, Any]):
    """Raises an error at one step of environment 3."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    bad_seed = derived_seed(0, "episode", 3, 2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.steps, self.seed = 0, seed
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.steps == 4 and self.seed == self.bad_seed:
            raise RuntimeError("the arm is stuck")
        return np.zeros(1, np.float32), 1.0, self.steps == 6, False, {}


def test_a_fault_stops_the_run_and_can_be_skipped(tmp_path: Path) -> None:
    arguments = {**SMALL, "n_steps": 5, "num_envs": 4, "collectors": 2, "steps": 200}
    with pytest.raises(EnvironmentFault, match="environment 3 failed at step 4") as caught:
        footlight.train("a2c", Failing, run_dir=tmp_path / "run", **arguments)
    assert "the state is saved" in str(caught.value)
    crash = next((tmp_path / "run" / "crash").iterdir())
    fault = json.loads((crash / "fault.json").read_text())
    assert fault["seed"] == Failing.bad_seed
    run = footlight.resume(
        tmp_path / "run", environment=Failing, quiet=True, on_env_fault="new-episode"
    )
    assert run.result is not None
    assert (run.result["status"], run.result["env_faults"]) == ("finished", 1)


def test_an_error_in_a_collector_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any) -> Any:
        raise ZeroDivisionError("no actions today")

    monkeypatch.setattr("footlight.collection.collector.Collector._decide", broken)
    arguments = {**SMALL, "n_steps": 5, "num_envs": 2, "collectors": 2, "steps": 200}
    with pytest.raises(FootlightError, match="a collector has failed: ZeroDivisionError: no act"):
        footlight.train("a2c", "CartPole-v1", run_dir=tmp_path / "run", **arguments)
