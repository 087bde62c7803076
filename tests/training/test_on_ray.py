"""Runs and trials on a Ray cluster whose nodes are killed: the same bits, and what is refused.

Ray is used in processes of its own: its threads would stay in the one that runs the tests.
"""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from small_runs import SMALL

import footlight
from footlight.runs.lock import InUse, locked
from footlight.storage import checkpoint
from footlight.training import on_ray

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs prctl")

NODES = Path(__file__).parents[1] / "ray_nodes.py"
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "ab" * 32, "RAY_USAGE_STATS_ENABLED": "0"}
# How soon a node counts as dead: after 2 s in place of 30
IMPATIENT = {
    "RAY_health_check_initial_delay_ms": "1000", "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "3", "RAY_health_check_timeout_ms": "10000",
}  # fmt: skip
RUN: dict[str, Any] = {
    **SMALL, "preset": False, "learning_starts": 20, "steps": 60, "checkpoint_every": 20,
    "batch_size": 8, "threads": 1, "probe": "off",
}  # fmt: skip
OPTIONS = [
    "--no-preset", "--learning-starts=20", "--steps=60", "--checkpoint-every=20",
    "--batch-size=8", "--threads=1", "--probe=off", "--hidden-sizes", "8", "8", "--compile=off",
    "--eval-episodes=1", "--eval-every=0",
]  # fmt: skip
ENVIRONMENT = """
    import gymnasium, os, pathlib, signal

    HERE = pathlib.Path(__file__).parent

    class Lossy(gymnasium.Wrapper):
        '''Kills its node at a step, if a node is to be killed, and it is not the head.'''
        count = 0

        def step(self, action):
            Lossy.count += 1
            raylet = os.getppid()
            is_node = pathlib.Path(f"/proc/{raylet}/comm").read_text() == "raylet\\n"
            head = int((HERE / "head").read_text()) if is_node else raylet
            if Lossy.count == 50 and raylet != head and (HERE / "kill").exists():
                (HERE / "kill").unlink()
                os.kill(raylet, signal.SIGKILL)
                os.kill(os.getpid(), signal.SIGKILL)
            return super().step(action)

    def make():
        return Lossy(gymnasium.make("Pendulum-v1"))
"""


class Nodes(NamedTuple):
    address: str
    raylets: list[int]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A head and three nodes of one CPU each."""
    process = subprocess.Popen(
        [sys.executable, str(NODES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, **TOKEN, **IMPATIENT}, start_new_session=True, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    yield Nodes(**json.loads(process.stdout.readline()))
    process.communicate()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nodes: Nodes) -> Path:
    """The working directory, with an environment that kills one of the nodes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lossy.py").write_text(textwrap.dedent(ENVIRONMENT))
    (tmp_path / "head").write_text(str(nodes.raylets[0]))
    (tmp_path / "kill").touch()
    return tmp_path


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "footlight", *words], env={**os.environ, **TOKEN},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip


def content(run: Path) -> dict[str, Any]:
    """What a run has learned and logged, but for the times."""
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    logs = {path.name: path.read_bytes() for path in run.glob("e*.jsonl")}
    newest = checkpoint.find(run)
    arrays = {path.name: path.read_bytes() for path in newest.glob("*.safetensors")}
    return {**arrays, **logs, "metrics": [{**row, "time_s": 0} for row in rows]}


CALLS = """
    import contextlib, json, os, signal, sys, time
    from pathlib import Path
    from footlight.errors import Diverged
    from footlight.instruments.several import SeveralRuns, display_of
    from footlight.signals import Interruption
    from footlight.training.on_ray import run_on_ray
    from footlight.training.ray_cluster import connected

    here = Path.cwd()

    def diverges():
        raise Diverged("q is NaN")

    def dies_once():
        if not (here / "died").exists():
            (here / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "finished"

    def waits():
        display_of(10, True).notify("waiting for the signal")
        interruption = Interruption()
        with interruption.installed(lambda text: None):
            interruption.polling = True
            (here / "waiting").touch()
            while not interruption.should_stop():
                time.sleep(0.01)
        return f"stopped by {interruption.signal}"

    class Display(SeveralRuns):
        def end_run(self, key, state):
            super().end_run(key, state)
            ended.add(key)

        def refresh(self):
            super().refresh()
            if len(ended) == 2 and (here / "waiting").exists() and interruption.signal is None:
                os.kill(os.getpid(), signal.SIGTERM)

    with connected(sys.argv[1], here / "new", 1, "cpu", {}) as cluster:
        before = signal.getsignal(signal.SIGTERM)
        interruption, ended = Interruption(), set()
        calls = {1: diverges, 2: dies_once, 3: waits, 4: waits}
        with contextlib.redirect_stdout(sys.stderr):
            found = run_on_ray(cluster, calls, 3, Display([*calls], 10), interruption)
        again = SeveralRuns(range(9), 10, quiet=True)
        same = dict.fromkeys(range(9), lambda: "finished")
        few = run_on_ray(cluster, same, 9, again, Interruption(), are_alike=True)
        assert 1 <= len(few) < 9
        assert {each.status for each in few.values()} <= {"finished", "stopped"}, few
        assert before == signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    print(json.dumps({key: each[:3] for key, each in found.items()}))
"""


def test_calls_end_as_in_processes_of_this_machine(nodes: Nodes, folder: Path) -> None:
    """Errors are results, a process that dies is replaced, and a signal is passed on."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CALLS), nodes.address], text=True, timeout=200,
        capture_output=True, env={**os.environ, **TOKEN},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["1"] == ["diverged", "q is NaN", 4]
    assert found["2"] == ["finished", None, 0]
    stopped = {key: found[key] for key in found if key not in "12"}
    assert [*stopped.values()] in (
        [[f"stopped by {signal.SIGINT.value}", None, 0]] * number for number in (1, 2)
    )  # a call that has not begun never does
    assert "seed 2: lost (WorkerCrashedError); continuing from its checkpoint" in done.stderr
    # Either may be the first to find a free core
    assert re.search("seed [34]: waiting for the signal", done.stderr), done.stderr


def test_collectors_have_the_bits_of_processes_though_a_node_is_killed(
    nodes: Nodes, folder: Path
) -> None:
    given = ["ddpg", "lossy.py:make", *OPTIONS, "--steps=240", "--num-envs=2", "--collectors=2"]
    done = command("train", *given, "--run-dir", "ray", "--ray", nodes.address)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "its process or node was lost" in done.stdout
    assert not (folder / "kill").exists()
    changes = {"steps": 240, "num_envs": 2, "collectors": 2}
    here = footlight.train("ddpg", "lossy.py:make", run_dir="here", **{**RUN, **changes})
    assert content(folder / "ray") == content(here.folder)


def test_seeds_have_the_bits_of_single_runs_though_a_node_is_killed(
    nodes: Nodes, folder: Path
) -> None:
    given = ["ddpg", "lossy.py:make", *OPTIONS, "--seeds", "2"]
    done = command("train", *given, "--run-dir", "seeds", "--ray", nodes.address)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 runs on a Ray cluster of " in done.stdout
    assert "continuing from its checkpoint" in done.stdout
    assert not (folder / "kill").exists()
    for seed in (0, 1):
        single = footlight.train("ddpg", "lossy.py:make", seed=seed, run_dir=f"{seed}", **RUN)
        assert content(folder / "seeds" / f"seed-{seed}") == content(single.folder)
    assert {path.name[0] for path in folder.glob(".*")} == set()


def test_sweep_has_the_bits_of_single_runs_though_a_node_is_killed(
    nodes: Nodes, folder: Path
) -> None:
    (folder / "sweep.toml").write_text("""
        algorithm = "ddpg"
        environment = "Pendulum-v1"
        method = "grid"
        preset = false
        values = { learning_starts = 20, steps = 60, checkpoint_every = 20, threads = 1, \
            probe = "off", hidden_sizes = [8, 8], compile = "off", eval_episodes = 1, \
            eval_every = 0 }
        search = { batch_size = [4, 8] }
    """)
    own = ["--environment", "lossy.py:make", "--run-dir", "sweep"]
    done = command("sweep", "sweep.toml", *own, "--ray", nodes.address)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (folder / "kill").exists()
    for number, batch_size in enumerate((4, 8)):
        given = {**RUN, "batch_size": batch_size}
        single = footlight.train("ddpg", "lossy.py:make", seed=0, run_dir=f"{number}", **given)
        assert content(folder / "sweep" / f"trial-{number}" / "seed-0") == content(single.folder)


def test_call_waits_for_the_process_that_it_was_lost_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[int] = []

    def call() -> str:
        attempts.append(1)
        if len(attempts) < 3:
            with locked(tmp_path), locked(tmp_path):
                pass
        return "finished"

    monkeypatch.setattr(on_ray.time, "sleep", lambda seconds: None)
    assert on_ray.patiently(call) == "finished"
    assert len(attempts) == 3
    attempts.clear()
    with pytest.raises(InUse):
        on_ray.patiently(call, seconds=0)
