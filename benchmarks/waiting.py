"""An environment whose step takes a given time without a core, as a simulator elsewhere does.

Imported by both sides of `collection.py`, and so by interpreters with and without footlight.
"""

import time
from typing import Any

import gymnasium
import numpy as np

EPISODE = 200  # steps


class Waiting(gymnasium.Env[Any, Any]):
    """Eight random numbers seen, two actions; every step waits for `seconds`."""

    observation_space = gymnasium.spaces.Box(-1, 1, (8,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, seconds: float) -> None:
        self.seconds, self.steps = seconds, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.seconds:
            time.sleep(self.seconds)
        reward = float(-np.square(action).sum())
        return self._observe(), reward, False, self.steps == EPISODE, {}

    def _observe(self) -> Any:
        return self.np_random.uniform(-1, 1, 8).astype(np.float32)
