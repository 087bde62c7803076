"""Writing of checkpoints: atomic, and in segments that are linked if nothing changed."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from saved import GROUPS, saved

from footlight.errors import StorageFault, UserError
from footlight.storage import checkpoint, writer
from footlight.types import Array


def half_written(folder: Path) -> Path:
    """What a process killed in the midst leaves behind."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    temporary.mkdir(parents=True)
    (temporary / "agent.safetensors").write_bytes(b"half")
    return temporary


def test_half_a_checkpoint_is_never_found(tmp_path: Path) -> None:
    half_written(tmp_path / "checkpoints" / "step-000000010")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="it has saved no checkpoint yet - wait, or start it again"):
        checkpoint.find(tmp_path)


def test_half_a_checkpoint_is_in_nobodys_way(tmp_path: Path) -> None:
    half_written(tmp_path / "a")
    assert checkpoint.read_manifest(saved(tmp_path / "a"))["step"] == 5
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def no_space(*given: Any, **more: Any) -> Any:
    raise OSError(28, "No space left on device")


ALWAYS: list[tuple[Any, str]] = [(os, "fsync"), (writer, "save"), (writer, "write_bytes")]


@pytest.mark.parametrize(
    ("where", "name", "exists"),
    [
        *((where, name, exists) for where, name in ALWAYS for exists in (False, True)),
        (Path, "mkdir", False),
        (Path, "rename", False),
        (Path, "replace", True),
    ],
)
def test_previous_checkpoint_is_kept_if_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, exists: bool
) -> None:
    old = saved(tmp_path / "a")
    folder = old if exists else tmp_path / "b"
    with monkeypatch.context() as broken:
        broken.setattr(where, name, no_space)
        with pytest.raises(
            StorageFault, match=r"No space left on device .*the previous content is kept"
        ):
            checkpoint.write(folder, GROUPS, {"step": 6})
    assert checkpoint.read_manifest(old)["step"] == 5
    assert checkpoint.read_arrays(old, "agent")["count"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert sorted(path.name for path in old.iterdir() if not path.name.startswith(".")) == [
        "agent.safetensors", "buffer.safetensors", "manifest.json",
    ]  # fmt: skip


ROWS = writer.SEGMENT_BYTES // 4096


def ring(folder: Path, array: Array, span: tuple[int, int], previous: Path | None) -> Path:
    spans = {"buffer": {"rows": checkpoint.RingPosition(*span)}}
    checkpoint.write(folder, {"buffer": {"rows": array}}, {}, spans, previous)
    return folder


def inodes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in folder.glob("buffer-rows-*")}


def whole(folder: Path) -> Array:
    return np.concatenate(list(checkpoint.read_arrays(folder, "buffer")["rows"]))


def test_only_what_is_new_is_written(tmp_path: Path) -> None:
    """A ring of two and a half segments that fills, wraps, and stands still."""
    slots = 2 * ROWS + ROWS // 2
    rows = np.zeros((slots, 1024), np.float32)
    written = 0
    folders: list[Path] = []
    fresh = []
    for count in (ROWS + 5, 3, 0, ROWS, slots - 2 * ROWS - 8, 5, slots + 1):
        for number in range(written, written + count):
            rows[number % slots] = number + 1
        stable, written = max(0, written + count - 2), written + count
        length = min(written, slots)
        folder = ring(
            tmp_path / f"c{len(folders)}",
            rows[:length],
            (stable, written),
            folders[-1] if folders else None,
        )
        assert np.array_equal(whole(folder), rows[:length])
        known = set().union(*(inodes(before).values() for before in folders))
        fresh.append(
            [name[-17:-12] for name, inode in sorted(inodes(folder).items()) if inode not in known]
        )
        folders.append(folder)
    assert [[int(number) for number in numbers] for numbers in fresh] == [
        [0, 1],
        [1],
        [1],
        [1, 2],
        [2],
        [0, 2],
        [0, 1, 2],
    ]
    for folder in folders:  # each by itself
        assert checkpoint.damage(folder) is None


def test_rows_that_may_still_change_are_written_again(tmp_path: Path) -> None:
    rows = np.zeros((2 * ROWS, 1024), np.float32)
    first = ring(tmp_path / "a", rows, (ROWS - 1, 2 * ROWS), None)
    rows[ROWS - 1] = 7
    assert np.array_equal(whole(ring(tmp_path / "b", rows, (2 * ROWS, 2 * ROWS), first)), rows)


def test_without_links_everything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.ones((2 * ROWS, 1024), np.float32)
    first = ring(tmp_path / "a", rows, (2 * ROWS, 2 * ROWS), None)
    monkeypatch.setattr(os, "link", no_space)
    second = ring(tmp_path / "b", rows, (2 * ROWS, 2 * ROWS), first)
    assert np.array_equal(whole(second), rows)
    assert not {*inodes(first).values()} & {*inodes(second).values()}


def test_group_is_removed_and_the_others_stay_as_they_were(tmp_path: Path) -> None:
    folder = saved(tmp_path / "a")
    agent = (folder / "agent.safetensors").read_bytes()
    writer.remove_group(folder, "buffer")
    manifest = checkpoint.read_manifest(folder)
    assert (manifest["step"], [*manifest["groups"]], [*manifest["files"]]) == (
        5, ["agent"], ["agent.safetensors"],
    )  # fmt: skip
    assert checkpoint.damage(folder) is None
    assert (folder / "agent.safetensors").read_bytes() == agent
    assert not (folder / "buffer.safetensors").exists()
    with pytest.raises(UserError, match="has no replay buffer - `footlight clean` has removed it"):
        checkpoint.read_arrays(folder, "buffer")


def test_group_of_records_and_segments_is_removed(tmp_path: Path) -> None:
    records = np.zeros((3, 4), [("position", np.float32), ("color", np.uint8, (2,))])
    rows = np.zeros((2 * ROWS, 1024), np.float32)
    groups: Any = {"agent": {"seen": records}, "buffer": {"seen": records, "rows": rows}}
    rings = {"buffer": {"rows": checkpoint.RingPosition(0, 0)}}
    checkpoint.write(tmp_path / "a", groups, {"step": 5}, rings)
    before = checkpoint.read_arrays(tmp_path / "a", "agent")["seen"]
    writer.remove_group(tmp_path / "a", "buffer")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "agent.safetensors", "manifest.json",
    ]  # fmt: skip
    assert np.array_equal(checkpoint.read_arrays(tmp_path / "a", "agent")["seen"], before)
    writer.remove_group(tmp_path / "a", "agent")
    assert "records" not in checkpoint.read_manifest(tmp_path / "a")


def test_checkpoint_stays_as_it_is_if_its_manifest_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(tmp_path / "a")
    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(StorageFault, match="No space left"):
        writer.remove_group(folder, "buffer")
    assert checkpoint.damage(folder) is None
    assert "rows" in checkpoint.read_arrays(folder, "buffer")


def test_group_of_another_format_is_not_removed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(Path(__file__).parents[1] / "data" / "format-2", folder)
    (newest,) = checkpoint.newest_first(folder)
    with pytest.raises(UserError, match="has format 2 - it cannot be changed"):
        writer.remove_group(newest, "buffer")
    assert checkpoint.damage(newest) is None


@given(st.integers(1, 60), st.integers(0, 200), st.integers(0, 130))
def test_changed_rows(length: int, since: int, count: int) -> None:
    written = since + count
    if written < length:  # it fills
        length = max(1, written)
    changed = writer._change_detector(length, since, written)
    places = {number % length for number in range(since, written)}
    for start in range(0, length, 7):
        stop = min(start + 7, length)
        assert changed(start, stop) or not places & set(
            range(start, stop)
        )  # too much is a pity, too little a lie
        if count < length:
            assert changed(start, stop) == bool(places & set(range(start, stop)))
