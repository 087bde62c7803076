"""Episodes of any policy in any environment."""

import os
import re
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from corridor import SMALL, Corridor, decode

import footlight
from footlight.errors import EnvironmentFault, UserError
from footlight.instruments import simulation
from footlight.streams import derived_seed

pytestmark = pytest.mark.usefixtures("empty_folder", "no_screen")


@pytest.fixture
def no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


def corridor_return(seed: int, episode: int = 0) -> float:
    """The sum of the positions of an episode of `Corridor`."""
    env = Corridor()
    env.reset(seed=derived_seed(seed, "watch", episode))
    return sum(env.step(0)[1] for _ in range(12))


def test_random_policy_is_recorded_where_there_is_no_screen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    video = footlight.simulate("Pendulum-v1", max_steps=20, seed=3)
    assert video == Path("Pendulum-v1.mp4")
    assert len(decode(video)) == 21
    assert (len(video.returns), video.lengths) == (1, [20])
    assert "no screen to open a window on: recording Pendulum-v1.mp4" in capsys.readouterr().err
    again = footlight.simulate("Pendulum-v1", max_steps=20, seed=3)
    assert again == Path("Pendulum-v1-2.mp4")  # nothing is overwritten
    assert again.returns == video.returns
    assert footlight.simulate("Pendulum-v1", max_steps=20, seed=4).returns != video.returns


def test_random_actions_are_those_of_the_seed() -> None:
    seen: list[list[float]] = []

    class Listening(gymnasium.Wrapper[Any, Any, Any, Any]):
        def step(self, action: Any) -> Any:
            seen[-1].append(action.tolist())
            return super().step(action)

    for _ in range(2):
        seen.append([])
        env = Listening(gymnasium.make("Pendulum-v1", render_mode="rgb_array"))
        env.action_space.seed(1)
        footlight.simulate(env, episodes=2, max_steps=3, seed=5, video="x.gif")
    assert seen[0] == seen[1]
    assert seen[0][:3] != seen[0][3:]


@pytest.mark.parametrize("kind", ["id", "class", "function", "object", "unrendered object"])
def test_kinds_of_environments(kind: str) -> None:
    env = {
        "id": "TestCorridor-v0",
        "class": Corridor,
        "function": lambda render_mode=None: Corridor(render_mode),
        "object": Corridor("rgb_array"),
        "unrendered object": gymnasium.make("TestCorridor-v0"),
    }[kind]
    video = footlight.simulate(env, episodes=2, seed=1, video="corridor.mp4")
    assert video.returns == [corridor_return(1, 0), corridor_return(1, 1)]
    assert video.lengths == [12, 12]
    assert len(decode(video)) == 26


def test_object_stays_open() -> None:
    class Closing(Corridor):
        def close(self) -> None:
            raise AssertionError("it was closed")

    footlight.simulate(Closing("rgb_array"), video="corridor.gif")


def test_arguments_of_an_environment() -> None:
    def total(**kwargs: Any) -> float:
        return footlight.simulate("Pendulum-v1", max_steps=30, video="x.gif", **kwargs).returns[0]

    assert total(env_kwargs={"g": 0.1}) != total()
    with pytest.raises(UserError, match="env_kwargs has 'gravity'"):
        total(env_kwargs={"gravity": 1})


def test_policies_agents_runs_and_folders_act_alike() -> None:
    run = footlight.train("a2c", "TestCorridor-v0", steps=10, run_dir="run", quiet=True, **SMALL)
    agent = footlight.Agent.load("run")
    agent.save("saved")
    agent.policy.reseed(1)
    stream = agent.policy.stream.bit_generator.state
    given = [run, run.policy, agent, agent.policy, "run", Path("saved"), run.policy.act]
    shown = [footlight.simulate("TestCorridor-v0", each, video="x.mp4") for each in given]
    frames = [decode(video) for video in shown]
    for each in frames:
        np.testing.assert_array_equal(each, frames[0])
    assert agent.policy.stream.bit_generator.state == stream  # a training would continue as before
    assert run.video("y.mp4", seed=0).returns == shown[0].returns


def test_run_that_samples_in_evaluations_samples_here() -> None:
    settings = {**SMALL, "eval_stochastic": True, "quiet": True, "steps": 10}
    run = footlight.train("a2c", "CartPole-v1", run_dir="run", **settings)
    one, other = (footlight.simulate("CartPole-v1", p, seed=2, video="x.gif") for p in (run, "run"))
    greedy = footlight.simulate("CartPole-v1", run.policy, seed=2, video="x.gif")
    assert one.lengths == other.lengths != greedy.lengths


class Mine:
    """An agent of the user's, as in a hand-written class."""

    def __init__(self, action: Any) -> None:
        self.action = action

    def act(self, observation: Any) -> Any:
        assert observation.shape == (3,)
        return self.action


@pytest.mark.parametrize(
    "action", [np.array([1.0]), [1.0], torch.tensor([1.0], requires_grad=True), np.float64([1])]
)
def test_own_policies(action: Any) -> None:
    videos = [
        footlight.simulate("Pendulum-v1", policy, max_steps=9, video="x.gif")
        for policy in (Mine(action), lambda seen: np.array([1.0], np.float32))
    ]
    assert videos[0].returns == videos[1].returns


def test_choices_of_own_policies() -> None:
    for action in (1, np.int64(1), np.array(1), torch.tensor(1)):
        video = footlight.simulate("CartPole-v1", lambda seen, a=action: a, video="x.gif")
        assert 8 <= video.lengths[0] <= 11


def caught_signals() -> str:
    """The signals that have a handler in this process, as the system's bit mask."""
    return re.findall(r"SigCgt:\s*(\w+)", Path("/proc/self/status").read_text())[0]


@pytest.mark.skipif(sys.platform != "linux", reason="where /proc tells which signals are caught")
def test_signals_end_the_process_while_it_draws_and_afterwards() -> None:
    before, drawing = caught_signals(), set[str]()

    def stand_still(observation: Any) -> Any:
        drawing.add(caught_signals())
        return [0.0]

    mine = gymnasium.make("Pendulum-v1", render_mode="rgb_array")
    for env in ("Pendulum-v1", mine, mine, "Pendulum-v1"):
        footlight.simulate(env, stand_still, max_steps=2, video="x.gif")
    assert drawing == {before}
    assert caught_signals() == before


def test_window_of_the_environment_or_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    shown: list[Any] = []
    monkeypatch.setattr(
        "footlight.instruments.playback.show",
        lambda frames, fps, title: shown.append((len(list(frames)), fps, title)),
    )
    video = footlight.simulate("TestCorridor-v0", episodes=2, seed=1)
    assert shown == [(26, 20.0, "a random policy on TestCorridor-v0")]
    assert video == Path(os.devnull)
    assert video.returns == [corridor_return(1, 0), corridor_return(1, 1)]
    own = footlight.simulate("Pendulum-v1", max_steps=2)
    assert (own.lengths, len(shown)) == ([2], 1)
    footlight.simulate(Corridor("rgb_array"), lambda seen: 0)
    assert shown[1] == (13, 20.0, "a policy on Corridor")


def test_notebook_shows_the_video_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "in_notebook", lambda: True)
    monkeypatch.setenv("DISPLAY", ":99")
    video = footlight.simulate("Pendulum-v1", max_steps=3)
    shown = video._repr_html_()
    assert shown is not None
    assert "data:video/mp4;base64," in shown
    assert video.name == "Pendulum-v1.mp4"
    assert not list(Path().iterdir())  # it is in a folder of its own


@pytest.mark.parametrize(
    ("env", "policy", "given", "message"),
    [
        ("Pendulm-v1", None, {}, "did you mean 'Pendulum-v1'"),
        (3, None, {}, "3 is not an environment"),
        (lambda: Corridor(), None, {}, "cannot be rendered - its render.. returned nothing"),
        ("Pendulum-v1", 3, {}, "policy is 3 - give a run, an agent"),
        ("Pendulum-v1", Mine, {}, "policy is <class"),
        ("Pendulum-v1", "nowhere", {}, "nowhere"),
        ("Pendulum-v1", lambda seen: 1.0, {}, r"returned 1\.0 - that is not an action of Box"),
        ("Pendulum-v1", lambda seen: [np.nan], {}, "not an action"),
        ("Pendulum-v1", lambda seen: None, {}, "returned None"),
        ("CartPole-v1", lambda seen: 2, {}, r"returned 2 - that is not an action of Discrete\(2\)"),
        ("Pendulum-v1", None, {"episodes": 0}, "episodes"),
        ("Pendulum-v1", None, {"max_steps": 0}, "max_steps"),
        ("Pendulum-v1", None, {"seed": -1}, "seed"),
        ("Pendulum-v1", None, {"video": "x.avi"}, "its suffix is .avi"),
        ("Pendulum-v1", None, {"video": "there/x.mp4"}, "the folder .* does not exist"),
    ],
)
def test_errors(env: Any, policy: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        footlight.simulate(env, policy, **{"video": "x.gif", **given})
    assert not list(Path().iterdir())


def test_policy_of_other_spaces_is_refused() -> None:
    env = gymnasium.make("Pendulum-v1")
    agent = footlight.Agent("td3", env.observation_space, env.action_space, hidden_sizes=(8,))
    with pytest.raises(UserError, match="the policy was trained on other spaces than Box"):
        footlight.simulate("CartPole-v1", agent, video="x.gif")


def test_exception_of_an_own_policy_is_its_own_and_of_an_environment_a_fault() -> None:
    def broken(observation: Any) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        footlight.simulate("Pendulum-v1", broken, video="x.gif")

    class Failing(Corridor):
        def step(self, action: Any) -> Any:
            raise RuntimeError("the motor broke")

    with pytest.raises(EnvironmentFault, match="the motor broke"):
        footlight.simulate(Failing, video="x.gif")
    assert not list(Path().iterdir())
