"""The checkpoints of a run folder: what is kept, what is pointed at, what is cleaned up, in which order things reach the disk."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from footlight.errors import StorageFault
from footlight.storage import checkpoint
from footlight.storage.manager import CheckpointManager


@pytest.fixture
def rotation(tmp_path: Path) -> CheckpointManager:
    made = CheckpointManager(tmp_path, keep=2)
    made.create()
    return made


def save(rotation: CheckpointManager, step: int, best_step: int | None = None) -> str:
    return rotation.save(step, {"agent": {"x": np.array([step])}}, {}, {}, best_step).name


def names(rotation: CheckpointManager) -> list[str]:
    return sorted(path.name for path in rotation.folder.iterdir())


def test_the_newest_and_the_best_are_kept(rotation: CheckpointManager) -> None:
    for step in (0, 10, 20, 30):
        save(rotation, step, best_step=10 if step >= 10 else None)
    assert names(rotation) == [
        "BEST",
        "LATEST",
        "step-000000010",
        "step-000000020",
        "step-000000030",
    ]
    assert checkpoint.find(rotation.folder / "BEST").name == "step-000000010"
    assert checkpoint.find(rotation.folder / "LATEST").name == "step-000000030"
    save(rotation, 40, best_step=40)
    assert names(rotation) == ["BEST", "LATEST", "step-000000030", "step-000000040"]


def test_a_step_that_is_saved_again_gets_a_name_of_its_own(rotation: CheckpointManager) -> None:
    assert [save(rotation, step) for step in (5, 5, 5, 6, 5)] == [
        "step-000000005", "step-000000005-1", "step-000000005-2", "step-000000006", "step-000000005-3",
    ]  # fmt: skip
    assert checkpoint.find(rotation.folder.parent).name == "step-000000006"


def test_what_killed_processes_have_left_is_removed(rotation: CheckpointManager) -> None:
    save(rotation, 1)
    (rotation.folder / ".step-000000002.tmp").mkdir()
    (rotation.folder / "step-000000000").mkdir()  # half removed: its manifest went first
    (rotation.folder / "step-000000000" / "agent.safetensors").touch()
    (rotation.folder / "notes").mkdir()  # not ours
    save(rotation, 3)
    assert names(rotation) == ["LATEST", "notes", "step-000000001", "step-000000003"]


def test_links_are_left_alone(rotation: CheckpointManager, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    checkpoint.write(outside, {"agent": {"x": np.zeros(1)}}, {})
    (rotation.folder / "step-000000000").symlink_to(outside)
    for step in (1, 2, 3, 4):
        save(rotation, step)
    assert checkpoint.damage(outside) is None


def test_damaged_ones_are_put_aside_and_cost_no_good_one(rotation: CheckpointManager) -> None:
    for step in (1, 2):
        save(rotation, step)
    (rotation.folder / "step-000000002" / "agent.safetensors").write_bytes(b"")
    rotation.resume_from(checkpoint.find(rotation.folder.parent))
    save(rotation, 2)
    kept = names(rotation)
    assert [name for name in kept if not name.startswith("damaged")] == [
        "LATEST",
        "step-000000001",
        "step-000000002",
    ]
    assert sum(name.startswith("damaged-step-000000002-") for name in kept) == 1


def test_nothing_is_removed_before_the_new_one_is_safe(
    rotation: CheckpointManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call that could fail fails once: before and after each of them, there is a whole checkpoint to find."""
    for step in (1, 2):
        save(rotation, step)
    calls = 0
    originals = {
        name: getattr(os, name)
        for name in ("fsync", "rename", "replace", "unlink", "rmdir", "mkdir", "link")
    }

    def failing_at(number: int) -> None:
        count = iter(range(1_000_000))

        def wrapped(name: str) -> Any:
            def call(*given: Any, **named: Any) -> Any:
                nonlocal calls
                calls += 1
                if next(count) == number:
                    raise OSError(28, "No space left on device")
                return originals[name](*given, **named)

            return call

        for name in originals:
            monkeypatch.setattr(os, name, wrapped(name))

    failures, number, step = 0, 0, 3
    while True:
        before = checkpoint.find(rotation.folder.parent)
        failing_at(number)
        calls = 0
        try:
            save(rotation, step)
        except StorageFault:
            failures += 1
        monkeypatch.undo()
        found = checkpoint.find(rotation.folder.parent)
        assert found.name in (before.name, f"step-{step:09d}")
        assert checkpoint.damage(found) is None
        if calls <= number:
            break
        number, step = number + 1, step + 1
    assert failures >= 6
    save(rotation, step + 1)
    assert len(names(rotation)) == 3


def test_a_deleted_folder_is_not_made_again(rotation: CheckpointManager) -> None:
    save(rotation, 1)
    os.rename(rotation.folder, rotation.folder.with_name("elsewhere"))
    with pytest.raises(StorageFault):
        save(rotation, 2)
    assert not rotation.folder.exists()
