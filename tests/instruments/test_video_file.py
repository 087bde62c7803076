"""A video as a path that shows itself."""

import base64
import copy
import os
from pathlib import Path

import numpy as np
import pytest

from footlight.errors import UserError
from footlight.instruments import video_file
from footlight.instruments.video import write_video
from footlight.instruments.video_file import Video, default_suffix


def test_video_is_a_path(tmp_path: Path) -> None:
    video = Video.of(tmp_path / "a.gif", [1.0, 2.5], [3, 4])
    assert video == tmp_path / "a.gif"
    assert isinstance(video, Path)
    assert os.fspath(video) == str(tmp_path / "a.gif")
    assert (video.returns, video.lengths) == ([1.0, 2.5], [3, 4])
    assert video.parent == tmp_path
    assert (video.parent / "b").name == "b"
    assert copy.deepcopy(video) == video
    assert len(repr(Video("a.gif"))) < 40


def test_video_shows_itself_with_its_data(tmp_path: Path) -> None:
    frames = [np.full((8, 8, 3), 40 * number, np.uint8) for number in range(4)]
    for suffix, tag in ((".gif", "<img"), (".mp4", "<video")):
        path = tmp_path / f"a{suffix}"
        write_video(frames, path, 10)
        shown = Video.of(path, [-1.25, 3.0], [2, 1])._repr_html_()
        assert shown is not None
        assert shown.startswith(tag)
        assert base64.b64encode(path.read_bytes()).decode() in shown
        assert "return -1.2, 3.0 in 3 steps" in shown


def test_video_without_a_file_is_shown_as_its_path(tmp_path: Path) -> None:
    assert Video(tmp_path / "none.mp4")._repr_html_() is None
    assert Video(os.devnull)._repr_html_() is None


def test_default_suffix_needs_no_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise UserError("no ffmpeg")

    assert default_suffix() in (".mp4", ".gif")
    monkeypatch.setattr(video_file, "require_ffmpeg", missing)
    assert default_suffix() == ".gif"
