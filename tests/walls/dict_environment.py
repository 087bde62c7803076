"""An environment whose observations are a Dict of an image, a vector and a choice."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

SIZE = 36  # of the image's sides, the smallest that the convolutions of "nature" take
LENGTH = 8


class Vote(gymnasium.Env[Any, Any]):
    """Take a vote: an image that is bright at one side, a vector with a sign, a mode.

    The best action is 1 (or +1) where at least two of the three say so, 0 (or -1) elsewhere. The
    reward is 1 for it, 0 (or less) otherwise. One leaf alone is right in three of four steps.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, continuous: bool = False) -> None:
        self.observation_space = spaces.Dict(
            {
                "camera": spaces.Box(0, 255, (SIZE, SIZE), np.uint8),
                "body": spaces.Dict({"position": spaces.Box(-np.inf, np.inf, (3,), np.float64)}),
                "mode": spaces.Discrete(2, start=1),
            }
        )
        self.continuous = continuous
        self.action_space = (
            spaces.Box(-1, 1, (1,), np.float32) if continuous else spaces.Discrete(2)
        )
        self._step, self._target = 0, 0

    def _observation(self) -> Any:
        right, positive, mode = self.np_random.integers(0, 2, 3).tolist()
        camera = np.zeros((SIZE, SIZE), np.uint8)
        camera[:, SIZE // 2 :] = 255 * right
        camera[:, : SIZE // 2] = 255 * (1 - right)
        position = self.np_random.normal(100, 1, 3)
        position[0] = 100 + (2 if positive else -2)
        self._target = int(right + positive + mode >= 2)
        return {"camera": camera, "body": {"position": position}, "mode": np.int64(1 + mode)}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._step = 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.continuous:
            reward = -float((action[0] - (2 * self._target - 1)) ** 2)
        else:
            reward = float(int(action) == self._target)
        self._step += 1
        # Every second episode is cut short, so that both kinds of end occur
        ended, is_cut = self._step >= LENGTH, bool(self.np_random.integers(0, 2))
        return self._observation(), reward, ended and not is_cut, ended and is_cut, {}
