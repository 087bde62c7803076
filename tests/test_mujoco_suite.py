"""benchmarks/mujoco_suite.py: what is trained, what is skipped, what resumes, and what is drawn."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import ablations
import mujoco_runs
import mujoco_suite
import mujoco_tables
import numpy as np
import pytest
from mujoco_runs import Job, Rows, split_method
from mujoco_tables import Key, Table, curve_over_cpu, curve_over_steps, groups_of

from tolerance import assert_close

TINY = "a2c:hidden_sizes=8,num_envs=2"
# Stands in for mujoco_runs.py: no imports, and methods that fail or wait instead of learning
WORKER = """
import json, os, sys
from pathlib import Path
job, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
with open(folder.parents[2] / "order.txt", "a") as file:
    file.write(f"{job['seed']} {job['environment']} {job['method']}\\n")
if job["method"] == "ddpg":
    sys.exit("ValueError: diverged")
if job["method"] == "td3":
    os.read(0, 1)  # until nobody holds the other end
    (folder / "stopped").touch()
    sys.exit(1)
run = {name: job[name] for name in ("environment", "method", "seed", "steps")}
run |= {"commit": "c", "machine": "m", "date": "d", "values": os.environ["OMP_NUM_THREADS"]}
rows = [[job["steps"] // 2, 1.0, 2.0], [job["steps"], job["seed"] + 0.5, 4.0]]
(folder / "finished.json").write_text(json.dumps({"run": run, "rows": rows}))
"""


def suite(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> int:
    """The exit code of the program, with its stand-in for the runs."""
    monkeypatch.setattr(mujoco_suite, "publish_all", lambda table: None)
    options = ["--results", str(folder / "results")]
    return call(mujoco_suite, monkeypatch, folder, *words, *options)


def call(program: Any, monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> int:
    (folder / "mujoco_runs.py").write_text(WORKER)
    monkeypatch.setattr(mujoco_suite, "HERE", folder)
    monkeypatch.setattr(mujoco_suite, "POLL_SECONDS", 0.01)
    monkeypatch.setattr("sys.argv", [program.__name__, *words, "--work", str(folder / "work")])
    before = signal.getsignal(signal.SIGTERM)
    try:
        return int(program.main())
    finally:
        signal.signal(signal.SIGTERM, before)


def order(folder: Path) -> list[str]:
    """The runs that were started since the last call."""
    path = folder / "work" / "order.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def filled(folder: Path, runs: dict[tuple[str, str, int], list[Any]]) -> Table:
    table = Table(folder)
    for key, rows in runs.items():
        table.rows[Key(*key)] = rows
        table.runs[Key(*key)] = {**dict(zip(Key._fields, key, strict=True)), "steps": rows[-1][0]}
    return table


def test_method_is_a_name_and_fields() -> None:
    assert split_method("sac") == ("sac", {})
    assert split_method("sac:learning-rate=3e-4,tau=0.01") == (
        "sac", {"learning_rate": "3e-4", "tau": "0.01"},
    )  # fmt: skip
    mujoco_suite.require_method("sac:hidden_sizes=64 64,num_envs=2")
    mujoco_suite.require_method("sb3-tqc")
    mujoco_suite.require_method("sb3-tqc:learning_rate=1e-3,top_quantiles_to_drop_per_net=0")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sca"], "unknown method 'sca' - there are a2c, .* sac, .* sb3-sac, sb3-tqc"),
        (["sac:learning_rat=1"], "sac:learning_rat=1: unknown field .* did you mean 'learning_ra"),
        (["sac:tau=2"], "sac:tau=2: tau is 2"),
        (["sac:num_envs=0"], "num_envs is 0"),
        (["sb3-sac:tua=1"], "sb3-sac:tua=1: unknown field 'tua' - there are .* tau"),
        (["sb3-sac:tau=fast"], "sb3-sac:tau=fast: tau is 'fast' - it must be a number"),
        (["sac", "--environments", "HalfCheeta-v5"], "unknown environment .* there are Ant-v5, "),
    ],
)
def test_what_does_not_exist_is_one_line(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with pytest.raises(SystemExit, match="2"):
        suite(monkeypatch, tmp_path, *words)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error)


def test_seeds_come_first_and_finished_runs_are_skipped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sac", "ppo", "--environments", "Pendulum-v1", "CartPole-v1", "--steps=100"]
    assert suite(monkeypatch, tmp_path, *words, "--seeds=2", "--processes=1") == 0
    assert order(tmp_path) == [
        f"{seed} {environment} {method}"
        for seed in (1, 2)
        for environment in ("Pendulum-v1", "CartPole-v1")
        for method in ("sac", "ppo")
    ]
    assert "end     CartPole-v1  ppo  seed 2: 2.5 in 0.0 minutes, 0 left" in capsys.readouterr().err
    found = tmp_path / "results" / "mujoco.csv"
    assert found.read_text().splitlines()[:3] == [
        "environment,method,seed,step,return,cpu_seconds",
        "CartPole-v1,ppo,1,50,1.000,2.0",
        "CartPole-v1,ppo,1,100,1.500,4.0",
    ]
    keys = [(x["environment"], x["method"], int(x["seed"]), int(x["step"])) for x in lines(found)]
    assert keys == sorted(keys)
    runs = lines(tmp_path / "results" / "mujoco-runs.csv")
    assert {run["values"] for run in runs} == {"1"}  # thread
    # The table is enough: without the runs, and for fewer steps
    text = found.read_text()
    os.rename(tmp_path / "work", tmp_path / "gone")
    assert suite(monkeypatch, tmp_path, *words, "--seeds=2") == 0
    assert suite(monkeypatch, tmp_path, *words, "--seeds=2", "--steps=50") == 0
    assert order(tmp_path) == []
    assert found.read_text() == text


def test_only_what_is_missing_is_trained_and_longer_runs_replace_shorter_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["sac", "--environments", "Pendulum-v1", "--processes=1"]
    assert suite(monkeypatch, tmp_path, *words, "--steps=100", "--seeds=2") == 0
    order(tmp_path)
    more = ["--steps=1000", "--seeds=1", "--first-seed=2"]
    assert suite(monkeypatch, tmp_path, "ppo", *words, *more) == 0
    assert order(tmp_path) == ["2 Pendulum-v1 ppo", "2 Pendulum-v1 sac"]
    table = Table(tmp_path / "results")
    steps = {(key.method, key.seed): table.steps(key) for key in table.rows}
    assert steps == {("sac", 1): 100, ("sac", 2): 1000, ("ppo", 2): 1000}
    assert [run["steps"] for run in lines(tmp_path / "results" / "mujoco-runs.csv")] == [
        "1000", "100", "1000",
    ]  # fmt: skip
    groups = groups_of(table)["Pendulum-v1"]
    assert {label: group.seeds for label, group in groups.items()} == {
        "ppo": (2,), "sac, 100 steps": (1,), "sac, 1k steps": (2,),
    }  # fmt: skip
    other = Table(tmp_path / "results")
    other.rows[Key("Pendulum-v1", "sac", 2)].insert(0, (100, 5.0, 1.0))
    group = groups_of(other)["Pendulum-v1"]["sac, 100 steps"]
    assert group.seeds == (1, 2)
    assert [run[-1][0] for run in group.runs] == [100, 100]
    # Collecting again does not bring the shorter one back
    assert suite(monkeypatch, tmp_path, "--csv-only") == 0
    assert Table(tmp_path / "results").rows == table.rows
    assert order(tmp_path) == []


def test_failed_run_is_named_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["ddpg", "sac", "--environments", "Pendulum-v1", "--steps=100", "--seeds=1"]
    assert suite(monkeypatch, tmp_path, *words, "--processes=1") == 1
    error = capsys.readouterr().err
    assert "failed  Pendulum-v1  ddpg  seed 1: ValueError: diverged, 1 left" in error
    assert len(lines(tmp_path / "results" / "mujoco.csv")) == 2
    missing = [*words[2:], "--peer-python", str(tmp_path / "none")]
    assert suite(monkeypatch, tmp_path, "sb3-sac", *missing) == 1
    assert "failed  Pendulum-v1  sb3-sac  seed 1: [Errno 2]" in capsys.readouterr().err


def test_interruption_stops_the_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(seconds: float) -> None:
        if (tmp_path / "work" / "order.txt").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    words = ["td3", "--environments", "Pendulum-v1", "--steps=100", "--seeds=1"]
    assert suite(monkeypatch, tmp_path, *words) == 130
    assert (tmp_path / "work" / "Pendulum-v1" / "td3" / "seed-1-100" / "stopped").exists()
    assert "the same command continues" in capsys.readouterr().err


def test_run_ends_when_its_parent_does() -> None:
    code = "import mujoco_runs, time; mujoco_runs.end_with_parent(); print(1, flush=True)"
    command = [sys.executable, "-c", f"{code}; time.sleep(60)"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(mujoco_runs.__file__).parent)},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(timeout=30) == -signal.SIGTERM
    process.stdout.close()


def test_resumed_run_is_the_uninterrupted_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job = Job(TINY, "Pendulum-v1", seed=3, steps=130, every=45)
    monkeypatch.setattr(mujoco_runs, "EPISODES", 2)
    monkeypatch.setattr(mujoco_runs, "cpu_seconds", iter(range(10_000)).__next__)
    mujoco_runs.make(job, tmp_path / "alone")
    end = Rows.end

    def end_and_stop(self: Rows, step: int, mean_return: float) -> None:
        end(self, step, mean_return)
        if step == 90:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Rows, "end", end_and_stop)
    (tmp_path / "stopped" / "run" / "checkpoints").mkdir(parents=True)  # killed as it was made
    with pytest.raises(SystemExit):
        mujoco_runs.make(job, tmp_path / "stopped")
    assert not (tmp_path / "stopped" / "finished.json").exists()
    monkeypatch.setattr(mujoco_runs, "cpu_seconds", iter(range(10_000, 20_000)).__next__)
    mujoco_runs.make(job, tmp_path / "stopped")
    alone, stopped = (
        json.loads((tmp_path / name / "finished.json").read_text()) for name in ("alone", "stopped")
    )
    assert [row[:2] for row in alone["rows"]] == [row[:2] for row in stopped["rows"]]
    assert [row[0] for row in alone["rows"]] == [45, 90, 130]
    assert alone["run"] == stopped["run"]
    assert {"num_envs=2", "hidden_sizes=8"} <= {*alone["run"]["values"].split()}
    # The other process's clock continues from the checkpoint's
    seconds = [row[2] for row in stopped["rows"]]
    assert seconds == sorted(seconds)
    assert seconds[-1] < 1_000
    # A run that has ended, but whose rows were not written
    (tmp_path / "stopped" / "finished.json").unlink()
    mujoco_runs.make(job, tmp_path / "stopped")
    again = json.loads((tmp_path / "stopped" / "finished.json").read_text())
    assert again["rows"] == stopped["rows"]


def test_evaluations_are_not_part_of_the_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 15.0, 25.0, 26.0, 30.0, 100.0, 107.0, 107.5])
    monkeypatch.setattr(mujoco_runs, "cpu_seconds", clock.__next__)
    rows = Rows(steps=30, every=10)
    rows.begin()  # at 10, until 15
    rows.end(11, -1.0)
    rows.begin()  # at 25, until 26
    rows.end(20, -2.0)
    state = rows.state()  # at 30
    assert state == {"rows": [(10, -1.0, 10.0), (20, -2.0, 20.0)], "cpu_seconds": 24.0}
    resumed = Rows(steps=30, every=10)
    resumed.restore(json.loads(json.dumps(state)))  # at 100
    resumed.begin()  # at 107
    resumed.end(32, -3.0)
    assert resumed._rows[-1] == (30, -3.0, 31.0)


def test_curve_over_steps_by_hand() -> None:
    runs = [[(10, float(seed), 1.0), (20, 10.0 * seed, 2.0)] for seed in (1, 2, 3, 4, 50)]
    runs[0].append((30, 0.0, 3.0))  # not in the others
    x, mean, low, high = curve_over_steps(runs)
    assert x.tolist() == [10, 20]
    assert mean.tolist() == [3, 30]  # of 2, 3, 4
    assert low is not None
    assert high is not None
    assert (low <= mean).all()
    assert (mean <= high).all()
    single = curve_over_steps(runs[1:2])
    assert (single.mean.tolist(), single.low) == ([2, 20], None)


def test_curve_over_cpu_reaches_as_far_as_all_seeds() -> None:
    runs = [
        [(10, 0.0, 60.0), (20, 10.0, 120.0), (30, 20.0, 180.0)],
        [(10, 0.0, 90.0), (20, 30.0, 210.0), (30, 60.0, 330.0)],
    ]
    x, mean, low, high = curve_over_cpu(runs)
    assert (x[0], x[-1], len(x)) == (1.5, 3, mujoco_tables.GRID)
    # At three minutes: 20 of the first, and 3/4 of the way to 30 of the second
    assert_close(mean[[0, -1]], np.array([(5 + 0) / 2, (20 + 22.5) / 2]))
    assert low is not None
    assert high is not None
    assert_close(np.array([low[-1], high[-1]]), np.array([20, 22.5]))


def test_report_and_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs: dict[tuple[str, str, int], list[Any]] = {
        ("Hopper-v5", "sac", seed): [(500, seed, 5.0), (1000, 100.0 * seed, 10.0)]
        for seed in (1, 2, 3, 4)
    }
    runs["Hopper-v5", "td3", 2] = [(1000, 7.0, 4.0)]
    mujoco_tables.publish_all(filled(tmp_path, runs))
    text = (tmp_path / "mujoco.txt").read_text()
    assert capsys.readouterr().out == text
    by_name = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert by_name["Hopper-v5"][1:6] == ["steps", "1", "2", "3", "4"]
    assert by_name["sac"][1:8] == ["1k", "100", "200", "300", "400", "250.0", "250.0"]
    assert by_name["sac"][-1] == "100"  # steps per CPU second
    assert by_name["td3"][1:] == ["1k", "-", "7", "-", "-", "7.0", "7.0", "-", "250"]
    for name in ("mujoco-steps.png", "mujoco-cpu.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    mujoco_tables.publish_all(Table(tmp_path / "empty"))  # nothing to draw


@pytest.mark.parametrize("part", ablations.PARTS)
def test_parts_of_ablations_are_valid(part: str) -> None:
    mujoco_suite.require_method(ablations.method_of(part))


def test_ablations_compare_the_same_seeds_and_continue(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["layer norm", "LAP", "--environment=Pendulum-v1", "--steps=8", "--processes=1"]
    assert call(ablations, monkeypatch, tmp_path, *words, "--seeds=1") == 0
    assert [line.split("=")[-1] for line in order(tmp_path)] == ["layer", "lap"]
    output = ["--output", str(tmp_path / "report.txt")]
    assert call(ablations, monkeypatch, tmp_path, "none", *words, "--seeds=2", *output) == 0
    assert len(order(tmp_path)) == 4  # those of the first call are there
    rows = [re.split("  +", line) for line in (tmp_path / "report.txt").read_text().splitlines()]
    # The stand-in returns its seed and a half, and needs two CPU seconds for four steps
    assert ["none", "2", "2", "2", "-", "500.0"] in rows
    assert ["layer norm", "2", "2", "2", "+0", "500.0"] in rows
    with pytest.raises(SystemExit, match="2"):
        call(ablations, monkeypatch, tmp_path, "layers")
    assert "unknown part 'layers' - there are none, layer norm" in capsys.readouterr().err
