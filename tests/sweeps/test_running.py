"""A worker of a sweep: outcomes of trials. Trainings are replaced here."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sweep_specs import GRID

from footlight.errors import Diverged, EnvironmentFault, StorageFault, UserError
from footlight.machine import all_cores
from footlight.sweeps import running
from footlight.sweeps.running import Progress, Worker, best, described, how, num_jobs, plan
from footlight.sweeps.spec import read_spec
from footlight.sweeps.trials import SweepFolder, Trial

Result = float | Exception | str


def opened(path: Path, **changes: Any) -> SweepFolder:
    folder = SweepFolder(path, read_spec({**GRID, "seeds": 3, **changes}, "FILE"))
    folder.open()
    return folder


def trains(
    monkeypatch: pytest.MonkeyPatch, result: Callable[[Any, int], Result]
) -> list[tuple[int, int]]:
    """Let each run have this result: a return, an error, or the reason why it was stopped."""
    calls: list[tuple[int, int]] = []

    def train(run_dir: Path, seed: int, batch_size: int, **arguments: Any) -> None:
        calls.append((batch_size, seed))
        found = result(batch_size, seed)
        if isinstance(found, Exception):
            raise found
        (run_dir / "checkpoints" / "step-60").mkdir(parents=True)
        content: dict[str, Any] = {"status": "finished", "final_evaluation": None}
        if isinstance(found, str):
            content |= {"status": "stopped", "stop_reason": found}
        else:
            evaluation = {"mean_return": found, "std_return": 0.0, "returns": [found],
                          "lengths": [1], "deterministic": True}  # fmt: skip
            content["final_evaluation"] = evaluation
        content |= {"steps": 60, "updates": 1, "seconds": 1, "steps_per_second": 60}
        (run_dir / "result.json").write_text(json.dumps(content))

    monkeypatch.setattr(running, "train", train)
    return calls


@pytest.mark.parametrize(("objective", "value"), [("mean", 4.0), ("median", 3.0)])
def test_value_is_over_the_seeds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, objective: str, value: float
) -> None:
    folder = opened(tmp_path / "sweep", objective=objective)
    calls = trains(monkeypatch, lambda batch_size, seed: [1.0, 3.0, 8.0][seed])
    assert Worker(folder)() == "finished"
    assert calls == [(4, 0), (4, 1), (4, 2), (8, 0), (8, 1), (8, 2)]
    assert [(trial.state, trial.value) for trial in folder.trials()] == [("finished", value)] * 2
    assert Worker(folder)() == "finished"
    assert len(calls) == 6  # nothing is left to do


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Diverged("loss is not finite"), "seed 1: diverged: loss is not finite"),
        (EnvironmentFault("it broke"), "seed 1: environment fault: it broke"),
    ],
)
def test_fault_of_a_run_is_a_result(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, text: str
) -> None:
    folder = opened(tmp_path / "sweep")
    calls = trains(monkeypatch, lambda size, seed: error if (size, seed) == (4, 1) else 2.0)
    Worker(folder)()
    first, second = folder.trials()
    assert (first.state, first.value, first.reason) == ("failed", None, text)
    assert second.value == 2.0
    assert len(calls) == 5
    assert how(first) == f"failed: {text}"


@pytest.mark.parametrize("error", [StorageFault("the disk is full"), ValueError("a bug")])
def test_other_errors_end_the_worker_and_the_trial_goes_on_later(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    folder = opened(tmp_path / "sweep")
    trains(monkeypatch, lambda size, seed: error if seed == 2 else 1.0)
    with pytest.raises(type(error)):
        Worker(folder)()
    assert [trial.state for trial in folder.trials()] == ["running"]
    calls = trains(monkeypatch, lambda size, seed: 1.0)
    monkeypatch.setattr(
        "footlight.runs.seeds_folder.SeedsFolder.has_ended",
        lambda runs, seed: (runs.run(seed) / "result.json").exists(),
    )
    Worker(folder)()
    assert calls[0] == (4, 2)
    assert [trial.state for trial in folder.trials()] == ["finished"] * 2


def test_combination_that_a_run_refuses_is_a_result_where_others_could_begin(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = opened(tmp_path / "sweep")
    trains(monkeypatch, lambda size, seed: UserError("too large") if size == 8 else 1.0)
    Worker(folder)()
    first, second = folder.trials()
    assert (first.state, second.state) == ("finished", "failed")
    assert second.reason == "seed 0: too large"
    other = opened(tmp_path / "other")
    trains(monkeypatch, lambda size, seed: UserError("no package"))
    with pytest.raises(UserError, match="no package"):
        Worker(other)()


def test_pruned_run_is_a_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = opened(tmp_path / "sweep")
    calls = trains(monkeypatch, lambda size, seed: "pruned: worse" if size == 8 else 1.0)
    Worker(folder)()
    assert [trial.state for trial in folder.trials()] == ["finished", "pruned"]
    assert calls[3:] == [(8, 0)]
    assert how(folder.trials()[1]) == "pruned: worse"


def test_number_of_jobs() -> None:
    spec = read_spec(GRID, "FILE")
    assert num_jobs(None, spec) == min(all_cores(), spec.trials)
    assert num_jobs(7, spec) == spec.trials == 2
    with pytest.raises(UserError, match="jobs is 0"):
        num_jobs(0, spec)


def test_collectors_count_as_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "all_cores", lambda: 8)
    spec = replace(read_spec(GRID, "FILE"), trials=9)
    assert num_jobs(None, spec) == 8
    with_collectors = replace(spec, values={**spec.values, "collectors": 3})
    assert num_jobs(None, with_collectors) == 2


def test_progress_has_a_line_for_each_trial(tmp_path: Path) -> None:
    folder = opened(tmp_path / "sweep")
    lines: list[str] = []
    grid = [*folder.spec.grid()]
    progress = Progress(folder, lines.append)
    for number, value in enumerate([3.0, 2.0]):
        held = folder.claim(lambda count: (count, grid[count]))
        assert held is not None
        progress.refresh()
        with held as trial:
            Trial(trial.path, number, trial.chosen, "finished", value).write()
        progress.refresh()
    assert lines == [
        "trial 0, 1 of 2: ddpg, batch_size 4, gamma 0.9: 3 (best so far)",
        "trial 1, 2 of 2: ddpg, batch_size 8, gamma 0.9: 2",
    ]
    found = best(folder.trials())
    assert found is not None
    assert found.number == 0
    assert described(found) == "ddpg, batch_size 4, gamma 0.9"
    assert "2 trials of 3 seeds each, 2 of which have ended" in plan(folder, 1)
