"""Folders of the runs of several seeds: what is in them, and which runs have ended."""

import json
from pathlib import Path
from typing import Any

import pytest

from footlight.errors import UserError
from footlight.runs.seeds_folder import SeedsFolder, is_seeds_folder, make_seeds_folder, read_seeds
from footlight.storage import checkpoint

NAMES = "Pendulum-v1", "sac"
ARGUMENTS: dict[str, Any] = {
    "algorithm": "sac", "environment": "Pendulum-v1", "env_kwargs": {}, "preset": False,
    "values": {"gamma": 0.9}, "own": [],
}  # fmt: skip


def test_new_folder_has_the_next_number_and_the_seeds(tmp_path: Path) -> None:
    made = make_seeds_folder(None, NAMES, tmp_path, (1, 2), ARGUMENTS)
    assert made.path == tmp_path / "runs/Pendulum-v1/sac/001"
    assert is_seeds_folder(made.path)
    assert not is_seeds_folder(tmp_path)
    assert read_seeds(made.path) == SeedsFolder(made.path, (1, 2), ARGUMENTS)
    assert made.run(2) == made.path / "seed-2"
    assert not made.has_begun(2)
    assert made.result(2) is None
    made.remove()
    assert not made.path.exists()


def test_relative_folder_starts_at_the_given_directory(tmp_path: Path) -> None:
    assert make_seeds_folder("some", NAMES, tmp_path, (1,), ARGUMENTS).path == tmp_path / "some"


def test_folder_left_by_a_kill_before_its_file_was_written_is_taken(tmp_path: Path) -> None:
    first = make_seeds_folder("some", NAMES, tmp_path, (1,), ARGUMENTS)
    (first.path / "seeds.json").rename(first.path / ".seeds.json.tmp")
    assert make_seeds_folder("some", NAMES, tmp_path, (1,), ARGUMENTS) == first


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
        ({"steps": 50}, None, False),
        ({"status": "stopped"}, None, False),
        ({"status": "fault"}, None, False),
        ({"status": "stopped", "stop_reason": "5 episodes have ended"}, None, True),
        ({"status": "stopped", "stop_reason": "5 episodes have ended"}, 200, False),
        ({"status": "stopped", "stop_reason": "the 5 seconds of max_time are over"}, None, False),
    ],
)
def test_run_has_ended_unless_it_can_continue(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    result: dict[str, Any],
    steps: int | None,
    expected: bool,
) -> None:
    manifest = {"step": 100, "run": {"steps": 100}}
    monkeypatch.setattr(checkpoint, "find", lambda path, groups: path)
    monkeypatch.setattr(checkpoint, "read_manifest", lambda path: manifest)
    folder = make_seeds_folder("some", NAMES, tmp_path, (1,), ARGUMENTS)
    assert folder.state(1) == ("not begun", 0)
    (folder.run(1) / "checkpoints" / "step-000000100").mkdir(parents=True)
    assert folder.state(1) == ("interrupted", 100)
    assert not folder.has_ended(1)
    (folder.run(1) / "result.json").write_text(json.dumps({**RESULT, **result}))
    assert folder.has_ended(1, steps) == expected


def test_options_that_may_change_during_a_run_are_no_other_configuration(tmp_path: Path) -> None:
    make_seeds_folder("some", NAMES, tmp_path, (1,), ARGUMENTS)
    values = {"gamma": 0.9, "threads": 2, "max_time": 5.0}
    added = make_seeds_folder("some", NAMES, tmp_path, (2,), {**ARGUMENTS, "values": values})
    assert (added.seeds, read_seeds(added.path).seeds) == ((2,), (1, 2))
    for changes in ({"values": {"gamma": 0.8}}, {"own": ["hooks"]}, {"environment": "Other-v0"}):
        with pytest.raises(UserError, match="the seeds of another configuration"):
            make_seeds_folder("some", NAMES, tmp_path, (3,), {**ARGUMENTS, **changes})


def test_only_what_was_made_is_removed(tmp_path: Path) -> None:
    made = make_seeds_folder("some", NAMES, tmp_path, (1,), ARGUMENTS)
    (made.path / "notes.txt").touch()
    made.remove()
    assert [path.name for path in made.path.iterdir()] == ["notes.txt"]


def test_file_that_is_not_as_it_was_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "seeds.json").write_text('{"format_version": 1, "seeds": [-1]}')
    with pytest.raises(UserError, match=r"seeds.json is invalid: "):
        read_seeds(tmp_path)
