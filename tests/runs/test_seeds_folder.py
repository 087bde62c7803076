"""Folders of the runs of several seeds: what is in them, and which runs have ended."""

import json
from pathlib import Path
from typing import Any

import pytest

from footlight.errors import UserError
from footlight.runs.seeds_folder import SeedsFolder, is_seeds_folder, make_seeds_folder, read_seeds

NAMES = "Pendulum-v1", "sac"


def test_new_folder_has_the_next_number_and_the_seeds(tmp_path: Path) -> None:
    made = make_seeds_folder(None, NAMES, tmp_path, (1, 2), None)
    assert made.path == tmp_path / "runs/Pendulum-v1/sac/001"
    assert is_seeds_folder(made.path)
    assert not is_seeds_folder(tmp_path)
    assert read_seeds(made.path) == SeedsFolder(made.path, (1, 2), None)
    assert made.run(2) == made.path / "seed-2"
    assert not made.has_begun(2)
    assert made.result(2) is None
    made.remove()
    assert not made.path.exists()


def test_relative_folder_starts_at_the_given_directory(tmp_path: Path) -> None:
    assert make_seeds_folder("some", NAMES, tmp_path, (1,), None).path == tmp_path / "some"


def test_folder_left_by_a_kill_before_its_file_was_written_is_taken(tmp_path: Path) -> None:
    first = make_seeds_folder("some", NAMES, tmp_path, (1,), None)
    (first.path / "seeds.json").unlink()
    assert make_seeds_folder("some", NAMES, tmp_path, (1,), None) == first


RESULT: dict[str, Any] = {
    "status": "finished", "steps": 100, "updates": 90, "seconds": 1.0, "steps_per_second": 100.0,
    "final_evaluation": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("result", "steps", "expected"),
    [
        ({}, None, True),
        ({}, 100, True),
        ({}, 200, False),
        ({"status": "stopped"}, None, False),
        ({"status": "fault"}, None, False),
        ({"status": "stopped", "stop_reason": "5 episodes have ended"}, None, True),
        ({"status": "stopped", "stop_reason": "the 5 seconds of max_time are over"}, None, False),
    ],
)
def test_run_has_ended_unless_it_can_continue(
    tmp_path: Path, result: dict[str, Any], steps: int | None, expected: bool
) -> None:
    folder = make_seeds_folder("some", NAMES, tmp_path, (1,), None)
    assert not folder.has_ended(1)
    (folder.run(1) / "checkpoints" / "step-000000100").mkdir(parents=True)
    assert folder.has_begun(1)
    assert not folder.has_ended(1)
    (folder.run(1) / "result.json").write_text(json.dumps({**RESULT, **result}))
    assert folder.has_ended(1, steps) == expected


def test_file_that_is_not_as_it_was_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "seeds.json").write_text('{"format_version": 1, "seeds": [-1], "arguments": null}')
    with pytest.raises(UserError, match=r"seeds.json is invalid: seeds is -1"):
        read_seeds(tmp_path)
