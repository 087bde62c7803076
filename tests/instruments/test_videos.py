"""Films of a training: whole, harmless, and right in their numbers."""

import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import footlight
from footlight.cli.main import main
from footlight.environments.source import EnvironmentSource
from footlight.errors import UserError
from footlight.instruments import videos
from footlight.instruments.critic_probe import CriticProbe
from footlight.instruments.overlay import Moment, Overlay
from footlight.instruments.video import Frame, require_ffmpeg
from footlight.instruments.video_recorder import VideoRecorder
from footlight.learning.agent import Agent
from footlight.storage import checkpoint
from tolerance import close

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")

SMALL: dict[str, Any] = {
    "hidden_sizes": (8, 8), "compile": "off", "eval_episodes": 0, "eval_every": 0, "n_steps": 10, "preset": False,
}  # fmt: skip
FAILING: dict[str, Any] = {}  # what the next environment that draws is to stumble over


class Corridor(gymnasium.Env[Any, Any]):
    """Twelve steps to the right, one of which leads nowhere; reward is the place, and the picture as bright as it is far."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012
    observation_space = gymnasium.spaces.Box(0, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)

    def __init__(self, render_mode: str | None = None, terminates: bool = True) -> None:
        self.render_mode, self.terminates = render_mode, terminates

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.place, self.clock = int(self.np_random.integers(3)), 0
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        if self.render_mode and FAILING.get("step") == self.clock:
            raise RuntimeError("the motor broke")
        self.clock += 1
        self.place += self.clock != 5
        ends = self.clock == 12
        return (
            self._seen(),
            float(self.place),
            ends and self.terminates,
            ends and not self.terminates,
            {},
        )

    def render(self) -> Any:
        if FAILING.get("render") == self.clock:
            raise RuntimeError("the lamp broke")
        return (
            np.full((36, 48, 3), 15 * self.place, np.uint8)
            if self.render_mode == "rgb_array"
            else None
        )

    def _seen(self) -> Any:
        return np.array([self.place / 20, self.clock / 20], np.float32)


class Drifting(Corridor):
    """The rewards of an episode depend on what was played before."""

    played = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.played += 1
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, reward + (self.played if self.clock > 7 else 0), *rest


class Unseen(Corridor):
    metadata = {"render_modes": []}  # noqa: RUF012


class Forgetful(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A wrapper that does not record what it was made with."""


for made in (Corridor, Unseen):
    gymnasium.register(f"Test{made.__name__}-v0", made)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    FAILING.clear()
    yield
    FAILING.clear()


def decode(path: Path) -> list[Frame]:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ResourceWarning
        )  # the library's reader leaves its pipes to the garbage collector
        reader = imageio_ffmpeg.read_frames(path)
        width, height = next(reader)["size"]
        frames = [np.frombuffer(data, np.uint8).reshape(height, width, 3) for data in reader]
        del reader
    return frames


def state(run_dir: str) -> dict[str, Any]:
    return checkpoint.read_arrays(checkpoint.find(Path(run_dir)), "agent")


def assert_same_run(one: str, other: str) -> None:
    mine, theirs = state(one), state(other)
    assert mine.keys() == theirs.keys()
    assert all(np.array_equal(mine[name], theirs[name]) for name in mine)
    assert Path(one, "episodes.jsonl").read_text() == Path(other, "episodes.jsonl").read_text()


# Films


@pytest.mark.parametrize("overlay", [False, True])
def test_films_change_nothing_and_show_the_episode_that_watch_shows(overlay: bool) -> None:
    footlight.train("a2c", "TestCorridor-v0", steps=50, run_dir="without", quiet=True, **SMALL)
    run = footlight.train(
        "a2c", "TestCorridor-v0", steps=50, run_dir="with", video_every=20, overlay=overlay, quiet=True, **SMALL
    )  # fmt: skip
    assert_same_run("with", "without")
    names = sorted(path.name for path in Path("with/videos").iterdir())
    assert names == ["step-000000020.mp4", "step-000000040.mp4", "step-000000050.mp4"]
    films = [decode(Path("with/videos", name)) for name in names]
    frames = films[-1]
    assert [len(film) for film in films] == [13] * 3
    assert frames[0].shape == ((420, 48 * 11 + 360, 3) if overlay else (36, 48, 3))
    brightness = [int(frame[200 if overlay else 10, 10].mean()) for frame in frames]
    start = brightness[0] // 15
    wanted = [15 * (start + step - (step >= 5)) for step in range(13)]
    np.testing.assert_allclose(brightness, wanted, atol=6)
    again = decode(run.video("again.mp4", overlay=overlay))
    np.testing.assert_array_equal(frames, again)
    assert np.abs(films[0][3].astype(int) - films[-1][3]).max() < 20 or overlay  # each begins alike


def test_a_resumed_run_goes_on_with_its_films() -> None:
    fields = SMALL | {"video_every": 30, "quiet": True, "run_dir": "run"}
    footlight.train("a2c", "TestCorridor-v0", steps=40, **fields)
    footlight.resume("run", steps=70, quiet=True)
    assert sorted(path.name[12:14] for path in Path("run/videos").iterdir()) == [
        "30",
        "40",
        "60",
        "70",
    ]


def test_films_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    line = "train sac Pendulum-v1 --steps 20 --no-preset --learning-starts 5 --batch-size 4 --hidden-sizes 8 --compile off"
    assert (
        main(
            [
                *line.split(),
                "--eval-episodes=0",
                "--quiet",
                "--run-dir=run",
                "--video-every=1000",
                "--overlay",
            ]
        )
        == 0
    )
    frames = decode(Path("run/videos/step-000000020.mp4"))
    assert (len(frames), frames[0].shape) == (201, (500, 860, 3))
    assert main(["watch", "run", "--overlay", "--video", "swing.mp4"]) == 0
    np.testing.assert_array_equal(decode(Path("swing.mp4"))[77], frames[77])
    assert capsys.readouterr().out == "run\nswing.mp4\n"


def test_an_episode_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_nothing_leaks() -> None:
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


@pytest.mark.parametrize("overlay", [False, True])
def test_watch_shows_what_has_no_window_of_its_own(
    overlay: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = footlight.train("a2c", "TestCorridor-v0", steps=10, run_dir="run", quiet=True, **SMALL)
    shown: list[tuple[list[Frame], float, str]] = []
    monkeypatch.setattr(
        "footlight.run.show", lambda frames, fps, title: shown.append((list(frames), fps, title))
    )
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="there is no screen"):
        run.watch(overlay=overlay)
    monkeypatch.setenv("DISPLAY", ":99")
    run.watch(episodes=2, overlay=overlay)
    (frames, fps, title), *others = shown
    assert not others
    assert (len(frames), fps, title) == (26, 20.0, "a2c on TestCorridor-v0")
    assert frames[0].shape == ((420, 888, 3) if overlay else (396, 528, 3))


# What goes wrong on the way


def broken_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ffmpeg that reads one frame, leaves half a film and dies, as one does whose disk is full."""
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
def test_a_film_that_fails_harms_nothing(
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
        whole(self, step)

    whole = Videos.record
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


def test_a_film_that_succeeds_forgives(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    recorder = VideoRecorder(
        lambda: Corridor("rgb_array"), lambda seed: lambda seen: 0, None, 0, said.append
    )
    for number, fails in enumerate([True, True, False, True, True, False]):
        FAILING.update({"render": 3} if fails else {"render": None})
        recorder.record(Path(f"{number}.mp4"))
    assert len(said) == 4
    assert sorted(path.name for path in Path().iterdir()) == ["2.mp4", "5.mp4"]


def test_a_training_that_is_told_to_stop_does_not_wait_for_its_film() -> None:
    said: list[str] = []
    asked = iter([False] * 5 + [True] * 99)
    recorder = VideoRecorder(
        lambda: Corridor("rgb_array"), lambda seed: lambda seen: 0, None, 0, said.append
    )
    recorder.record(Path("film.mp4"), lambda: next(asked))
    assert said == []
    assert list(Path().iterdir()) == []


# What is refused before there is a run


def test_what_cannot_be_filmed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Corridor("rgb_array")

    def refused(source: Any, words: str, **fields: Any) -> None:
        with pytest.raises(UserError, match=words):
            footlight.train(
                "a2c", source, steps=50, quiet=True, **(SMALL | {"video_every": 20} | fields)
            )
        assert not Path("runs").exists()

    refused("TestCorridor-v0", "overlay is true - there are no videos", video_every=0, overlay=True)
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


# Numbers


def shown(
    env: Corridor, monkeypatch: pytest.MonkeyPatch, **fields: Any
) -> tuple[Agent, list[tuple[Overlay, Moment]]]:
    """What the panel was given for each frame of an episode."""
    seen: list[tuple[Overlay, Moment]] = []
    whole = Overlay.draw

    def draw(overlay: Overlay, frame: Frame, index: int, moment: Moment) -> Frame:
        assert index == len(seen)
        seen.append((overlay, moment))
        return whole(overlay, frame, index, moment)

    monkeypatch.setattr(Overlay, "draw", draw)
    agent = Agent(
        "a2c",
        env.observation_space,
        env.action_space,
        seed=1,
        compile="off",
        hidden_sizes=(8,),
        **fields,
    )
    probe = CriticProbe(agent.algorithm, agent.spaces, agent.state, agent.normalizer)
    frames = list(videos.render_episode(agent.policy.player, env, 3, probe))
    assert len(frames) == len(seen) == 13
    return agent, seen


@pytest.mark.parametrize("terminates", [True, False])
def test_the_panel_shows_the_return_that_followed(
    terminates: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = Corridor("rgb_array", terminates)
    agent, seen = shown(env, monkeypatch, gamma=0.9, clip_reward=6.0)
    observation, _ = env.reset(seed=3)
    rewards, values = [], []
    for _ in range(12):
        values.append(agent.algorithm.diagnose(agent.state, as_tensor(observation)).value.item())  # type: ignore[attr-defined]
        observation, reward, *_ = env.step(0)
        rewards.append(min(reward, 6.0))
    last = agent.algorithm.diagnose(agent.state, as_tensor(observation)).value.item()  # type: ignore[attr-defined]
    for index, (overlay, moment) in enumerate(seen[:-1]):
        total = sum(0.9 ** (at - index) * rewards[at] for at in range(index, 12))
        if not terminates:
            total += 0.9 ** (12 - index) * last
        assert moment.following == close(total)
        assert moment.value == close(values[index])
        assert (overlay.returns[index], overlay.values[index]) == close((total, values[index]))
        assert sum(bar.high for bar in moment.bars) == close(1)
    overlay, moment = seen[-1]
    assert (moment.value, moment.following) == ((None, None) if terminates else close((last, last)))
    assert overlay.note == ("" if terminates else "cut off: the return ends in the critic's value")


def as_tensor(observation: Any) -> Any:
    import torch

    return torch.from_numpy(observation[None])


def test_an_environment_that_does_not_repeat_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    _, seen = shown(Drifting("rgb_array"), monkeypatch)
    known = [moment.following is not None for _, moment in seen]
    assert known == [True] * 8 + [False] * 5  # the eighth step is the first whose reward differs
    assert seen[-1][0].note == "not repeatable: no returns from step 8 on"
    assert seen[-1][0].returns[8:] == [None] * 5
    assert [moment.value is None for _, moment in seen] == [False] * 12 + [True]


def test_bars_of_continuous_actions_are_in_the_environments_units() -> None:
    env = gymnasium.make("Pendulum-v1")
    agent = Agent(
        "ppo", env.observation_space, env.action_space, seed=1, compile="off", initial_log_std=-1.0
    )
    probe = CriticProbe(agent.algorithm, agent.spaces, agent.state, agent.normalizer)
    observation = np.array([0.5, 0.5, 3.0], np.float32)
    (bar,), heading = videos.policy_bars(probe(observation), agent.spaces, env)
    action, std = agent.act(observation)[0], np.exp(-1)
    assert bar.text == f"{action:.2f} ± {2 * std:.2f}"
    assert (bar.low, bar.mark, bar.high) == close(
        tuple((action / 2 + x + 1) / 2 for x in (-std, 0, std)), depth=4, scale=1
    )
    assert heading == "action: mean ± standard deviation"
