"""The checkpoints of a run folder: which are kept, the pointers, and the order of writes."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from footlight.errors import StorageFault
from footlight.storage import checkpoint
from footlight.storage.manager import CheckpointManager


@pytest.fixture
def manager(tmp_path: Path) -> CheckpointManager:
    made = CheckpointManager(tmp_path, keep=2)
    made.create()
    return made


def save(manager: CheckpointManager, step: int, best_step: int | None = None) -> str:
    return manager.save(step, {"agent": {"x": np.array([step])}}, {}, {}, best_step).name


def names(manager: CheckpointManager) -> list[str]:
    return sorted(path.name for path in manager.folder.iterdir())


def test_newest_and_best_checkpoints_are_kept(manager: CheckpointManager) -> None:
    for step in (0, 10, 20, 30):
        save(manager, step, best_step=10 if step >= 10 else None)
    assert names(manager) == [
        "BEST",
        "LATEST",
        "step-000000010",
        "step-000000020",
        "step-000000030",
    ]
    assert checkpoint.find(manager.folder / "BEST").name == "step-000000010"
    assert checkpoint.find(manager.folder / "LATEST").name == "step-000000030"
    save(manager, 40, best_step=40)
    assert names(manager) == ["BEST", "LATEST", "step-000000030", "step-000000040"]


def test_step_saved_again_gets_a_new_name(manager: CheckpointManager) -> None:
    assert [save(manager, step) for step in (5, 5, 5, 6, 5)] == [
        "step-000000005", "step-000000005-1", "step-000000005-2", "step-000000006",
        "step-000000005-3",
    ]  # fmt: skip
    assert checkpoint.find(manager.folder.parent).name == "step-000000006"


def test_leftovers_of_killed_processes_are_removed(manager: CheckpointManager) -> None:
    save(manager, 1)
    (manager.folder / ".step-000000002.tmp").mkdir()
    (manager.folder / "step-000000000").mkdir()  # half removed: its manifest went first
    (manager.folder / "step-000000000" / "agent.safetensors").touch()
    (manager.folder / "notes").mkdir()  # not ours
    save(manager, 3)
    assert names(manager) == ["LATEST", "notes", "step-000000001", "step-000000003"]


def test_links_are_left_alone(manager: CheckpointManager, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    checkpoint.write(outside, {"agent": {"x": np.zeros(1)}}, {})
    (manager.folder / "step-000000000").symlink_to(outside)
    for step in (1, 2, 3, 4):
        save(manager, step)
    assert checkpoint.damage(outside) is None


def test_damaged_checkpoints_are_renamed_and_intact_ones_kept(manager: CheckpointManager) -> None:
    for step in (1, 2):
        save(manager, step)
    (manager.folder / "step-000000002" / "agent.safetensors").write_bytes(b"")
    manager.resume_from(checkpoint.find(manager.folder.parent))
    save(manager, 2)
    kept = names(manager)
    assert [name for name in kept if not name.startswith("damaged")] == [
        "LATEST",
        "step-000000001",
        "step-000000002",
    ]
    assert sum(name.startswith("damaged-step-000000002-") for name in kept) == 1


def test_nothing_is_removed_before_the_new_checkpoint_is_complete(
    manager: CheckpointManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call that can fail fails once; there is an intact checkpoint before and after each."""
    for step in (1, 2):
        save(manager, step)
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
        before = checkpoint.find(manager.folder.parent)
        failing_at(number)
        calls = 0
        try:
            save(manager, step)
        except StorageFault:
            failures += 1
        monkeypatch.undo()
        found = checkpoint.find(manager.folder.parent)
        assert found.name in (before.name, f"step-{step:09d}")
        assert checkpoint.damage(found) is None
        if calls <= number:
            break
        number, step = number + 1, step + 1
    assert failures >= 6
    save(manager, step + 1)
    assert len(names(manager)) == 3


def test_deleted_folder_is_not_created_again(manager: CheckpointManager) -> None:
    save(manager, 1)
    os.rename(manager.folder, manager.folder.with_name("elsewhere"))
    with pytest.raises(StorageFault):
        save(manager, 2)
    assert not manager.folder.exists()
