"""State carried between episodes: running statistics are told from counters and random numbers."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import faulty
import gymnasium
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv, VectorObservationWrapper
from gymnasium.wrappers.utils import RunningMeanStd

from footlight.environments import carried
from footlight.environments.carried import (
    CARRIED,
    NEW,
    USED,
    restore_attributes,
    save_attributes,
)
from footlight.environments.determinism import HISTORY, check_determinism, is_another
from footlight.environments.make import make
from footlight.environments.trial import why_different


class Centered(gymnasium.ObservationWrapper):  # type: ignore[type-arg]
    """A running mean as users write it, without an object for it."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.mean, self.count = np.zeros(2), 0

    def observation(self, observation: Any) -> Any:
        self.count += 1
        self.mean = self.mean + (observation - self.mean) / self.count
        return (observation - self.mean).astype(np.float32)


class Inside(faulty.Walk):
    """Running statistics in the environment itself."""

    def __init__(self) -> None:
        super().__init__()
        self.moments = RunningMeanStd(shape=(2,))

    def observe(self) -> Any:
        observation = super().observe()
        self.moments.update(observation[None])
        return (observation - self.moments.mean).astype(np.float32)


class Scaled(gymnasium.RewardWrapper):  # type: ignore[type-arg]
    """A running maximum that begins as an attribute of the class."""

    largest: float | None = None

    def reward(self, reward: Any) -> float:
        self.largest = max(abs(float(reward)), self.largest or 1e-3)
        return float(reward) / self.largest


class Numbered(faulty.Walk):
    """Goes through a data set: each episode begins at the next row."""

    def __init__(self) -> None:
        super().__init__()
        self.episode, self.start = 0, 0.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.episode += 1
        self.start = float(self.episode % 7)
        return self.observe(), {}

    def observe(self) -> Any:
        return super().observe() + np.float32(self.start)


class Unseeded(Numbered):
    """Ignores the seed of an episode."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = np.random.default_rng(0)

    def observe(self) -> Any:
        return super().observe() + np.float32(self.generator.random())


STATISTICS: dict[str, tuple[Callable[[], Any], str]] = {
    "wrapper": (lambda: Centered(faulty.Walk()), "Centered.mean"),
    "environment": (Inside, "Inside.moments"),
    "class attribute": (lambda: Scaled(faulty.Walk()), "Scaled.largest"),
}


@dataclass
class Unhashable(Inside):
    """Equal to other instances, and without a hash."""

    size: int = 2

    def __post_init__(self) -> None:
        super().__init__()


STATISTICS["unhashable"] = Unhashable, "Unhashable.moments"


def verdict(source: Any, kind: str) -> str:
    environments = make(source, 7, 2, vectorization=kind)
    try:
        found = check_determinism(source, environments, 7)
        assert found is not None
        return found
    finally:
        environments.close()


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("name", STATISTICS)
def test_running_statistics_make_an_instance_another_environment(name: str, kind: str) -> None:
    source, attribute = STATISTICS[name]
    found = verdict(source, kind)
    assert found.startswith(f"{CARRIED}{attribute}: an episode differs at step ")
    assert is_another(found)


@pytest.mark.parametrize("source", [Numbered, Unseeded])
def test_counters_and_random_numbers_do_not(source: Any) -> None:
    found = verdict(source, "sync")
    assert found.startswith(f"{HISTORY}: ")
    assert not is_another(found)


class CenteredRows(VectorObservationWrapper):
    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.mean, self.count = np.zeros(2), 0

    def observations(self, observations: Any) -> Any:
        for row in observations:
            self.count += 1
            self.mean = self.mean + (row - self.mean) / self.count
        return (observations - self.mean).astype(np.float32)


def test_running_statistics_around_and_in_a_vector_environment() -> None:
    around = CenteredRows(SyncVectorEnv([faulty.Walk] * 2))
    assert str(why_different(around, 0)).startswith(f"{CARRIED}CenteredRows.mean: ")
    within = SyncVectorEnv([lambda: Centered(faulty.Walk())] * 2)
    assert str(why_different(within, 0)).startswith(f"{CARRIED}Centered.mean: ")
    assert why_different(SyncVectorEnv([Numbered] * 2), 0) is None


def test_saved_attributes_are_freed_with_the_instance() -> None:
    env = faulty.Walk()
    save_attributes(env, NEW)
    number = id(env)
    assert number in carried._saved
    del env
    gc.collect()
    assert number not in carried._saved


def test_attributes_are_written_back() -> None:
    env = Centered(faulty.Walk())
    save_attributes(env, NEW)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    save_attributes(env, USED)
    used = env.mean
    assert "Centered.mean" in restore_attributes(env, NEW, floats_only=True)
    assert (env.mean.tolist(), env.count) == ([0.0, 0.0], 2)
    assert "Centered.mean" in restore_attributes(env, USED)
    assert np.array_equal(env.mean, used)
    assert "Centered.count" in restore_attributes(env, NEW)
    assert env.count == 0
