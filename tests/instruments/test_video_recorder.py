"""Videos recorded during a training: complete, without effect on it, or rejected up front."""

import os
import threading
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from corridor import FAILING, SMALL, Corridor, decode

import footlight
from footlight.environments.source import EnvironmentSource
from footlight.errors import UserError
from footlight.instruments.video import require_ffmpeg
from footlight.instruments.video_recorder import VideoRecorder
from footlight.storage import checkpoint

pytestmark = pytest.mark.usefixtures("empty_folder")


class Forgetful(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A wrapper that does not record what it was made with."""


def state(run_dir: str) -> dict[str, Any]:
    return checkpoint.read_arrays(checkpoint.find(Path(run_dir)), "agent")


def assert_same_run(one: str, other: str) -> None:
    mine, theirs = state(one), state(other)
    assert mine.keys() == theirs.keys()
    assert all(np.array_equal(mine[name], theirs[name]) for name in mine)
    assert Path(one, "episodes.jsonl").read_text() == Path(other, "episodes.jsonl").read_text()


@pytest.mark.parametrize("overlay", [False, True])
def test_videos_do_not_affect_the_run_and_show_the_episode_of_watch(overlay: bool) -> None:
    footlight.train("a2c", "TestCorridor-v0", steps=50, run_dir="without", quiet=True, **SMALL)
    run = footlight.train(
        "a2c", "TestCorridor-v0", steps=50, run_dir="with", video_every=20, overlay=overlay,
        quiet=True, **SMALL
    )  # fmt: skip
    assert_same_run("with", "without")
    names = sorted(path.name for path in Path("with/videos").iterdir())
    assert names == ["step-000000020.mp4", "step-000000040.mp4", "step-000000050.mp4"]
    recorded = [decode(Path("with/videos", name)) for name in names]
    frames = recorded[-1]
    assert [len(video) for video in recorded] == [13] * 3
    assert frames[0].shape == ((420, 48 * 11 + 360, 3) if overlay else (36, 48, 3))
    brightness = [int(frame[200 if overlay else 10, 10].mean()) for frame in frames]
    start = brightness[0] // 15
    wanted = [15 * (start + step - (step >= 5)) for step in range(13)]
    np.testing.assert_allclose(brightness, wanted, atol=6)
    again = decode(run.video("again.mp4", overlay=overlay))
    np.testing.assert_array_equal(frames, again)
    assert (
        np.abs(recorded[0][3].astype(int) - recorded[-1][3]).max() < 20 or overlay
    )  # each begins alike


def test_resumed_run_continues_its_videos() -> None:
    fields = SMALL | {"video_every": 30, "quiet": True, "run_dir": "run"}
    footlight.train("a2c", "TestCorridor-v0", steps=40, **fields)
    footlight.resume("run", steps=70, quiet=True)
    assert sorted(path.name[12:14] for path in Path("run/videos").iterdir()) == [
        "30",
        "40",
        "60",
        "70",
    ]


def recorded_steps(run_dir: str) -> list[int]:
    return sorted(int(path.stem[5:]) for path in Path(run_dir, "videos").iterdir())


@pytest.mark.parametrize("num_envs", [1, 2])
def test_videos_every_so_many_episodes(num_envs: int) -> None:
    fields = SMALL | {"video_every_episodes": 2, "num_envs": num_envs, "steps": 100, "quiet": True}
    footlight.train("a2c", "TestCorridor-v0", run_dir="run", **fields)
    # An episode has 12 steps in each environment; the last video is that of the end
    assert recorded_steps("run") == [24, 48, 72, 96, 100]
    footlight.train(
        "a2c", "TestCorridor-v0", run_dir="without", **(fields | {"video_every_episodes": 0})
    )
    assert_same_run("run", "without")


def test_videos_every_so_many_episodes_continue_in_a_resumed_run() -> None:
    fields = SMALL | {"video_every_episodes": 3, "quiet": True}
    footlight.train("a2c", "TestCorridor-v0", steps=50, run_dir="run", **fields)
    footlight.resume("run", steps=120, quiet=True)
    # Episodes 3, 6 and 9 end at steps 36, 72 and 108; both sessions record their end
    assert recorded_steps("run") == [36, 50, 72, 108, 120]


def test_both_intervals_record_a_step_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []
    original = VideoRecorder.record

    def record(recorder: VideoRecorder, path: Path, *rest: Any) -> None:
        calls.append(path)
        original(recorder, path, *rest)

    monkeypatch.setattr(VideoRecorder, "record", record)
    fields = SMALL | {"video_every_episodes": 1, "video_every": 12, "steps": 30, "quiet": True}
    footlight.train("a2c", "TestCorridor-v0", run_dir="run", **fields)
    assert [int(path.stem[5:]) for path in calls] == [12, 24, 30]


def test_video_without_a_name_is_in_the_run_folder() -> None:
    run = footlight.train(
        "a2c", "TestCorridor-v0", steps=10, run_dir="run", quiet=True, **SMALL
    )  # fmt: skip
    video = run.video(episodes=2)
    assert video == run.folder / "video.mp4"
    assert (len(video.returns), video.lengths) == (2, [12, 12])
    assert run.video() == video  # written again, as the curve is


def test_episode_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("video_recorder", "videos"):  # at 20 frames per second
        monkeypatch.setattr(f"footlight.instruments.{module}.MAX_SECONDS", 0.25)
    run = footlight.train(
        "a2c",
        "TestCorridor-v0",
        steps=10,
        run_dir="run",
        video_every=10,
        overlay=True,
        quiet=True,
        **SMALL,
    )
    assert len(decode(Path("run/videos/step-000000010.mp4"))) == 6  # 5 steps
    assert len(decode(run.video("again.mp4", episodes=2))) == 12


def test_recorder_leaks_no_file_thread_or_process() -> None:
    def held() -> tuple[int, int, str]:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
        return len(os.listdir("/proc/self/fd")), threading.active_count(), children

    recorder = VideoRecorder(
        lambda: Corridor("rgb_array"), lambda seed: lambda seen: 0, None, 0, lambda text: None
    )
    recorder.record(Path("first.mp4"))
    before = held()
    for number in range(5):
        recorder.record(Path(f"{number}.mp4"))
        FAILING["render"] = 4
        recorder.record(Path("broken.mp4"))
        FAILING.clear()
        assert held() == before
    assert len(list(Path().iterdir())) == 6


def broken_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ffmpeg that writes half a video and exits, as on a full disk."""
    program = Path("ffmpeg.sh").absolute()
    program.write_text(
        '#!/bin/sh\nfor last; do :; done\nhead -c 5000 > "$last"\necho No space left >&2\nexit 1\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("step", "RuntimeError: the motor broke"),
        ("render", "the environment cannot be rendered - RuntimeError: the lamp broke"),
        ("folder", "File exists"),
        ("ffmpeg", "ffmpeg stopped: No space left - is the disk full?"),
        ("make", "OSError: no more files"),
    ],
)
def test_failing_video_does_not_affect_the_run(
    kind: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    footlight.train("a2c", "TestCorridor-v0", steps=60, run_dir="without", quiet=True, **SMALL)
    from footlight.training.hooks import Videos

    def breaking(self: Videos, step: int) -> None:
        FAILING[kind] = 7
        if kind == "make":
            monkeypatch.setattr(
                EnvironmentSource,
                "make_another",
                lambda *given: (_ for _ in ()).throw(OSError("no more files")),
            )
        if kind == "folder":
            Path("with/videos").touch()
        original(self, step)

    original = Videos.record
    monkeypatch.setattr(Videos, "record", breaking)
    if kind == "ffmpeg":
        broken_ffmpeg(monkeypatch)
    capsys.readouterr()
    footlight.train(
        "a2c", "TestCorridor-v0", steps=60, run_dir="with", video_every=10, overlay=True, **SMALL
    )
    assert_same_run("with", "without")
    notices = [line for line in capsys.readouterr().out.splitlines() if "no video" in line]
    assert len(notices) == 3  # of six
    assert all(words in line for line in notices), notices
    assert notices[0].startswith("no video step-000000010.mp4 - ")
    assert notices[0].endswith(" - the training continues")
    assert notices[2].endswith("without videos after 3 failures in a row")
    assert list(Path("with").glob("videos/*")) == []
    assert list(Path("with").glob("videos/.*")) == []


def test_successful_video_resets_the_count_of_failures(capsys: pytest.CaptureFixture[str]) -> None:
    notices: list[str] = []
    recorder = VideoRecorder(
        lambda: Corridor("rgb_array"), lambda seed: lambda seen: 0, None, 0, notices.append
    )
    for number, fails in enumerate([True, True, False, True, True, False]):
        FAILING.update({"render": 3} if fails else {"render": None})
        recorder.record(Path(f"{number}.mp4"))
    assert len(notices) == 4
    assert sorted(path.name for path in Path().iterdir()) == ["2.mp4", "5.mp4"]


def test_stopping_training_does_not_wait_for_its_video() -> None:
    notices: list[str] = []
    asked = iter([False] * 5 + [True] * 99)
    recorder = VideoRecorder(
        lambda: Corridor("rgb_array"), lambda seed: lambda seen: 0, None, 0, notices.append
    )
    recorder.record(Path("video.mp4"), lambda: next(asked))
    assert notices == []
    assert list(Path().iterdir()) == []


def test_impossible_videos_are_rejected_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Corridor("rgb_array")

    def refused(source: Any, words: str, **fields: Any) -> None:
        with pytest.raises(UserError, match=words):
            footlight.train(
                "a2c", source, steps=50, quiet=True, **(SMALL | {"video_every": 20} | fields)
            )
        assert not Path("runs").exists()

    refused("TestCorridor-v0", "overlay is true, but video_every is 0", video_every=0, overlay=True)
    refused("TestCorridor-v0", "video_every is -1", video_every=-1)
    refused(Forgetful(gymnasium.make("TestCorridor-v0")), "give a function that makes one")
    refused(lambda: Corridor(), r"render\(\) returned nothing")
    refused(lambda: shared, "videos need one of their own")
    refused("TestUnseen-v0", r"cannot be made|cannot be rendered")
    FAILING["render"] = 0
    refused("TestCorridor-v0", "the environment cannot be rendered - RuntimeError: the lamp broke")
    FAILING.clear()
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/nowhere/ffmpeg")
    refused("TestCorridor-v0", "/nowhere/ffmpeg is not a program")
    monkeypatch.setattr(
        "importlib.import_module", lambda name: (_ for _ in ()).throw(ImportError(name))
    )
    with pytest.raises(UserError, match=r"footlight\[video\]"):
        require_ffmpeg()
