"""The trial of a given object and its copy: what it finds, and what it restores afterwards."""

import itertools
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import faulty
import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import (
    NormalizeObservation,
    RecordEpisodeStatistics,
    TransformObservation,
    TransformReward,
    vector,
)

from footlight.environments.trial import why_different

Change = Callable[[Any], Any]


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    gymnasium.register("Trial-v0", faulty.Walk)
    yield
    del gymnasium.registry["Trial-v0"]


def pendulum() -> gymnasium.Env[Any, Any]:
    return gymnasium.make("Pendulum-v1")


def pendulums(num_envs: int = 2) -> Any:
    return gymnasium.make_vec("Pendulum-v1", num_envs, vectorization_mode="sync")


def changed(env: Any, **attributes: Any) -> Any:
    for name, value in attributes.items():
        setattr(env.unwrapped, name, value)
    return env


SAME: dict[str, Callable[[], Any]] = {
    "object": pendulum,
    "wrapped": lambda: TransformObservation(
        pendulum(), lambda o: 2 * o, Box(-20, 20, (3,), np.float32)
    ),
    "normalized": lambda: NormalizeObservation(pendulum()),
    "vector": pendulums,
    "vector, normalized": lambda: vector.NormalizeObservation(
        vector.RecordEpisodeStatistics(pendulums())
    ),
    "rows normalized": lambda: SyncVectorEnv([lambda: NormalizeObservation(pendulum())] * 2),
    "native": lambda: gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="vector_entry_point"),
    "discrete": lambda: gymnasium.make("CartPole-v1"),
}


@pytest.mark.parametrize("name", SAME)
def test_copy_of_an_object_is_the_same_environment(name: str) -> None:
    assert why_different(SAME[name](), 0) is None


def test_object_that_was_used_before_is_the_same_environment() -> None:
    for env in (SAME["normalized"](), SAME["vector, normalized"]()):
        env.reset(seed=5)
        for _ in range(210):
            env.step(env.action_space.sample())
        assert why_different(env, 0) is None


def uneven() -> Any:
    made = itertools.count()
    return SyncVectorEnv([lambda: changed(pendulum(), g=10.0 if next(made) % 2 else 9.0)] * 2)


class Unsteady(faulty.Walk):
    def observe(self) -> Any:
        return super().observe() + np.float32(random.SystemRandom().random())


DIFFERENT: dict[str, tuple[Callable[[], Any], str]] = {
    "dynamics": (lambda: changed(pendulum(), g=3.0), "the observation differs"),
    "a goal far away": (
        lambda: changed(gymnasium.make("MountainCarContinuous-v0"), goal_position=0.6),
        r"Continuous_MountainCarEnv.goal_position \(0.45 in place of 0.6\)",
    ),
    "rows": (uneven, "the observation differs"),
    "space": (
        lambda: changed(pendulum(), action_space=Box(-1, 1, (1,), np.float32)),
        r"actions are Box\(-1.0, 1.0",
    ),
    "no spec": (faulty.Walk, "an object without a spec"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_reason_states_what_differs(name: str) -> None:
    make_it, reason = DIFFERENT[name]
    found = why_different(make_it(), 0)
    assert found is not None

    assert re.search(reason, found), found


def test_nondeterministic_object_cannot_be_compared() -> None:
    gymnasium.register("Unsteady-v0", Unsteady)
    try:
        assert "the given object is not deterministic" in str(
            why_different(gymnasium.make("Unsteady-v0", disable_env_checker=True), 0)
        )
    finally:
        del gymnasium.registry["Unsteady-v0"]


def test_given_object_keeps_its_statistics_and_records() -> None:
    env: Any = RecordEpisodeStatistics(
        NormalizeObservation(gymnasium.make("Trial-v0", disable_env_checker=True))
    )
    env.reset(seed=1)
    for _ in range(faulty.LENGTH):
        env.step(np.zeros(1, np.float32))
    moments = env.env.obs_rms
    before = moments.mean.copy(), moments.count, list(env.return_queue), env.episode_count
    assert why_different(env, 0) is None
    assert env.env.obs_rms is moments
    np.testing.assert_array_equal(moments.mean, before[0])
    assert (moments.count, list(env.return_queue), env.episode_count) == before[1:]


def numpy_state() -> list[int]:
    state: Any = np.random.get_state()
    words: list[int] = state[1].tolist()
    return words


def test_state_of_process_wide_generators_is_restored() -> None:
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), numpy_state()
    assert why_different(pendulum(), 0) is None
    assert (random.getstate(), numpy_state()) == before


def test_attribute_changed_between_two_trials_is_noticed() -> None:
    env = gymnasium.make("CartPole-v1")
    assert why_different(env, 0) is None
    changed(env, force_mag=1.0)
    assert "with the same seed and actions the observation differs" in str(why_different(env, 0))


class Maze(faulty.Walk):
    """Nothing of its attributes shows in a trial."""

    def __init__(self) -> None:
        self.map, self.goals, self.goal = np.zeros((40, 40)), {(0, 0)}, None

    def __eq__(self, other: object) -> bool:  # such an object cannot be hashed
        return self is other


@pytest.mark.parametrize(
    "settings", [{"map": np.eye(40)}, {"goals": {(20, 20)}}, {"goal": (20, 20)}]
)
def test_attributes_that_affect_no_step_are_compared(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(gymnasium.registry, "Maze-v0", EnvSpec("Maze-v0", entry_point=Maze))
    env = gymnasium.make("Maze-v0", disable_env_checker=True)
    assert why_different(env, 0) is None
    changed(env, **settings)
    assert (
        why_different(env, 0)
        == f"a copy of the given object differs from it in Maze.{next(iter(settings))}"
    )


class Limited(faulty.Walk):
    """A default in the class, whose effect comes after a trial."""

    limit = 50


def test_attribute_that_replaces_a_default_of_the_class_is_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(
        gymnasium.registry, "Limited-v0", EnvSpec("Limited-v0", entry_point=Limited)
    )
    env = gymnasium.make("Limited-v0", disable_env_checker=True)
    assert why_different(env, 0) is None
    assert (
        why_different(changed(env, limit=45), 0)
        == "a copy of the given object differs from it in Limited.limit (50 in place of 45)"
    )


class Monitor(gymnasium.Wrapper):  # type: ignore[type-arg]
    results_writer = None


def test_recorders_of_all_rows_are_restored() -> None:
    env = SyncVectorEnv([lambda: TransformReward(Monitor(pendulum()), float)] * 3)
    before = [str(row) for row in env.envs]
    assert why_different(env, 0) is None
    assert [str(row) for row in env.envs] == before
    assert all("Monitor" in row for row in before)
