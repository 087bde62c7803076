"""How deep an update lies below `footlight.train` and below the loop."""

import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import pytest
from architecture.sources import PACKAGE

import footlight

MAX_FROM_TRAIN, MAX_FROM_LOOP = 6, 3
NOT_COUNTED = ("algorithms", "equations")  # the update's own functions


class Raised(Exception):
    """Raised in place of the critic's target."""


def fail(*arguments: Any) -> NoReturn:
    raise Raised


def package_frames(trace: TracebackType | None) -> list[str]:
    """The frames of a traceback that lie in the package, outermost first, without the update."""
    files = [(Path(frame.filename), frame.name) for frame in traceback.extract_tb(trace)]
    inside = [(path.relative_to(PACKAGE), name) for path, name in files if PACKAGE in path.parents]
    return [f"{path}:{name}" for path, name in inside if path.parts[0] not in NOT_COUNTED]


def depths(frames: list[str]) -> tuple[int, int]:
    """Frames from `train` and from the loop on, both included."""
    loops = [index for index, frame in enumerate(frames) if frame.startswith("training/loop.py:")]
    return len(frames) - frames.index("api.py:train"), len(frames) - loops[-1]


@pytest.fixture
def frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The package's frames between `footlight.train` and an update of SAC that raises."""
    monkeypatch.setattr("footlight.algorithms.critics.td_target", fail)
    with pytest.raises(Raised) as caught:
        footlight.train(
            "sac", "Pendulum-v1", run_dir=tmp_path / "run", steps=20, learning_starts=10,
            batch_size=4, hidden_sizes=(4,), preset=False, quiet=True, probe="off", compile="off",
            eval_episodes=0,
        )  # fmt: skip
    return package_frames(caught.tb)


def test_update_lies_few_calls_below_train_and_loop(frames: list[str]) -> None:
    from_train, from_loop = depths(frames)
    assert from_train <= MAX_FROM_TRAIN, frames
    assert from_loop <= MAX_FROM_LOOP, frames


def test_depths_count_from_train_and_from_the_innermost_frame_of_the_loop() -> None:
    found = ["run.py:x", "api.py:train", "training/loop.py:a", "training/loop.py:b", "c.py:d"]
    assert depths(found) == (4, 2)
