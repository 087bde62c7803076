"""What can be removed from run folders, and its removal: also killed at any point."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_folders import ARRAYS, add_checkpoint, content_of, held_elsewhere, write_run

import footlight
from footlight.errors import StorageFault, UserError
from footlight.runs import cleaning
from footlight.runs.cleaning import Removable, clean
from footlight.runs.listing import list_runs
from footlight.runs.lock import locked
from footlight.runs.states import KINDS, Kind
from footlight.runs.verification import verify
from footlight.storage import checkpoint


def write_full_run(run: Path) -> Path:
    """A finished run that has something of every kind but `incomplete`."""
    write_run(run, saved=(20, 40, 60, 80))
    checkpoints = run / "checkpoints"
    (checkpoints / "BEST").write_text("step-000000040\n")
    shutil.copytree(checkpoints / "step-000000080", checkpoints / ".step-000000090.tmp")
    (run / ".result.json.tmp").write_text("{")
    (run / "videos").mkdir()
    (run / "videos" / "step-000000050.mp4").write_bytes(b"video")
    (run / "videos" / ".step-000000080.mp4").write_bytes(b"vid")
    (run / "curve.png").write_bytes(b"picture")
    (run / ".notes").write_text("mine")
    return run


def write_incomplete_run(run: Path) -> Path:
    """A run that was killed before its first checkpoint."""
    write_run(run, saved=(), means=(), result=None)
    (run / "evaluations.jsonl").unlink()
    (run / "checkpoints").mkdir()
    shutil.copytree(Path(__file__).parents[1] / "data", run / "checkpoints" / ".step-000000000.tmp")
    return run


def kinds(folder: Path) -> dict[str, tuple[str, ...]]:
    return {each.kind: each.names for each in clean(folder)}


FULL = {
    "temporary": (
        ".result.json.tmp", "videos/.step-000000080.mp4", "checkpoints/.step-000000090.tmp",
    ),
    "checkpoints": ("checkpoints/step-000000060", "checkpoints/step-000000020"),
    "videos": ("videos",),
    "buffers": tuple(
        f"checkpoints/step-0000000{step}/buffer*.safetensors" for step in (80, 60, 40, 20)
    ),
}  # fmt: skip


def test_nothing_is_removed_unless_asked_for(tmp_path: Path) -> None:
    write_full_run(tmp_path / "a" / "full")
    write_incomplete_run(tmp_path / "b")
    before = content_of(tmp_path)
    found = clean(tmp_path)
    assert content_of(tmp_path) == before
    assert {each.kind: each.names for each in found} == FULL | {"incomplete": (".",)}
    assert [each.run for each in found] == [*[tmp_path / "a" / "full"] * 4, tmp_path / "b"]
    assert footlight.clean is clean


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "incomplete"])
def test_each_kind_is_removed_by_itself(kind: Kind, tmp_path: Path) -> None:
    run = write_full_run(tmp_path / "run")
    before = content_of(run)
    (removed,) = clean(tmp_path, [kind])
    assert (removed.kind, removed.names) == (kind, FULL[kind])
    after = content_of(run)
    lost = [content for name, content in before.items() if content and name not in after]
    assert removed.bytes == sum(map(len, lost)) > 0
    gone = [name.replace("*", "") for name in FULL[kind]]
    for name, content in before.items():
        is_gone = any(name == each or name.startswith(f"{each}/") for each in gone)
        assert (name not in after) == is_gone, name
        if not is_gone and not (kind == "buffers" and name.endswith("manifest.json")):
            assert after[name] == content
    assert [fault for _, fault in verify(run) if fault] == []
    assert kind not in kinds(tmp_path)
    assert clean(tmp_path, [kind]) == []


def test_everything_is_removed_at_once(tmp_path: Path) -> None:
    run = write_full_run(tmp_path / "run")
    write_incomplete_run(tmp_path / "killed")
    removed = clean(tmp_path, [*KINDS])
    assert [each.kind for each in removed] == ["incomplete", "temporary", "checkpoints", "videos",
                                               "buffers"]  # fmt: skip
    assert clean(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [
        "BEST", "LATEST", "step-000000040", "step-000000080",
    ]  # fmt: skip
    assert (run / ".notes").read_text() == "mine"
    assert list_runs(run)[0].state == "finished"


def test_buffer_in_segments_is_removed_and_others_stay_readable(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", saved=())
    (run / "checkpoints").mkdir()
    previous, rows = None, np.zeros((3000, 10_000), np.uint8)  # of 30 MB
    for step in (50, 100):
        folder = run / "checkpoints" / f"step-{step:09d}"
        spans = {"buffer": {"rows": checkpoint.RingPosition(2_000, 2_000)}}
        groups: dict[str, Any] = {**ARRAYS, "buffer": {"rows": rows}}
        content = {"step": step, "config": {"buffer_size": 9}}
        checkpoint.write(folder, groups, content, spans, previous)
        previous = folder
    assert kinds(tmp_path)["checkpoints"] == ("checkpoints/step-000000050",)
    small, all_buffers = (each.bytes for each in clean(tmp_path))
    assert small < 1_000_000  # the segments are those of the newest one, too
    assert 30_000_000 < all_buffers < 31_000_000
    (removed,) = clean(tmp_path, ["buffers"])
    assert removed.bytes == all_buffers
    for folder in (run / "checkpoints").iterdir():
        assert checkpoint.damage(folder) is None
        assert checkpoint.read_arrays(folder, "agent")["weight"].tolist() == [*range(6)]
        assert not [*folder.glob("buffer*")]
        with pytest.raises(UserError, match="has no replay buffer - `footlight clean` has remov"):
            checkpoint.read_arrays(folder, "buffer")
    assert list_runs(run)[0].bytes < 100_000


def test_buffers_are_kept_where_they_are_needed(tmp_path: Path) -> None:
    write_run(tmp_path / "stopped", saved=(100,), result=None)
    rollout = write_run(tmp_path / "rollout", saved=())
    add_checkpoint(rollout, 100, config={"n_steps": 5})
    earlier = tmp_path / "format-2"
    shutil.copytree(Path(__file__).parents[1] / "data" / "format-2", earlier)
    before = content_of(tmp_path)
    assert clean(tmp_path, ["buffers"]) == []
    assert content_of(tmp_path) == before


def test_older_checkpoints_are_kept_if_the_newest_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", saved=(50, 100))
    damaged = run / "checkpoints" / "step-000000100" / "agent.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    before = content_of(tmp_path)
    assert "checkpoints" not in kinds(tmp_path)
    assert clean(tmp_path, ["checkpoints"]) == []
    assert content_of(tmp_path) == before
    assert "its older checkpoints may be needed" in capsys.readouterr().err


@pytest.mark.parametrize("pointer", ["LATEST", "BEST"])
def test_checkpoint_that_a_pointer_names_is_kept(pointer: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", saved=(10, 20, 30))
    (run / "checkpoints" / pointer).write_text("step-000000010\n")
    clean(tmp_path, ["checkpoints"])
    assert [each.name[-3:] for each in checkpoint.newest_first(run)] == ["030", "010"]


def test_checkpoint_that_was_being_removed_is_temporary(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", saved=(50, 100))
    (run / "checkpoints" / "step-000000050" / "manifest.json").unlink()
    (run / "checkpoints" / "step-000000100" / "buffer-ab.safetensors").write_bytes(b"left")
    (run / "checkpoints" / "step-000000100" / ".manifest.json.tmp").write_text("{")
    names = (
        "checkpoints/step-000000050", "checkpoints/step-000000100/.manifest.json.tmp",
        "checkpoints/step-000000100/buffer-ab.safetensors",
    )  # fmt: skip
    assert kinds(tmp_path)["temporary"] == names
    clean(tmp_path, ["temporary"])
    assert not any((run / name).exists() for name in names)
    assert [fault for _, fault in verify(run) if fault] == []


def test_running_damaged_and_foreign_folders_are_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running, new = write_full_run(tmp_path / "running"), write_incomplete_run(tmp_path / "new")
    own = write_full_run(tmp_path / "own")
    damaged = write_full_run(tmp_path / "damaged")
    (damaged / "config.json").write_text("{")
    foreign = write_incomplete_run(tmp_path / "foreign")
    (foreign / "notes.txt").touch()
    unlocked = write_incomplete_run(tmp_path / "unlocked")
    (unlocked / ".lock").unlink()
    (tmp_path / "empty").mkdir()
    agent = write_run(tmp_path / "agent", saved=(), result=None)
    for file in add_checkpoint(agent, 40).iterdir():
        file.rename(agent / file.name)
    before = content_of(tmp_path)
    with held_elsewhere(running), held_elsewhere(new), locked(own):
        assert {each.run.name for each in clean(tmp_path, [*KINDS])} <= {"foreign", "unlocked"}
    lost = {name for name in before if name not in content_of(tmp_path)}
    tmp = "checkpoints/.step-000000000.tmp"  # what a kill has left in runs that have more
    assert all(name.startswith((f"foreign/{tmp}", f"unlocked/{tmp}")) for name in lost)
    said = capsys.readouterr().err
    assert f"skipped {running}: a training is running in it" in said
    assert f"skipped {damaged}: config.json is invalid" in said


def test_training_that_begins_meanwhile_keeps_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_full_run(tmp_path / "run")
    before, found = content_of(run), list_runs(tmp_path)
    monkeypatch.setattr(cleaning, "list_runs", lambda folder: found)
    with held_elsewhere(run) as holder:
        assert clean(tmp_path, [*KINDS]) == []
    assert content_of(run) == before
    assert f"is in use - process {holder}" in capsys.readouterr().err


def test_run_that_was_resumed_and_killed_meanwhile_keeps_its_buffers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "run", saved=(100,))
    found = list_runs(tmp_path)
    monkeypatch.setattr(cleaning, "list_runs", lambda folder: found)
    add_checkpoint(run, 150)
    assert [each.kind for each in clean(tmp_path, ["checkpoints", "buffers"])] == ["checkpoints"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    elsewhere, run = write_full_run(tmp_path / "elsewhere"), tmp_path / "top" / "run"
    write_run(run, saved=())
    for name in ("checkpoints", "videos"):
        (run / name).symlink_to(elsewhere / name)
    other = write_run(tmp_path / "top" / "other", saved=(50, 100))
    (other / "checkpoints" / ".step-000000070.tmp").symlink_to(elsewhere)
    (other / "checkpoints" / "step-000000010").symlink_to(elsewhere / "checkpoints/step-000000020")
    (other / "checkpoints" / "step-000000050" / "link").symlink_to(elsewhere)
    (tmp_path / "top" / "linked").symlink_to(elsewhere)
    before = content_of(elsewhere)
    assert [(each.kind, each.run) for each in clean(tmp_path / "top", [*KINDS])] == [
        ("checkpoints", other), ("buffers", other),
    ]  # fmt: skip
    assert content_of(elsewhere) == before


def test_what_cannot_be_removed_is_reported_once_all_else_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("1", "2", "3"):
        write_full_run(tmp_path / name)
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if "2" in self.parts and self.name == "videos":
            raise PermissionError(13, "Permission denied", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StorageFault, match=r"cannot clean .*2 - PermissionError: .*permissions"):
        clean(tmp_path, ["videos"])
    assert [(tmp_path / name / "videos").exists() for name in "123"] == [False, True, False]


def test_unknown_kinds_and_folders_are_rejected(tmp_path: Path) -> None:
    wrong: Any = ["runs"]
    with pytest.raises(UserError, match="cannot delete 'runs' - it must be one of temporary, in"):
        clean(tmp_path, wrong)
    with pytest.raises(UserError, match="there is no folder"):
        clean(tmp_path / "none", ["videos"])


def test_incomplete_run_in_the_working_directory_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_incomplete_run(tmp_path / "run"))
    assert [each.kind for each in clean(".", ["incomplete"])] == ["incomplete"]
    assert not [*tmp_path.iterdir()]


KILLED = """
import os, pathlib, shutil, signal, sys
from footlight.runs.cleaning import clean
from footlight.runs.states import KINDS

left = int(sys.argv[2])

def counted(call):
    def dying(*given, **more):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return call(*given, **more)
    return dying

for name in ("unlink", "rmdir", "rename", "replace"):
    setattr(os, name, counted(vars(os)[name]))
clean(sys.argv[1], [*KINDS])
print("ended")
"""


def is_valid(run: Path) -> bool:
    return not [fault for _, fault in verify(run) if fault] and list_runs(run)[0].note == ""


@pytest.mark.parametrize("write", [write_full_run, write_incomplete_run])
def test_kill_at_any_file_operation_leaves_valid_runs(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    reference = write(tmp_path / "reference" / "run").parent
    expected = tmp_path / "expected"
    shutil.copytree(reference, expected)
    clean(expected, [*KINDS])
    number, stride = 0, 3
    while True:
        top = tmp_path / f"killed-{number}"
        shutil.copytree(reference, top)
        words = [sys.executable, "-c", KILLED, str(top), str(number)]
        code = subprocess.run(words, capture_output=True, check=False).returncode
        if code == 0:
            break
        assert code == -signal.SIGKILL
        if write is write_full_run:
            assert is_valid(top / "run")
        elif (top / "run").exists():
            assert [info.state for info in list_runs(top)] in ([], ["interrupted"])
        clean(top, [*KINDS])  # which ends what was begun
        left = {path for path in content_of(top) if not path.startswith(".run.")}  # its lock
        assert left == {*content_of(expected)}
        number += stride
    assert number > 2 * stride


def test_names_are_relative_to_the_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", saved=())
    (run / "videos").mkdir()
    assert clean(run) == []  # an empty folder frees nothing
    (run / "videos" / "a.mp4").write_bytes(b"123")
    os.link(run / "videos" / "a.mp4", tmp_path / "shared")
    assert clean(run) == [Removable("videos", run, ("videos",), 0)]
    assert json.loads((run / "config.json").read_text())["seed"] == 3
