"""Files of a user's for tests: an environment, wrappers, hooks, a network and an algorithm."""

import re
from pathlib import Path

import gymnasium

import footlight.algorithms.a2c

MINE = """
import os
from pathlib import Path

import gymnasium
import numpy as np
from torch import nn

Path(__file__).with_name("marker").write_text("this file was run")


class MyEnv(gymnasium.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, size=3, render_mode=None):
        self.observation_space = gymnasium.spaces.Box(-10, 10, (size,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)
        self.render_mode = render_mode

    def _observe(self):
        self.seen = self.np_random.normal(size=self.observation_space.shape).astype(np.float32)
        return self.seen.copy()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._observe(), {}

    def step(self, action):
        self.time += 1
        reward = float(action == (self.seen[0] > 0))
        return self._observe(), reward, False, self.time >= 10, {}

    def render(self):
        return np.full((32, 32, 3), self.time * 20, np.uint8)


def make(size=4):
    return MyEnv(size)


gymnasium.register("Mine-v0", MyEnv)


def add(env):
    return gymnasium.wrappers.TransformReward(env, lambda reward: reward + 1)


def double(env):
    return gymnasium.wrappers.TransformReward(env, lambda reward: 2 * reward)


class MyNetwork(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        size = observation_space.shape[0]
        self.actor = nn.Linear(size, int(action_space.n))
        self.critic = nn.Sequential(nn.Linear(size, 1), nn.Flatten(0))


def show(training):
    if training.step % 20 == 0:
        print(f"hook at {training.step}")


class Count:
    def __init__(self):
        self.count = 0

    def __call__(self, training):
        self.count += 1
        if training.step % 20 == 0:
            training.log(count=self.count)

    def state(self):
        return {"count": self.count}

    def restore(self, state):
        self.count = state["count"]
"""


def write(folder: Path) -> Path:
    """Write mine.py and algorithm.py, whose class `Mine` is A2C, into a folder."""
    gymnasium.registry.pop("Mine-v0", None)  # of another test's file
    source = Path(footlight.algorithms.a2c.__file__).read_text()
    (folder / "algorithm.py").write_text(re.sub(r'class A2C:|"A2C"', _renamed, source))
    (folder / "mine.py").write_text(MINE)
    return folder / "mine.py"


def _renamed(found: re.Match[str]) -> str:
    return found[0].replace("A2C", "Mine")
