"""Several seeds: which there are, how many train together, and what is printed and raised."""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from small_runs import SMALL

import footlight
from footlight.cli.main import main
from footlight.errors import Diverged, EnvironmentFault, UserError
from footlight.instruments.progress import Display
from footlight.machine import all_cores
from footlight.runs.seeds_folder import SeedsFolder, read_seeds
from footlight.storage import checkpoint
from footlight.training import resuming, seeds
from footlight.training.children import Ended, run_together
from footlight.training.request import Request
from footlight.training.seeds import failure_of, num_together, parse_seeds

SHORT: dict[str, Any] = {
    **SMALL, "preset": False, "learning_starts": 20, "steps": 60, "updates_per_step": 0.25
}  # fmt: skip
NEEDS_FORKS = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs forks")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("given", "first", "expected"),
    [
        (3, None, (0, 1, 2)),
        ("3", None, (0, 1, 2)),
        (2, 7, (7, 8)),
        ("3 4 7", None, (3, 4, 7)),
        ("[3, 4]", None, (3, 4)),
        (" 2 ", None, (0, 1)),
        ("[3]", None, (3,)),
        ("3,", None, (3,)),
        ([5], None, (5,)),
        (np.arange(2), None, (0, 1)),
    ],
)
def test_seeds_are_a_number_or_a_list(given: Any, first: int | None, expected: Any) -> None:
    assert parse_seeds(given, first) == expected


@pytest.mark.parametrize(
    ("given", "first", "words"),
    [
        (0, None, "seeds is 0 - it must be an integer in [1, 256]"),
        ("many", None, "seeds is 'many' - give a number of seeds, or several seeds"),
        ("3.5", None, "seeds is '3.5'"),
        (2.5, None, "seeds is 2.5"),
        ("-3 4", None, "seeds is -3"),
        ("3 3", None, "seeds has 2 seeds, 1 of them different"),
        ([], None, "seeds has 0 seeds"),
        ("3 4", 1, "seed is 1, but seeds names each seed - leave seed out"),
    ],
)
def test_other_seeds_are_refused(given: Any, first: int | None, words: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_seeds(given, first)
    assert words in str(raised.value)


@NEEDS_FORKS
def test_one_run_trains_on_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds, "all_cores", lambda: 8)
    assert [num_together(*each) for each in ((5, 1), (16, 1), (20, 4), (2, 16))] == [5, 8, 2, 1]
    # 9 runs on 8 cores: better all than 8 and then 1; 20 in two rounds, not three
    assert [num_together(*each) for each in ((9, 1), (20, 1), (15, 1))] == [9, 10, 8]
    monkeypatch.setattr(seeds, "all_cores", lambda: 2)
    assert [num_together(number, 1) for number in (1, 2, 3, 4, 5, 7)] == [1, 2, 3, 2, 3, 3]


def test_collectors_of_a_run_count_as_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(number: int, cores: int) -> int:
        raise UserError(f"{number} runs of {cores} cores")

    monkeypatch.setattr(seeds, "num_together", refuse)
    with pytest.raises(UserError, match="2 runs of 4 cores"):
        footlight.train_seeds("ppo", "CartPole-v1", seeds=2, num_envs=3, collectors=3)


def content(run: Path) -> list[Any]:
    """Everything that a run has learned and logged, but for times."""
    newest = checkpoint.find(run)
    arrays = {path.name: path.read_bytes() for path in newest.glob("*.safetensors")}
    logs = [(run / f"{name}.jsonl").read_text() for name in ("episodes", "evaluations")]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [newest.name, arrays, logs, [{**row, "time_s": 0} for row in rows]]


@NEEDS_FORKS
def test_numbers_of_each_seed_are_those_of_its_single_run(
    capfd: pytest.CaptureFixture[str],
) -> None:
    common = "sac Pendulum-v1 --steps 300 --hidden-sizes 8 8 --batch-size 8 --learning-starts 20"
    words = [*common.split(), "--eval-episodes=1", "--compile=off", "--no-preset"]
    words += ["--updates-per-step=0.25"]
    assert main(["train", *words, "--seeds", "3", "4", "7"]) == 0
    printed = capfd.readouterr().out
    together = Path("runs/Pendulum-v1/sac/001")
    assert "3 runs, 3 at a time on 2 cores" in printed or all_cores() != 2
    assert "| seeds 3, 4, 7 | 300 steps |" in printed
    assert "mean final evaluation" in printed
    assert "over 3 seeds, 95 % interval [" in printed
    assert f"next: footlight plot {together}" in printed
    assert (together / "curve.png").stat().st_size > 1_000
    assert sorted(path.name for path in together.glob("seed-*")) == ["seed-3", "seed-4", "seed-7"]
    for seed in (3, 4, 7):
        run = f"single-{seed}"
        assert main(["train", *words, "--seed", str(seed), "--run-dir", run, "--quiet"]) == 0
        assert content(Path(run)) == content(together / f"seed-{seed}")
        config = [
            Path(each, "config.json").read_text() for each in (run, together / f"seed-{seed}")
        ]
        assert config[0] == config[1]
    assert main(["resume", str(together)]) == 2
    assert "have ended - give a larger --steps" in capfd.readouterr().err


@NEEDS_FORKS
def test_resume_continues_what_has_begun_and_begins_the_rest() -> None:
    given = {**SHORT, "steps": 250}
    whole = footlight.train_seeds("td3", "Pendulum-v1", 3, run_dir="whole", **given)
    expected = [content(run.folder) for run in whole]
    footlight.train("td3", "Pendulum-v1", seed=1, run_dir="part/seed-1", **given)
    stopped = {**given, "max_time": 1e-6}
    folder = Path("part/seed-0")
    footlight.train("td3", "Pendulum-v1", seed=0, run_dir=folder, **stopped)
    arguments = read_seeds(Path("whole")).arguments
    SeedsFolder(Path("part"), (0, 1, 2), arguments).write()
    resumed = footlight.resume_seeds("part", quiet=True, max_time="none")
    assert [content(run.folder) for run in resumed] == expected


@NEEDS_FORKS
def test_share_of_the_cores_of_a_run_is_the_same_after_an_interruption(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shares = []

    def recorded(calls: Any, num_together: int, *rest: Any) -> Any:
        shares.append(num_together)
        return run_together(calls, num_together, *rest)

    monkeypatch.setattr("footlight.training.seeds.run_together", recorded)
    footlight.train_seeds("td3", "Pendulum-v1", 3, run_dir="some", **SHORT)
    shutil.rmtree("some/seed-2")
    footlight.resume_seeds("some", quiet=True)
    assert shares == [num_together(3, 1)] * 2


@NEEDS_FORKS
def test_seeds_are_added_to_those_of_the_same_configuration() -> None:
    footlight.train_seeds("td3", "Pendulum-v1", 2, run_dir="runs-a", **SHORT)
    footlight.train_seeds("td3", "Pendulum-v1", [5], run_dir="runs-a", **SHORT)
    assert read_seeds(Path("runs-a")).seeds == (0, 1, 5)
    with pytest.raises(UserError, match="seed-1 exists - a run is never overwritten"):
        footlight.train_seeds("td3", "Pendulum-v1", [1], run_dir="runs-a", **SHORT)
    with pytest.raises(UserError, match="has the seeds of another configuration"):
        footlight.train_seeds("td3", "Pendulum-v1", [8], run_dir="runs-a", **SHORT, gamma=0.5)
    footlight.train("td3", "Pendulum-v1", run_dir="other", **SHORT)
    with pytest.raises(UserError, match="other exists - a run is never overwritten"):
        footlight.train_seeds("td3", "Pendulum-v1", 2, run_dir="other", **SHORT)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"gamma": 2.0}, "gamma is 2.0"),
        ({"seed": 1, "seeds": [2]}, "leave seed out"),
        ({"environment": gymnasium.make("Pendulum-v1")}, "each seed needs its own"),
        ({"eval_environment": gymnasium.make("Pendulum-v1")}, "each seed needs its own"),
    ],
)
def test_wrong_arguments_create_nothing(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        footlight.train_seeds(
            "td3", **{"environment": "Pendulum-v1", "seeds": 2, **SHORT, **values}
        )
    assert not Path("runs").exists()


@NEEDS_FORKS
def test_error_of_all_seeds_is_raised_once_and_leaves_nothing() -> None:
    with pytest.raises(UserError, match=r"^no environment 'Pendulm-v1'|Pendulm-v1"):
        footlight.train_seeds("td3", "Pendulm-v1", 3, **SHORT)
    assert not list(Path("runs").rglob("seed-*"))
    assert not list(Path("runs").rglob("seeds.json"))


class Fails(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Fails at its 30th step in the run of seed 1."""

    count = 0

    def step(self, action: Any) -> Any:
        Fails.count += 1
        if Fails.count == 30 and any("seed-1" in path for path in open_paths()):
            raise RuntimeError("a cable broke")
        return super().step(action)


def open_paths() -> list[str]:
    return [str(path.resolve()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]


def failing() -> gymnasium.Env[Any, Any]:
    return Fails(gymnasium.make("Pendulum-v1"))


@NEEDS_FORKS
def test_failure_of_one_seed_ends_no_other() -> None:
    with pytest.raises(EnvironmentFault, match=r"1 of 3 runs failed \(seed 1\) - .*cable broke"):
        footlight.train_seeds("td3", failing, 3, run_dir="some", **SHORT, probe="off")
    results = [json.loads(Path(f"some/seed-{k}/result.json").read_text()) for k in range(3)]
    assert [result["status"] for result in results] == ["finished", "fault", "finished"]


def test_error_of_some_names_their_seeds() -> None:
    ended = {1: Ended("finished"), 2: Ended("diverged", "q is NaN", 4), 3: Ended("fault", "x", 3)}
    found = failure_of(ended, 5)  # of which two never began
    assert isinstance(found, Diverged)
    assert str(found) == "2 of 5 runs failed (seed 2, 3) - q is NaN"
    assert failure_of({1: Ended("finished"), 2: Ended("stopped")}, 2) is None
    found = failure_of({1: Ended("failed", "a bug", 1)}, 1)
    assert isinstance(found, RuntimeError)
    assert str(found) == "1 of 1 run failed (seed 1) - a bug"
    found = failure_of({1: Ended("failed", "gamma is 2", 2, is_of_all=True)}, 3)
    assert isinstance(found, UserError)
    assert str(found) == "gamma is 2"


@NEEDS_FORKS
def test_signal_stops_and_saves_all(monkeypatch: pytest.MonkeyPatch) -> None:
    notified: list[str] = []
    monkeypatch.setattr(Display, "notify", lambda display, text: notified.append(text))
    parent = os.getpid()

    def hook(context: Any) -> None:
        if context.step == 40:
            with contextlib.suppress(FileExistsError):
                Path("sent").mkdir()  # by the first run: a second signal would end all at once
                os.kill(parent, signal.SIGINT)
        if context.step > 40:
            time.sleep(0.02)

    with pytest.raises(KeyboardInterrupt, match="footlight resume some"):
        footlight.train_seeds(
            "td3", "Pendulum-v1", 3, run_dir="some", hooks=[hook], **{**SHORT, "steps": 3_000}
        )
    assert notified.count("stopping: saving the run (again to quit at once)") == 1
    begun = list(Path("some").glob("seed-*/result.json"))
    assert begun
    assert {json.loads(path.read_text())["status"] for path in begun} == {"stopped"}


@NEEDS_FORKS
def test_signal_does_not_hide_an_earlier_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(calls: Any, together: int, display: Any, interruption: Any) -> dict[int, Ended]:
        interruption.signal = signal.SIGINT
        return {0: Ended("fault", "a cable broke", 3), 1: Ended("stopped", code=130)}

    notified: list[str] = []
    monkeypatch.setattr(seeds, "run_together", stopped)
    monkeypatch.setattr(seeds.SeveralRuns, "notify", lambda display, text: notified.append(text))
    with pytest.raises(KeyboardInterrupt, match="footlight resume some"):
        footlight.train_seeds("td3", "Pendulum-v1", 2, run_dir="some", **SHORT)
    assert notified[-1] == "1 of 2 runs failed (seed 0) - a cable broke"


def test_seeds_file_can_name_no_code(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {
        "algorithm": "sac", "environment": "evil:Env-v0", "env_kwargs": {}, "preset": False,
        "values": {}, "own": [],
    }  # fmt: skip
    folder = tmp_path / "several"
    folder.mkdir()
    SeedsFolder(folder, (1,), arguments).write()
    with pytest.raises(UserError, match="built-in algorithms and registered environments only"):
        footlight.resume_seeds(folder)
    SeedsFolder(folder, (1,), {**arguments, "own": ["hooks"]}).write()
    with pytest.raises(UserError, match=r"seed 1 of .* has not begun, and was given hooks of your"):
        footlight.resume_seeds(folder)
    (folder / "seeds.json").write_text('{"seeds": [1]}')
    with pytest.raises(UserError, match=r"seeds.json is invalid: \w+ is missing"):
        footlight.resume_seeds(folder)


@NEEDS_FORKS
def test_seeds_that_cannot_begin_leave_earlier_ones_alone() -> None:
    Recorded.works = True
    footlight.train_seeds("td3", Recorded, [0], run_dir="some", **SHORT, probe="off")
    Recorded.works = False
    with pytest.raises(UserError, match="no license"):
        footlight.train_seeds("td3", Recorded, [5], run_dir="some", **SHORT, probe="off")
    assert Path("some/seed-0/result.json").exists()
    Recorded.works = True
    [_, added] = footlight.train_seeds(
        "td3", Recorded, [5, 6], run_dir="some", **SHORT, probe="off"
    )
    assert added.folder == Path("some/seed-6").absolute()


class Recorded(gymnasium.Wrapper[Any, Any, Any, Any]):
    works = True

    def __init__(self) -> None:
        if not Recorded.works:
            raise RuntimeError("no license")
        super().__init__(gymnasium.make("Pendulum-v1"))


@NEEDS_FORKS
def test_other_configuration_with_objects_is_refused_too() -> None:
    footlight.train_seeds("td3", Recorded, [0], run_dir="some", **SHORT, probe="off")
    with pytest.raises(UserError, match=r"another configuration \(gamma\)"):
        footlight.train_seeds("td3", Recorded, [1], run_dir="some", **SHORT, probe="off", gamma=0.5)


@NEEDS_FORKS
def test_command_continues_all_seeds_to_more_steps(capfd: pytest.CaptureFixture[str]) -> None:
    footlight.train_seeds("td3", "Pendulum-v1", 2, run_dir="some", **SHORT)
    assert main(["resume", "some", "--steps", "90", "--quiet"]) == 0
    results = [json.loads(Path(f"some/seed-{k}/result.json").read_text()) for k in range(2)]
    assert [result["steps"] for result in results] == [90, 90]
    assert main(["resume", "some", "--steps", "many"]) == 2
    assert "steps is 'many'" in capfd.readouterr().err


@NEEDS_FORKS
@NEEDS_FORKS
def test_more_steps_are_those_of_all_seeds() -> None:
    """Also of those that begin later, of those that an interruption kept from it, and of new
    ones."""
    footlight.train_seeds("td3", "Pendulum-v1", [0, 1], run_dir="some", **SHORT)
    shutil.rmtree("some/seed-1")  # as if it had not begun
    resumed = resuming.rest_of(Path("some"), {"steps": 90})
    assert (resumed.seeds, resumed.options.steps) == ([0, 1], 90)
    # Here that command is killed, and another one is given without steps
    runs = footlight.resume_seeds("some", quiet=True)
    assert [run.result["steps"] for run in runs] == [90, 90]
    with pytest.raises(UserError, match=r"seeds of another configuration \(steps\)"):
        footlight.train_seeds("td3", "Pendulum-v1", [2], run_dir="some", **SHORT)
    longer = {**SHORT, "steps": 90}
    (run,) = footlight.train_seeds("td3", "Pendulum-v1", [2], run_dir="some", **longer)
    assert run.result["steps"] == 90


def test_longer_run_that_was_killed_has_not_ended(capfd: pytest.CaptureFixture[str]) -> None:
    [run] = footlight.train_seeds("td3", "Pendulum-v1", 1, run_dir="some", **SHORT)
    earlier = (run.folder / "result.json").read_text()
    footlight.resume_seeds("some", steps=90, quiet=True)
    (run.folder / "result.json").write_text(earlier)  # as if killed after the checkpoint
    folder = read_seeds(Path("some"))
    assert folder.state(0) == ("interrupted", 90)
    assert not folder.has_ended(0)
    footlight.resume_seeds("some", quiet=True)
    assert folder.state(0) == ("finished", 90)


@NEEDS_FORKS
def test_code_of_your_own_is_given_again(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def hook(training):\n    pass\n")
    given = {**SHORT, "hooks": [f"{file}:hook"]}
    footlight.train_seeds("td3", "Pendulum-v1", 2, run_dir="some", **given)
    runs = footlight.resume_seeds("some", steps=90, quiet=True, allow_code=str(file))
    assert [(run.result or {})["steps"] for run in runs] == [90, 90]


def test_options_object_names_no_seed() -> None:
    options = footlight.Options(steps=50)
    request = Request.from_arguments("td3", "Pendulum-v1", {"options": options})
    assert request.given_seed is None
    assert Request.from_arguments("td3", "Pendulum-v1", {"seed": "3"}).given_seed == 3


def test_without_forks_runs_train_one_after_another(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(seeds, "can_fork", lambda: False)
    values = {**SHORT, "quiet": False}
    with pytest.raises(EnvironmentFault, match=r"1 of 2 runs failed \(seed 1\)"):
        footlight.train_seeds("td3", failing, [1, 2], run_dir="some", **values, probe="off")
    assert "one after another: this system cannot fork" in capsys.readouterr().out
    assert json.loads(Path("some/seed-2/result.json").read_text())["status"] == "finished"


def test_seeds_is_not_a_field_of_one_run() -> None:
    with pytest.raises(UserError, match=r"or call footlight\.train_seeds"):
        footlight.train("sac", "Pendulum-v1", seeds=3)
