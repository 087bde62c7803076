"""Episodes played into files and windows; `test_simulation.py` and `test_videos.py` have more."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from corridor import Corridor, decode

from footlight.instruments.playback import Playback, episode_seeds
from footlight.streams import derived_seed

pytestmark = pytest.mark.usefixtures("empty_folder")


def still(seed: int) -> Callable[[Any], int]:
    return lambda observation: 0


def test_returns_and_lengths_are_those_of_the_frames() -> None:
    video = Playback(still, [1, 2], max_steps=5).record(Corridor("rgb_array"), Path("a.mp4"))
    frames = decode(video)
    assert (video.lengths, len(frames)) == ([5, 5], 12)
    expected = []
    for seed in (1, 2):
        env = Corridor()
        env.reset(seed=seed)
        expected.append(sum(env.step(0)[1] for _ in range(5)))
    assert video.returns == expected


def test_closed_window_ends_the_playback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "footlight.instruments.playback.show", lambda frames, fps, title: next(frames)
    )
    video = Playback(still, [1, 2]).show(lambda mode: Corridor(mode), "title")
    assert (video.returns, video.lengths) == ([0.0], [0])


def test_seeds_of_episodes() -> None:
    assert episode_seeds(3, 2) == [derived_seed(3, "watch", 0), derived_seed(3, "watch", 1)]
