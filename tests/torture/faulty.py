"""Environments that fail in many ways, each under an id: `faulty:Raises-v0`, `faulty:Hangs-v0`, ...

All are a random walk whose steps are drawn from the episode's seed and shifted by the action; an
episode has ten steps. They fail at step 4 (some: at the reset) of every third episode, which the
seed decides: the same episode fails again when it is reproduced.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

LENGTH = 10
FAULT_STEP = 4


class Walk(gymnasium.Env[Any, Any]):
    """Nothing goes wrong here."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps, self.position, self.seed = 0, 0.0, seed or 0
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.position += float(self.np_random.normal()) + float(action[0])
        return self.observe(), -abs(self.position), False, self.steps == LENGTH, {}

    def observe(self) -> Any:
        return np.array([self.position, self.steps], np.float32)


class Faulty(Walk):
    """`fault` takes what a step or a reset gives and gives something else, or nothing any more."""

    def __init__(self, fault: Callable[[Any], Any], step: int = FAULT_STEP) -> None:
        self.fault, self.fault_step = fault, step

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self.perhaps(super().reset(seed=seed))

    def step(self, action: Any) -> Any:
        return self.perhaps(super().step(action))

    def perhaps(self, given: Any) -> Any:
        return self.fault(given) if self.steps == self.fault_step and self.seed % 3 == 0 else given


def raises(given: Any) -> Any:
    raise RuntimeError("the joint broke")


def hangs(given: Any) -> Any:
    while True:
        time.sleep(0.05)


def leaves(given: Any) -> Any:
    os._exit(7)


def is_killed(given: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def observes(*values: Any, dtype: Any = np.float32) -> Callable[[Any], Any]:
    return lambda given: (np.array(values, dtype), *given[1:])


def earns(reward: Any) -> Callable[[Any], Any]:
    return lambda given: (given[0], reward, *given[2:])


FAULTS: dict[str, Callable[[Any], Any]] = {
    "Raises": raises,
    "Hangs": hangs,
    "Leaves": leaves,
    "IsKilled": is_killed,
    "NaN": observes(0, np.nan),
    "Infinity": observes(np.inf, 0),
    "WrongShape": observes(0, 0, 0),
    "WrongDtype": observes("much", "more", dtype=None),
    "NaNReward": earns(np.nan),
    "TextReward": earns("1.5"),
    "FourValues": lambda given: given[:4],
}


class Once(Walk):
    """Fails once, at call number `call` of the first instance that gets there, and marks a file."""

    def __init__(self, marker: Path, call: int, harm: Callable[[Any], Any] = is_killed) -> None:
        self.marker, self.call, self.harm, self.calls = marker, call, harm, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self.perhaps(super().reset(seed=seed))

    def step(self, action: Any) -> Any:
        return self.perhaps(super().step(action))

    def perhaps(self, given: Any) -> Any:
        self.calls += 1
        if self.calls == self.call and not self.marker.exists():
            self.marker.touch()
            self.harm(given)
        return given


class Nondeterministic(Walk):
    """Draws from the clock at its third step."""

    def observe(self) -> Any:
        return np.array(
            [time.perf_counter_ns() % 1000 if self.steps == 3 else 0, self.steps], np.float32
        )


class Historic(Walk):
    """Counts its episodes, and shows the count from the second step on."""

    episodes = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.episodes += 1
        return super().reset(seed=seed)

    def observe(self) -> Any:
        return np.array([self.episodes if self.steps >= 2 else 0, self.steps], np.float32)


for name, what in FAULTS.items():
    gymnasium.register(f"{name}-v0", Faulty, kwargs={"fault": what})
gymnasium.register("ResetRaises-v0", Faulty, kwargs={"fault": raises, "step": 0})
gymnasium.register("Walk-v0", Walk)
