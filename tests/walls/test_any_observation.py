"""Observations of every space train, are saved, resumed, exported and shown."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from goal_environment import Reach
from gymnasium import spaces
from torch import Tensor, nn

import footlight
from footlight.instruments.export import export
from footlight.learning.agent import Agent
from footlight.storage import checkpoint
from footlight.trees import map_leaves
from tolerance import assert_close

OPTIONS: dict[str, Any] = {
    "seed": 1, "compile": "off", "quiet": True, "eval_every": 0, "eval_episodes": 1, "threads": 1,
    "probe": "off",
}  # fmt: skip
SMALL: dict[str, Any] = {"hidden_sizes": (8,), "normalize_observations": True}
ROLLOUTS: dict[str, Any] = SMALL | {
    "n_steps": 16, "minibatch_size": 16, "num_epochs": 2, "num_envs": 2,
}  # fmt: skip
REPLAY: dict[str, Any] = SMALL | {
    "learning_starts": 20, "batch_size": 8, "buffer_size": 200, "updates_per_step": 0.5,
}  # fmt: skip
IMAGE = spaces.Box(0, 255, (40, 40, 3), np.uint8)
SPACES: dict[str, spaces.Space[Any]] = {
    "one choice of many": spaces.Discrete(3000, start=-2),
    "several choices": spaces.MultiDiscrete([[3, 2], [1500, 2]]),
    "bits": spaces.MultiBinary([2, 3]),
    "one number": spaces.Box(0, 1, (), np.float64),
    "a nested tuple": spaces.Tuple(
        [
            spaces.Discrete(4),
            IMAGE,
            spaces.Dict({"a": spaces.MultiBinary(2), "b": spaces.Box(0, 1000, (2,), np.int32)}),
        ]
    ),
    "a grid": spaces.Dict(
        {
            "image": spaces.Box(0, 255, (7, 7, 3), np.uint8), "direction": spaces.Discrete(4),
            "mission": spaces.Text(9),
        }
    ),
}  # fmt: skip


class Drawn(gymnasium.Env[Any, Any]):
    """Random observations of a space; the reward is the action."""

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = space, spaces.Discrete(2)
        self.clock = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.clock = 0
        if seed is not None:
            self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        self.clock += 1
        return self.observation_space.sample(), float(action), False, self.clock >= 8, {}


def same_arrays(one: Path, other: Path) -> None:
    """Compare the newest checkpoints of two runs bit for bit."""
    folders = [checkpoint.find(folder) for folder in (one, other)]
    for group in ("policy", "agent", "buffer", "environments"):
        arrays, wanted = (checkpoint.read_arrays(folder, group) for folder in folders)
        assert arrays.keys() == wanted.keys()
        for name, array in arrays.items():
            found = map_leaves(lambda leaf: leaf.tobytes(), array)
            assert found == map_leaves(lambda leaf: leaf.tobytes(), wanted[name]), name


@pytest.mark.parametrize("name", list(SPACES))
def test_trained_resumed_and_exported(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")

    def make() -> Drawn:
        return Drawn(SPACES[name])

    options = OPTIONS | ROLLOUTS
    whole = footlight.train("ppo", make, steps=96, run_dir=tmp_path / "whole", **options)
    part = footlight.train("ppo", make, steps=64, run_dir=tmp_path / "part", **options)
    part = footlight.resume(part.folder, environment=make, steps=96, quiet=True)
    same_arrays(part.folder, whole.folder)
    export(whole.folder, tmp_path / "policy.onnx")  # which compares it with the policy
    observation, _ = make().reset(seed=3)
    action, _ = footlight.load(whole.folder).predict(observation, deterministic=True)
    assert action == footlight.load(whole.folder).act(observation)


def test_text_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = OPTIONS | SMALL | {"quiet": False, "run_dir": tmp_path / "run"}
    footlight.train("a2c", lambda: Drawn(SPACES["a grid"]), steps=10, **options)
    said = capsys.readouterr()
    assert "'mission' is text, and left out" in said.out + said.err


@pytest.mark.parametrize("algorithm", ["sac", "td3", "ddpg"])
def test_goals_and_a_camera_with_replay(algorithm: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")

    def make(render_mode: str | None = None) -> Reach:
        return Reach(camera=True, render_mode=render_mode)

    options = OPTIONS | REPLAY | {"num_envs": 2}
    whole = footlight.train(algorithm, make, steps=60, run_dir=tmp_path / "whole", **options)
    part = footlight.train(algorithm, make, steps=40, run_dir=tmp_path / "part", **options)
    part = footlight.resume(part.folder, environment=make, steps=60, quiet=True)
    same_arrays(part.folder, whole.folder)
    export(whole.folder, tmp_path / "policy.onnx")
    saved = checkpoint.read_arrays(checkpoint.find(whole.folder), "buffer")
    # Each of 30 steps stored one frame, and so did the black slot and the three first observations
    assert saved["0.frames.camera"].shape == (1 + 3 + 30, 36, 36, 3)
    assert saved["0.frames.desired_goal"].shape == (1 + 3 + 30, 2)
    if algorithm == "sac":
        pytest.importorskip("imageio_ffmpeg")
        whole.video(tmp_path / "overlay.mp4", overlay=True)
        assert (tmp_path / "overlay.mp4").stat().st_size > 0


def test_convolutions_of_replay_are_initialized_as_configured() -> None:
    env = Reach(camera=True)
    agent = Agent(
        "td3", env.observation_space, env.action_space, seed=1, initialization="orthogonal",
        compile="off", **REPLAY,
    )  # fmt: skip
    named = agent.networks.actor.unflatten(agent.networks.actor.initial)
    kernel = named["features.images.0.1.weight"].flatten(1)
    assert_close(kernel @ kernel.mT, 2 * torch.eye(len(kernel)), terms=192, depth=50, scale=2.0)
    assert not named["features.images.0.1.bias"].any()


def test_frozen_lake_is_solved(tmp_path: Path) -> None:
    run = footlight.train(
        "ppo", "FrozenLake-v1", steps=6_000, env_kwargs={"is_slippery": False},
        run_dir=tmp_path / "run", n_steps=128, minibatch_size=64, num_envs=4, num_epochs=4,
        learning_rate=3e-3, entropy_coef=0.01, **OPTIONS,
    )  # fmt: skip
    assert run.evaluate(episodes=5).mean_return == 1


def test_goals_are_reached(tmp_path: Path) -> None:
    run = footlight.train(
        "sac", Reach, steps=1_500, run_dir=tmp_path / "run", hidden_sizes=(32, 32), batch_size=64,
        learning_starts=100, learning_rate=2e-3, gamma=0.9, updates_per_step=0.5, **OPTIONS,
    )  # fmt: skip
    assert run.evaluate(episodes=10).mean_return > -1  # a random policy: about -9


@pytest.mark.parametrize(
    "algorithm", ["a2c", "actor-critic", "impala", "replay-actor-critic", "stream-ac"]
)
@pytest.mark.parametrize("env", ["Blackjack-v1", "CliffWalking-v1"])
def test_toy_text_trains(algorithm: str, env: str, tmp_path: Path) -> None:
    fields = {"learning_starts": 20} if algorithm == "replay-actor-critic" else {}
    run = footlight.train(
        algorithm, env, steps=60, run_dir=tmp_path / "run", **OPTIONS | {"eval_episodes": 0},
        **fields,
    )  # fmt: skip
    observation, _ = run.make_env().reset(seed=1)
    assert footlight.load(run.folder).act(observation).shape == ()


@pytest.mark.parametrize("env", ["FrozenLake-v1", "Blackjack-v1"])
def test_vector_environments(env: str, tmp_path: Path) -> None:
    options = OPTIONS | ROLLOUTS | {"eval_episodes": 0}
    runs = [
        footlight.train(
            "ppo", env, steps=64, run_dir=tmp_path / kind, vectorization=kind, **options
        )
        for kind in ("sync", "async")
    ]
    same_arrays(*(run.folder for run in runs))
    vector = gymnasium.make_vec(env, num_envs=2)
    del options["num_envs"]
    footlight.train("ppo", vector, steps=64, run_dir=tmp_path / "vector", **options)


class Own(nn.Module):
    """A network that takes the leaves itself."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        assert [*observation_space] == ["0", "1", "2"]  # of the Tuple of Blackjack
        self.cards = nn.Embedding(observation_space["0"].n, 4)
        self.last = nn.Linear(4 + 2, int(action_space.n) + 1)

    def forward(self, observation: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        others = torch.stack([observation["1"], observation["2"]], 1).float()
        output = self.last(torch.cat([self.cards(observation["0"]), others], 1))
        return output[:, :-1], output[:, -1]


def test_own_network_takes_the_leaves(tmp_path: Path) -> None:
    run = footlight.train(
        "a2c", "Blackjack-v1", steps=40, run_dir=tmp_path / "run", network=Own, **OPTIONS
    )
    assert run.evaluate(episodes=1).returns
