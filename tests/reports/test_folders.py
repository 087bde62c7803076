"""Run folders as a report reads them."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reported_runs import checkup, finding, write_log, write_run

from footlight.errors import UserError
from footlight.reports import folders
from footlight.reports.folders import Cache, ReportRun, find_runs, read_runs
from footlight.runs.lock import locked


def read(folder: Path, cache: Cache | None = None) -> ReportRun:
    (run,) = read_runs([folder], cache)
    return run


def test_runs_are_found_in_and_below_folders_each_once(tmp_path: Path) -> None:
    for name in ("b/seed-1", "b/seed-0", "a"):
        write_run(tmp_path / name)
    found, notes = find_runs([tmp_path / "b", tmp_path, tmp_path / "a"])
    names = [path.relative_to(tmp_path).as_posix() for path in found]
    assert names == ["b/seed-0", "b/seed-1", "a"]
    assert notes == []
    assert [run.name for run in read_runs(found)] == names


def test_only_folders_of_runs_are_accepted(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"contains none - .* - give the folder"):
        find_runs([tmp_path])
    with pytest.raises(UserError, match="is not a folder"):
        find_runs([tmp_path / "missing"])


def test_there_are_not_more_runs_than_can_be_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "MAX_RUNS", 2)
    for name in "abc":
        write_run(tmp_path / name)
    found, notes = find_runs([tmp_path])
    assert len(found) == 2
    assert notes == ["Only the first 2 of 3 runs are shown."]


def test_the_columns_of_a_run(tmp_path: Path) -> None:
    run = read(write_run(tmp_path / "run", diagnostics=[{"step": 5, "critic_bias": 0.5}]))
    assert (run.environment, run.algorithm, run.last_return) == ("Pendulum-v1", "sac", 2.0)
    assert run.episodes == 3
    curve = run.curve("evaluations", "mean_return")
    assert curve is not None
    assert (curve.x.tolist(), curve.y.tolist()) == ([500, 1000], [1, 2])
    assert run.curve("diagnostics", "critic_bias") is not None
    assert run.curve("metrics", "missing") is None
    assert run.step == 1000
    assert run.notes == []


def test_of_too_many_episodes_a_part_is_read_and_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_run(tmp_path / "run")
    rows = [{"step": n, "return": 1.0, "length": 1} for n in range(20_000)]
    write_log(folder, "episodes", rows)
    assert not read(folder).is_partial
    monkeypatch.setattr(folders, "MAX_BYTES", 10_000)
    run = read(folder)
    assert run.is_partial
    assert 0 < run.episodes < 20_000
    assert "were not read" in run.notes[0]


def test_ends_of_episodes(tmp_path: Path) -> None:
    rows = [{"step": n, "return": 1, "length": 1, "truncated" if n % 4 == 0 else "terminated": True}
            for n in range(400)]  # fmt: skip
    folder = write_run(tmp_path / "run")
    write_log(folder, "episodes", rows)
    run = read(folder)
    ends = run.curve("episodes", "time_limit")
    assert ends is not None
    assert run.window == 20
    assert ends.y[-1] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("result", "state"),
    [({"status": "finished", "steps": 1000}, "finished"), ({"status": "diverged", "steps": 1000},
     "diverged"), (None, "interrupted"), ({"status": "finished", "steps": 10}, "interrupted"),
     ({"status": [1], "steps": "x"}, "interrupted")],
)  # fmt: skip
def test_the_state_of_a_run(tmp_path: Path, result: dict[str, Any] | None, state: str) -> None:
    assert read(write_run(tmp_path / "run", result=result)).state == state


def test_a_run_in_progress_is_running(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    with locked(folder):
        assert read(folder).state == "running"


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"a": NaN}', "[" * 100_000, "", '{"a": ' + "9" * 9_000 + "}"]
)
def test_damaged_files_are_skipped_and_named(tmp_path: Path, text: str) -> None:
    folder = write_run(tmp_path / "run")
    for name in ("config.json", "machine.json", "result.json"):
        (folder / name).write_text(text)
    run = read(folder)
    assert run.config == run.machine == run.result == {}
    assert sum("was skipped" in note for note in run.notes) == 3
    assert run.last_return == 2.0


def test_links_are_not_followed(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    other = write_run(tmp_path / "other")
    for name in ("config.json", "evaluations.jsonl"):
        (folder / name).unlink()
        (folder / name).symlink_to(other / name)
    (folder / "videos").symlink_to(other)
    run = read(folder)
    assert run.environment == "unknown environment"
    assert run.curve("evaluations", "mean_return") is None
    assert len(run.notes) >= 2


def test_a_folder_with_nothing_but_a_log_is_reported(tmp_path: Path) -> None:
    write_log(tmp_path, "episodes", [{"step": 1, "return": 2.0}])
    run = read(find_runs([tmp_path])[0][0])
    assert run.notes == ["config.json is missing."]
    assert run.last_return == 2.0


def test_videos_are_files_of_their_kinds(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "videos").mkdir()
    for name in ("step-2.mp4", "step-1.gif", "notes.txt"):
        (folder / "videos" / name).write_bytes(b"x")
    (folder / "videos" / "step-3.mp4").symlink_to("/etc/passwd")
    assert [path.name for path in read(folder).videos] == ["step-1.gif", "step-2.mp4"]


def test_what_the_doctor_says_or_why_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_run(tmp_path / "run")
    said = checkup(finding())
    monkeypatch.setattr(folders, "examine", lambda _: said)
    assert read(folder).checkup is said


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("division by zero"), KeyError("return"), TypeError(), MemoryError(),
        RecursionError(), OverflowError(), FileNotFoundError(2, "gone"), AssertionError(),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "invalid"), UserError("it is invalid - restore it"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_run_is_read_whatever_the_doctor_raises(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: Path) -> None:
        raise error

    monkeypatch.setattr(folders, "examine", failing)
    run = read(write_run(tmp_path / "run"))
    assert run.checkup is None
    assert run.last_return == 2.0
    what = str(error) if isinstance(error, UserError) else f"{type(error).__name__}."
    assert run.notes == [f"The doctor could not examine the run: {what}"]


def test_with_a_cache_the_doctor_is_asked_again_after_an_evaluation_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, cache, asked = write_run(tmp_path / "run"), Cache(), []
    monkeypatch.setattr(folders, "examine", lambda path: asked.append(path) or checkup())
    for _ in range(2):
        assert read(folder, cache).checkup == checkup()
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1500, "critic_loss": 0.25}\n')
    assert read(folder, cache).step == 1500
    assert len(asked) == 1
    with (folder / "evaluations.jsonl").open("a") as file:
        file.write(json.dumps({"step": 2000, "mean_return": 9.0, "std_return": 0}) + "\n")
    assert read(folder, cache).last_return == 9.0
    assert len(asked) == 2


def test_a_cache_forgets_the_oldest_logs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(folders, "_MAX_CACHED", 15)
    cache = Cache()
    for name in "ab":
        read(write_run(tmp_path / name), cache)
    assert {path.parent.name for path, log in cache.logs.items() if log.size} == {"b"}
    assert sum(log.size for log in cache.logs.values()) <= 15


def test_a_long_run_has_few_points_and_all_extremes(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    values = np.zeros(20_000)
    values[777] = -1e6
    rows = [{"step": n, "critic_loss": value} for n, value in enumerate(values.tolist())]
    write_log(folder, "metrics", rows)
    curve = read(folder).curve("metrics", "critic_loss")
    assert curve is not None
    assert len(curve.x) <= folders.MAX_POINTS + 2
    assert (curve.y.min(), curve.x[curve.y.argmin()]) == (-1e6, 777)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads everything")
def test_files_without_permission_are_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "metrics.jsonl").chmod(0)
    assert "metrics.jsonl was skipped" in read(folder).notes[0]
