"""The run folder: its name, rows in order and written once, truncation to a checkpoint."""

import json
import os
from pathlib import Path

import pytest

from footlight.errors import StorageFault, UserError
from footlight.runs.folder import RunFolder, new_folder, require_unused, shown


def steps(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_folders_are_numbered(tmp_path: Path) -> None:
    made = [new_folder(None, "ALE/Pong-v5", "ppo", tmp_path) for _ in range(2)]
    assert [path.relative_to(tmp_path).as_posix() for path in made] == [
        "runs/ALE/Pong-v5/ppo/001", "runs/ALE/Pong-v5/ppo/002",
    ]  # fmt: skip
    (tmp_path / "runs/ALE/Pong-v5/ppo/041").mkdir()
    assert new_folder(None, "ALE/Pong-v5", "ppo", tmp_path).name == "042"


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ("my module:Env-v0", "my-module-Env-v0"),
        ("../../etc", "etc"),
        ("MyEnv(size=5)", "MyEnv-size-5"),
        ("..", "environment"),
    ],
)
def test_names_of_environments_are_safe_paths(environment: str, name: str, tmp_path: Path) -> None:
    folder = new_folder(None, environment, "sac", tmp_path)
    assert folder.relative_to(tmp_path).as_posix() == f"runs/{name}/sac/001"


def test_used_folder_is_rejected(tmp_path: Path) -> None:
    folder = new_folder(tmp_path / "run", "E", "sac")
    require_unused(folder)
    (folder / "notes.txt").touch()
    with pytest.raises(UserError, match="a run is never overwritten"):
        require_unused(folder)


def test_path_is_shown_as_given_or_relative_to_the_start(tmp_path: Path) -> None:
    assert shown(tmp_path / "run", tmp_path) == Path("run")
    assert shown(tmp_path / "run", tmp_path / "elsewhere") == tmp_path / "run"
    assert shown(tmp_path / "run", tmp_path, "../x/run") == Path("../x/run")


def test_rows_wait_for_a_flush_and_are_written_once(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append("metrics", {"step": 1})
    assert not (tmp_path / "metrics.jsonl").exists()
    folder.flush()
    folder.append("metrics", {"step": 2})
    folder.flush()
    folder.flush()
    assert steps(tmp_path / "metrics.jsonl") == [1, 2]
    folder.close()


def test_rows_wait_in_memory_while_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    folder = RunFolder(tmp_path)
    folder.append("episodes", {"step": 1})
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(StorageFault, match="No space left on device"):
            folder.flush()
    folder.append("episodes", {"step": 2})
    folder.flush()
    assert steps(tmp_path / "episodes.jsonl") == [1, 2]


def test_logs_are_truncated_to_their_digests(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append("metrics", {"step": 1})
    digests = folder.log_digests()
    folder.append("metrics", {"step": 2})
    folder.append("histograms", {"step": 2})
    folder.flush()
    assert folder.truncate(digests) == []
    folder.append("metrics", {"step": 3})
    folder.flush()
    assert steps(tmp_path / "metrics.jsonl") == [1, 3]
    assert steps(tmp_path / "histograms.jsonl") == []


def test_changes_of_a_log_are_reported(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for step in range(3):
        folder.append("metrics", {"step": step})
    digests = folder.log_digests()
    path = tmp_path / "metrics.jsonl"
    content = path.read_text()
    path.write_text(content.replace("1", "7"))
    (fault,) = folder.truncate(digests)
    assert "has changed since the checkpoint was written" in fault
    path.write_text(content[:-5])
    (fault,) = folder.truncate(digests)
    assert "5 bytes are lost" in fault
    path.unlink()
    (fault,) = folder.truncate(digests)
    assert f"{path} is missing" in fault
