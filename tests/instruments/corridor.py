"""A short corridor that renders, and fails on request; and the frames of a video file."""

import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from footlight.instruments.video import Frame

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
SMALL: dict[str, Any] = {
    "hidden_sizes": (8, 8), "compile": "off", "eval_episodes": 0, "eval_every": 0, "n_steps": 10,
    "preset": False,
}  # fmt: skip
FAILING: dict[str, Any] = {}  # what the next environment that draws is to stumble over


class Corridor(gymnasium.Env[Any, Any]):
    """Twelve steps to the right, of which the fifth fails to move.

    The reward is the position, and so is the brightness of the image.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012
    observation_space = gymnasium.spaces.Box(0, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)

    def __init__(self, render_mode: str | None = None, terminates: bool = True) -> None:
        self.render_mode, self.terminates = render_mode, terminates

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.position, self.clock = int(self.np_random.integers(3)), 0
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        if self.render_mode and FAILING.get("step") == self.clock:
            raise RuntimeError("the motor broke")
        self.clock += 1
        self.position += self.clock != 5
        ends = self.clock == 12
        return (
            self._seen(),
            float(self.position),
            ends and self.terminates,
            ends and not self.terminates,
            {},
        )

    def render(self) -> Any:
        if FAILING.get("render") == self.clock:
            raise RuntimeError("the lamp broke")
        return (
            np.full((36, 48, 3), 15 * self.position, np.uint8)
            if self.render_mode == "rgb_array"
            else None
        )

    def _seen(self) -> Any:
        return np.array([self.position / 20, self.clock / 20], np.float32)


class Drifting(Corridor):
    """Rewards depend on the number of earlier episodes."""

    played = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.played += 1
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, reward + (self.played if self.clock > 7 else 0), *rest


class Unseen(Corridor):
    metadata = {"render_modes": []}  # noqa: RUF012


for made in (Corridor, Unseen):
    gymnasium.register(f"Test{made.__name__}-v0", made)


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
