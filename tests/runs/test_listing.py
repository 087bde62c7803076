"""Listing of run folders: what each row says, and that no folder prevents the others' rows."""

import json
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from run_folders import (
    RESULT,
    add_checkpoint,
    content_of,
    evaluation,
    held_elsewhere,
    write_run,
)

import footlight
from footlight.errors import UserError
from footlight.runs import listing
from footlight.runs.listing import RunInfo, list_runs
from footlight.runs.lock import locked


def only(folder: Path) -> RunInfo:
    (info,) = list_runs(folder)
    return info


def test_row_of_a_finished_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a" / "b" / "run", means=(-2.0, -0.5, -1.5))
    os.utime(run / "result.json", (2e9, 2e9))
    size = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    before = content_of(tmp_path)
    assert list_runs(str(tmp_path)) == [
        RunInfo(run, "sac", "Pendulum-v1", 3, 100, 100, "finished", -1.5, -0.5, 2e9, size)
    ]
    assert content_of(tmp_path) == before
    assert only(run) == only(tmp_path)  # also the run itself
    assert footlight.list_runs is list_runs


def test_runs_are_sorted_by_path_with_numbers_by_value(tmp_path: Path) -> None:
    names = ["sac/2", "sac/10", "td3/001/seed-2", "td3/001/seed-10"]
    for name in reversed(names):
        write_run(tmp_path / name)
    (tmp_path / "td3/001/seeds.json").write_text("{}")
    (tmp_path / "td3/001/.lock").write_text('{"pid": 1, "host": "here"}')
    found = [info.path.relative_to(tmp_path).as_posix() for info in list_runs(tmp_path)]
    assert found == names


@pytest.mark.parametrize(
    ("result", "logged", "config", "expected"),
    [
        ({"status": "stopped", "steps": 70}, 70, {}, (70, "stopped")),
        ({"status": "fault"}, 100, {}, (100, "fault")),
        ({"status": "diverged", "steps": 120}, 120, {}, (120, "diverged")),  # saved at 100
        ({"status": "failed"}, 100, {}, (100, "failed")),
        (None, 100, {}, (70, "interrupted")),
        ({"steps": 70}, 100, {}, (70, "interrupted")),  # killed after its resume
        ({"steps": 70}, 70, {"steps": 200}, (70, "interrupted")),  # before it logged anything
    ],
)
def test_state_is_that_of_the_last_session(
    result: dict[str, Any] | None, logged: int, config: dict[str, Any], expected: tuple[int, str],
    tmp_path: Path,
) -> None:  # fmt: skip
    complete = None if result is None else RESULT | result
    run = write_run(tmp_path / "run", saved=(50, 70), result=complete, **config)
    rows = [{"step": step, "loss": 1.0} for step in (10, logged)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"st')
    info = only(run)
    assert ((info.step, info.state), info.note) == (expected, "")


def test_run_of_another_process_is_running_and_undisturbed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "metrics.jsonl").write_text('{"step": 130}\n{"step": 14')
    new = tmp_path / "new"
    new.mkdir()
    with held_elsewhere(new), held_elsewhere(run):
        for _ in range(3):
            first, second = list_runs(tmp_path)
            assert (first.state, first.path, first.step, first.note) == ("running", new, 0, "")
            assert (second.state, second.step, second.steps) == ("running", 130, 100)
        with pytest.raises(UserError, match="is in use"), locked(run):
            pass
    assert [info.state for info in list_runs(tmp_path)] == ["interrupted", "interrupted"]


def test_run_of_this_process_stays_locked_after_listing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    with locked(run):
        assert only(run).state == "running"
        with pytest.raises(AssertionError), held_elsewhere(run):
            pass
    assert only(run).state == "finished"


def test_listing_does_not_prevent_a_training_from_starting(tmp_path: Path) -> None:
    run, ended = write_run(tmp_path / "run"), threading.Event()

    def look() -> None:
        while not ended.is_set():
            list_runs(run)

    # Threads of one process do not exclude each other: the lock is taken by others
    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(3):
            with held_elsewhere(run):
                pass
    finally:
        ended.set()
        looking.join()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (None, None, "")),
        (json.dumps(evaluation(1, -2.0)) + "\n" + '{"step": 2, "mean_ret', (-2.0, -2.0, "")),
        (json.dumps(evaluation(1, None)) + "\n", (None, None, "")),
        (json.dumps(evaluation(1, 3.0)) + "\n" + json.dumps(evaluation(2, float("nan"))) + "\n",
         (None, 3.0, "")),
        ('{"std_return": 0, "mean_return": 7, "step": 2}\n', (7.0, 7.0, "")),
        (json.dumps(evaluation(1, 3.0)) + "\nnonsense\n",
         (3.0, 3.0, "evaluations.jsonl, line 2, is invalid: Expecting value")),
        ('{"step": 2, "mean_return": "x"}\n', (None, None, "evaluations.jsonl, row 1, is invalid")),
    ],
)  # fmt: skip
def test_evaluations_are_read_as_far_as_they_are_intact(
    text: str, expected: tuple[float | None, float | None, str], tmp_path: Path
) -> None:
    run = write_run(tmp_path / "run")
    (run / "evaluations.jsonl").write_text(text)
    info = only(run)
    assert (info.last_return, info.best_return) == expected[:2]
    assert info.note.startswith(expected[2])
    assert bool(info.note) == bool(expected[2])
    assert info.state == "finished"


DAMAGE: dict[str, tuple[dict[str, str | None], str, str]] = {
    "config cut off": ({"config.json": '{"algo'}, "damaged", "config.json is invalid: Unterm"),
    "config empty": ({"config.json": ""}, "damaged", "config.json is invalid"),
    "config list": ({"config.json": "[]"}, "damaged", "config.json is invalid: it holds a list"),
    "config deep": ({"config.json": "[" * 10_000}, "damaged", "config.json is invalid"),
    "config without seed": (
        {"config.json": '{"algorithm": "sac", "environment": "x"}'}, "damaged",
        "config.json is invalid: seed is missing",
    ),
    "config of other types": (
        {"config.json": '{"algorithm": 3, "environment": "x", "seed": 1}'}, "damaged",
        "config.json is invalid: algorithm",
    ),
    "config missing": ({"config.json": None}, "damaged", "config.json is missing"),
    "later version": (
        {"config.json": '{"algorithm": "x", "environment": "y", "seed": 1, "format_version": 99}'},
        "finished", "written by a later footlight (format 99)",
    ),
    "result cut off": ({"result.json": '{"stat'}, "interrupted", "result.json is invalid"),
    "result of later version": (
        {"result.json": '{"status": "exploded", "steps": 3}'}, "interrupted",
        "result.json is invalid: status",
    ),
    "lock foreign": ({".lock": "x" * 5000}, "finished", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_folder_has_a_row_that_says_what_is_wrong(name: str, tmp_path: Path) -> None:
    files, state, note = DAMAGE[name]
    write_run(tmp_path / "1")
    run = write_run(tmp_path / "2")
    write_run(tmp_path / "3")
    for file, content in files.items():
        if content is None:
            (run / file).unlink()
        else:
            (run / file).write_text(content)
    first, damaged, last = list_runs(tmp_path)
    assert (damaged.path, damaged.state) == (run, state)
    assert damaged.note.startswith(note)
    assert str(tmp_path) not in damaged.note
    assert (first.state, last.state) == ("finished", "finished")


def test_special_files_and_links_are_not_opened(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for name in ("evaluations.jsonl", "result.json", "metrics.jsonl"):
        (run / name).unlink(missing_ok=True)
    os.mkfifo(run / "evaluations.jsonl")
    (run / "result.json").symlink_to("/etc/hostname")
    (run / "metrics.jsonl").symlink_to("/dev/zero")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(os.path.relpath(run / "socket"))
    info = only(run)
    listening.close()
    assert "evaluations.jsonl is a pipe" in info.note
    assert "result.json is a symbolic link" in info.note
    assert info.state == "interrupted"


def test_unreadable_folder_has_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("1", "2", "3"):
        write_run(tmp_path / name)
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "2":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(listing.os, "scandir", refuse)  # permissions do not bind root
    found = [(info.state, info.note) for info in list_runs(tmp_path)]
    assert found == [("finished", ""), ("damaged", "cannot be read: permission denied"),
                     ("finished", "")]  # fmt: skip


def test_unreadable_lock_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(listing, "is_running", refuse)
    info = only(write_run(tmp_path / "run"))
    assert (info.state, info.note) == ("damaged", "cannot be read: permission denied")


def test_links_and_hidden_folders_are_not_followed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    run = write_run(top / "run")
    write_run(top / ".hidden")
    write_run(tmp_path / "elsewhere")
    (top / "loop").symlink_to(top)
    (top / "other").symlink_to(tmp_path / "elsewhere")
    (run / "inside").symlink_to(tmp_path)
    assert only(top).path == run
    assert only(top).bytes < 100_000
    (tmp_path / "link").symlink_to(top)
    assert only(tmp_path / "link").state == "finished"  # the folder that was given


def test_folders_of_other_programs_are_not_runs(tmp_path: Path) -> None:
    write_run(tmp_path / "model" / "run")
    (tmp_path / "model" / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model" / "checkpoints").mkdir()
    (tmp_path / "model" / ".lock").touch()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    (tmp_path / "empty").mkdir()
    assert only(tmp_path).path == tmp_path / "model" / "run"


def test_files_that_checkpoints_share_count_once(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    before = only(run).bytes
    first, second = sorted((run / "checkpoints").glob("step-*"))
    os.link(first / "buffer.safetensors", second / "shared.safetensors")
    assert only(run).bytes == before


def test_saved_agent_is_no_run_that_was_killed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "agent", saved=(), result=None)
    saved = add_checkpoint(run, 40)
    for file in saved.iterdir():
        file.rename(run / file.name)
    info = only(run)
    assert (info.state, info.step, info.note) == ("agent", 40, "")
    (run / "manifest.json").write_text("[]")
    assert (only(run).state, only(run).step) == ("agent", 0)


def test_run_that_was_killed_before_its_first_checkpoint(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", saved=(), means=(), result=None)
    assert (only(run).state, only(run).note) == ("interrupted", "no checkpoint")
    (run / "config.json").unlink()
    (run / "evaluations.jsonl").unlink()
    assert (only(run).state, only(run).algorithm) == ("interrupted", None)


def test_folders_of_earlier_formats_are_listed() -> None:
    data = Path(__file__).parents[1] / "data"
    assert [(info.path.name, info.state, info.step, info.note) for info in list_runs(data)] == [
        ("format-2", "finished", 120, ""), ("format-3", "finished", 120, ""),
    ]  # fmt: skip


def test_folder_that_does_not_exist_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no folder .*none - `footlight train` makes"):
        list_runs(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot read .*file - Not a directory"):
        list_runs(tmp_path / "file")
