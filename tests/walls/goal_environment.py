"""An environment like Gymnasium-Robotics' and highway-env's: reach a goal that is observed."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

LENGTH = 10
SIZE = 36  # of the image's sides, the smallest that the convolutions of "nature" take


class Reach(gymnasium.Env[Any, Any]):
    """Move a point in [-1, 1]^2 to a goal; the reward is minus the distance after the step.

    One step reaches every goal, so the best return is 0. camera: also observe an image of both.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, camera: bool = False, render_mode: str | None = None) -> None:
        point = spaces.Box(-1, 1, (2,), np.float64)
        parts: dict[str, spaces.Space[Any]] = {
            "observation": spaces.Box(-np.inf, np.inf, (2,), np.float64),
            "achieved_goal": point,
            "desired_goal": point,
        }
        if camera:
            parts["camera"] = spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
        self.observation_space = spaces.Dict(parts)
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)
        self.camera, self.render_mode = camera, render_mode
        self.point, self.goal, self.clock = np.zeros(2), np.zeros(2), 0

    def render(self) -> Any:
        image = np.zeros((SIZE, SIZE, 3), np.uint8)
        for channel, place in enumerate((self.point, self.goal)):
            row, column = np.rint((place + 1) / 2 * (SIZE - 5)).astype(int)
            image[row : row + 4, column : column + 4, channel] = 255
        return image

    def _observation(self) -> Any:
        found = {
            "observation": self.point - self.goal,
            "achieved_goal": self.point.copy(),
            "desired_goal": self.goal.copy(),
        }
        return found | ({"camera": self.render()} if self.camera else {})

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.clock = 0
        self.goal = self.np_random.uniform(-0.4, 0.4, 2)
        self.point = np.zeros(2)
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.point = np.clip(self.point + 0.5 * np.asarray(action, np.float64), -1, 1)
        self.clock += 1
        distance = float(np.abs(self.point - self.goal).sum())
        return self._observation(), -distance, False, self.clock == LENGTH, {}
