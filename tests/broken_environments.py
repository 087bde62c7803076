"""Small environments with one fault each, and a healthy one that they derive from."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box


class Healthy(gymnasium.Env[Any, Any]):
    """A point that drifts and can be pushed; truncated after 50 steps."""

    limit: ClassVar[int] = 50

    def __init__(self) -> None:
        self.observation_space: Any = Box(-5, 5, (3,), np.float32)
        self.action_space: Any = Box(-1, 1, (1,), np.float32)
        self.time = 0

    def seeded(self, seed: int | None) -> Any:
        """Where random numbers come from."""
        super().reset(seed=seed)
        return self.np_random

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.random = self.seeded(seed)
        self.position, self.time = self.random.uniform(-1, 1, 3), 0
        return self.observation(), {}

    def observation(self) -> Any:
        return np.clip(self.position, -5, 5).astype(np.float32)

    def reward(self) -> Any:
        return -float((self.position**2).sum())

    def step(self, action: Any) -> Any:
        self.time += 1
        self.position = 0.95 * self.position + 0.1 * self.random.normal(size=3)
        self.position[0] += 0.1 * np.tanh(float(action[0]))
        return self.observation(), self.reward(), False, self.time >= self.limit, {}


class OutsideSpace(Healthy):
    def observation(self) -> Any:
        return (super().observation() + 9).astype(np.float32)


class WrongShape(Healthy):
    def observation(self) -> Any:
        return super().observation()[:2]


class WrongDtype(Healthy):
    def observation(self) -> Any:
        return np.clip(self.position, -5, 5)


class NotFinite(Healthy):
    def observation(self) -> Any:
        return super().observation() * np.float32(np.nan if self.time == 9 else 1)


class Unseeded(Healthy):
    def seeded(self, seed: int | None) -> Any:
        return np.random.default_rng()


class IgnoresSeed(Healthy):
    def seeded(self, seed: int | None) -> Any:
        return np.random.default_rng(0)


class RewardArray(Healthy):
    def reward(self) -> Any:
        return np.array([super().reward()])


class RewardNotFinite(Healthy):
    def reward(self) -> Any:
        return float("nan") if self.time == 9 else super().reward()


class NeverEnds(Healthy):
    limit = 1_000_000


class LimitTerminates(Healthy):
    def step(self, action: Any) -> Any:
        observation, reward, _, truncated, info = super().step(action)
        return observation, reward, truncated, False, info


class ShowsTime(LimitTerminates):
    """Healthy: the end can be seen coming."""

    def observation(self) -> Any:
        found = super().observation()
        found[2] = self.time / self.limit
        return found


class ConstantReward(Healthy):
    def reward(self) -> Any:
        return 1.0


class LargeReward(Healthy):
    def reward(self) -> Any:
        return 1_000 * super().reward()


class ShiftedReward(Healthy):
    def reward(self) -> Any:
        return super().reward() - 1_000


class ConstantObservation(Healthy):
    def observation(self) -> Any:
        return np.full(3, 0.5, np.float32)


class FrozenObservation(Healthy):
    """The first observation of an episode, again and again."""

    def observation(self) -> Any:
        if self.time == 0:
            self.first = super().observation()
        return self.first.copy()


class ReusedArray(Healthy):
    """Healthy: it returns the same array each time, with other numbers in it."""

    array = np.zeros(3, np.float32)

    def observation(self) -> Any:
        self.array[:] = super().observation()
        return self.array

    def reward(self) -> Any:
        return -1.0 if self.time % 2 else 1.0


class ConstantComponent(Healthy):
    def observation(self) -> Any:
        found = super().observation()
        found[2] = 0.5
        return found


class HugeNumbers(Healthy):
    """Finite observations whose squares overflow, and a return that nothing reaches."""

    spec = EnvSpec("HugeNumbers-v0", reward_threshold=float("inf"))

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = Box(-np.inf, np.inf, (3,), np.float64)

    def observation(self) -> Any:
        return 1e300 * self.position


class LargeScale(Healthy):
    def __init__(self) -> None:
        super().__init__()
        self.observation_space = Box(-np.inf, np.inf, (3,), np.float32)

    def observation(self) -> Any:
        return super().observation() * np.float32(1e4)


class SmallScale(Healthy):
    def observation(self) -> Any:
        return super().observation() * np.float32(1e-5)


class Unbounded(Healthy):
    def __init__(self) -> None:
        super().__init__()
        self.action_space = Box(-np.inf, np.inf, (1,), np.float32)


class OldReset(Healthy):
    def reset(self) -> Any:  # type: ignore[override]
        return super().reset()[0]


class OldStep(Healthy):
    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, terminated or truncated, info


class IntegerFlags(Healthy):
    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, int(terminated), truncated, info


class Raises(Healthy):
    def step(self, action: Any) -> Any:
        raise RuntimeError("the motor is lost")


FAULTS: dict[type[Healthy], str] = {
    OutsideSpace: "observation-outside-space",
    WrongShape: "observation-outside-space",
    WrongDtype: "observation-dtype",
    NotFinite: "observation-not-finite",
    Unseeded: "seed-not-reproducing",
    IgnoresSeed: "seed-ignored",
    RewardArray: "reward-not-a-scalar",
    RewardNotFinite: "reward-not-finite",
    NeverEnds: "never-ends",
    LimitTerminates: "time-limit-terminates",
    ConstantReward: "reward-constant",
    LargeReward: "reward-scale",
    ShiftedReward: "reward-shifted",
    ConstantObservation: "observation-constant",
    FrozenObservation: "observation-frozen",
    LargeScale: "observation-scale",
    SmallScale: "observation-scale",
    Unbounded: "action-unbounded",
    OldReset: "interface",
    OldStep: "interface",
    IntegerFlags: "terminated-not-a-bool",
}
"""The check that has to name each fault, as the first finding."""
