"""Video files, decoded again: frames, speed, and nothing left behind by a failed recording."""

import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from footlight.errors import UserError
from footlight.instruments.video import Frame, write_video

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")

RED, GREEN, BLUE = (200, 30, 30), (30, 180, 40), (20, 40, 220)


def plain(color: tuple[int, int, int], height: int = 48, width: int = 64) -> Frame:
    return np.full((height, width, 3), color, dtype=np.uint8)


def decode(path: Path) -> tuple[dict[str, Any], list[Frame]]:
    with warnings.catch_warnings():
        # The library's reader leaves its pipes to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        reader = imageio_ffmpeg.read_frames(path)
        meta = next(reader)
        width, height = meta["size"]
        frames = [np.frombuffer(data, dtype=np.uint8).reshape(height, width, 3) for data in reader]
        del reader
    return meta, frames


def test_mp4_shows_what_was_drawn(tmp_path: Path) -> None:
    colors = [RED] * 4 + [GREEN] * 4 + [BLUE] * 4
    path = tmp_path / "video.mp4"
    assert write_video((plain(color) for color in colors), path, fps=25) == path
    meta, frames = decode(path)
    assert (meta["codec"], meta["pix_fmt"].split("(")[0], meta["fps"]) == ("h264", "yuv420p", 25.0)
    assert len(frames) == len(colors)
    for frame, color in zip(frames, colors, strict=True):
        assert frame.shape == (48, 64, 3)
        assert np.abs(frame.reshape(-1, 3).mean(axis=0) - color).max() < 12
    assert [file.name for file in tmp_path.iterdir()] == ["video.mp4"]


def test_odd_sizes_are_padded(tmp_path: Path) -> None:
    frame = plain(GREEN, height=33, width=65)
    write_video([frame, frame], tmp_path / "video.mp4", fps=30)
    _, frames = decode(tmp_path / "video.mp4")
    assert [shown.shape for shown in frames] == [(34, 66, 3)] * 2
    assert np.abs(frames[0].astype(int) - GREEN).max() < 20


def test_views_and_unusual_file_names_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    big = np.zeros((96, 128, 3), dtype=np.uint8)
    big[::2, ::2] = RED
    for name in ("-video.mp4", "a:b.mp4", "with space %d.MP4"):
        write_video([big[::2, ::2]] * 2, Path(name), fps=29.97)
        _, frames = decode(tmp_path / name)
        assert np.abs(frames[0].reshape(-1, 3).mean(axis=0) - RED).max() < 12


@pytest.mark.parametrize(("fps", "shown", "duration"), [(30, 12, 400), (100, 6, 120)])
def test_gif_keeps_its_speed(tmp_path: Path, fps: float, shown: int, duration: int) -> None:
    path = tmp_path / "video.gif"
    write_video((plain((20 * index, 0, 255 - 20 * index)) for index in range(12)), path, fps=fps)
    with Image.open(path) as video:
        assert video.n_frames == shown  # type: ignore[attr-defined]
        assert (video.size, video.info["loop"]) == ((64, 48), 0)
        total = 0
        for index in range(shown):
            video.seek(index)
            total += video.info["duration"]
        assert total == duration
        video.seek(0)
        assert video.convert("RGB").getpixel((5, 5)) == (0, 0, 255)


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
@pytest.mark.parametrize("frames", [0, 1, 3])
def test_failed_recording_leaves_no_file(tmp_path: Path, suffix: str, frames: int) -> None:
    def breaks() -> Iterator[Frame]:
        for _ in range(frames):
            yield plain(RED)
        raise RuntimeError("the environment broke")

    with pytest.raises(RuntimeError, match="the environment broke"):
        write_video(breaks(), tmp_path / f"video{suffix}", fps=30)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_invalid_frames_are_rejected(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"video{suffix}"
    good = plain(RED)
    for bad in (good.astype(np.float32), good[..., 0], good[..., :2], None, good[:0]):
        with pytest.raises(UserError, match="frame 0 is"):
            write_video([bad], path, fps=30)  # type: ignore[list-item]
    with pytest.raises(UserError, match=r"frame 1 is \(24, 64, 3\)"):
        write_video([good, good[:24]], path, fps=30)
    with pytest.raises(UserError, match="no frame"):
        write_video([], path, fps=30)
    for fps in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="fps"):
            write_video([good], path, fps=fps)
    assert list(tmp_path.iterdir()) == []


class Untouched:
    """Frames that nobody may ask for."""

    def __iter__(self) -> Iterator[Frame]:
        pytest.fail("a frame was drawn")


def test_invalid_paths_are_rejected_before_the_first_frame(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"use \.mp4 or \.gif"):
        write_video(Untouched(), tmp_path / "video.avi", fps=30)
    with pytest.raises(UserError, match="does not exist"):
        write_video(Untouched(), tmp_path / "missing" / "video.mp4", fps=30)


def test_missing_ffmpeg_is_reported_before_the_first_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(UserError, match=r'pip install "footlight\[video\]"'):
        write_video(Untouched(), tmp_path / "video.mp4", fps=30)


def test_every_ffmpeg_process_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Watched(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Watched)
    for index in range(5):
        write_video([plain(RED)], tmp_path / f"{index}.mp4", fps=30)
        with pytest.raises(UserError):
            write_video([plain(RED), plain(RED)[:2]], tmp_path / "broken.mp4", fps=30)
    assert len(started) >= 10
    assert all(process.returncode is not None for process in started)
    assert len(list(tmp_path.iterdir())) == 5
