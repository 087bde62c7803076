"""Probe environment with image observations: `FollowSquare`, 84 x 84 bytes.

A bright square moves at random along a row, and the three actions move a dim one below it. The
reward is 1 for every step at which the two are in line. `FollowSquare.best` is in line at every
step but the first few.
"""

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray


class FollowSquare(gymnasium.Env[NDArray[np.uint8], Any]):
    """Keep the dim square below the bright one, which moves by at most one column per step."""

    columns, steps, size = 7, 32, 84

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, (self.size, self.size, 1), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(3)  # left, stay, right
        self.clock = self.bright = self.dim = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        self.clock = 0
        self.bright, self.dim = self.np_random.integers(self.columns, size=2).tolist()
        return self.image(), {}

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        self.clock += 1
        self.dim = min(max(self.dim + int(action) - 1, 0), self.columns - 1)
        reward = float(self.dim == self.bright)
        moved = self.bright + int(self.np_random.integers(-1, 2))
        self.bright = min(max(moved, 0), self.columns - 1)
        return self.image(), reward, False, self.clock == self.steps, {}

    def best(self) -> int:
        """The action that moves the dim square toward the bright one."""
        return 1 + (self.bright > self.dim) - (self.bright < self.dim)

    def image(self) -> NDArray[np.uint8]:
        """The current observation."""
        side = self.size // self.columns
        image = np.zeros((self.size, self.size, 1), np.uint8)
        image[2 * side : 3 * side, self.bright * side : (self.bright + 1) * side] = 255
        image[4 * side : 5 * side, self.dim * side : (self.dim + 1) * side] = 128
        return image
