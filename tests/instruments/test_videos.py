"""Episodes as frames: what a video shows, and the numbers of its panel."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from corridor import SMALL, Corridor, Drifting, decode

import footlight
from footlight.cli.main import main
from footlight.errors import UserError
from footlight.instruments import videos
from footlight.instruments.critic_probe import CriticProbe
from footlight.instruments.overlay import Moment, Overlay
from footlight.instruments.video import Frame
from footlight.learning.agent import Agent
from tolerance import close

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_videos_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    line = (
        "train sac Pendulum-v1 --steps 20 --no-preset --learning-starts 5 --batch-size 4 "
        "--hidden-sizes 8 --compile off --env-kwargs max_episode_steps=40"
    )
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
    assert (len(frames), frames[0].shape) == (41, (500, 860, 3))
    assert main(["watch", "run", "--overlay", "--video", "swing.mp4"]) == 0
    np.testing.assert_array_equal(decode(Path("swing.mp4"))[37], frames[37])
    assert capsys.readouterr().out == "run\nswing.mp4\n"


@pytest.mark.parametrize("overlay", [False, True])
def test_watch_shows_environments_without_a_window(
    overlay: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = footlight.train("a2c", "TestCorridor-v0", steps=10, run_dir="run", quiet=True, **SMALL)
    shown: list[tuple[list[Frame], float, str]] = []
    monkeypatch.setattr(
        "footlight.instruments.playback.show",
        lambda frames, fps, title: shown.append((list(frames), fps, title)),
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


def shown(
    env: Corridor, monkeypatch: pytest.MonkeyPatch, **fields: Any
) -> tuple[Agent, list[tuple[Overlay, Moment]]]:
    """What the panel was given for each frame of an episode."""
    seen: list[tuple[Overlay, Moment]] = []
    original = Overlay.draw

    def draw(overlay: Overlay, frame: Frame, index: int, moment: Moment) -> Frame:
        assert index == len(seen)
        seen.append((overlay, moment))
        return original(overlay, frame, index, moment)

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
def test_panel_shows_the_return_that_followed(
    terminates: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = Corridor("rgb_array", terminates)
    agent, seen = shown(env, monkeypatch, gamma=0.9, clip_reward=6.0)
    observation, _ = env.reset(seed=3)
    diagnose: Any = agent.algorithm.diagnose  # type: ignore[attr-defined]
    rewards, values = [], []
    for _ in range(12):
        values.append(diagnose(agent.state, as_tensor(observation)).value.item())
        observation, reward, *_ = env.step(0)
        rewards.append(min(reward, 6.0))
    last = diagnose(agent.state, as_tensor(observation)).value.item()
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


def test_panel_says_if_an_environment_is_not_repeatable(monkeypatch: pytest.MonkeyPatch) -> None:
    _, seen = shown(Drifting("rgb_array"), monkeypatch)
    known = [moment.following is not None for _, moment in seen]
    assert known == [True] * 8 + [False] * 5  # the eighth step is the first whose reward differs
    assert seen[-1][0].note == "not repeatable: no returns from step 8 on"
    assert seen[-1][0].returns[8:] == [None] * 5
    assert [moment.value is None for _, moment in seen] == [False] * 12 + [True]


def test_bars_of_continuous_actions_are_in_environment_units() -> None:
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
