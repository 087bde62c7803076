"""Running statistics of wrappers: read, shared, frozen, restored, taken over."""

from typing import Any

import faulty
import gymnasium
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import NormalizeObservation, NormalizeReward, vector

from footlight.environments.make import make
from footlight.environments.running_statistics import (
    freeze_statistics,
    read_statistics,
    restore_statistics,
    saved_statistics,
    share_statistics,
    statistics_of,
    why_not_shared,
    write_statistics,
)
from footlight.environments.workers import AsyncEnvironments, Supervision
from footlight.errors import EnvironmentFault
from footlight.types import Array


def normalized() -> gymnasium.Env[Any, Any]:
    return NormalizeReward(NormalizeObservation(faulty.Walk()))


class OwnMoments:
    """Running moments as many scripts have them."""

    def __init__(self) -> None:
        self.mean, self.var, self.count = np.zeros(2), np.ones(2), 0.0

    def update(self, x: Array) -> None:
        self.count += 1
        self.mean = self.mean + (x - self.mean) / self.count


class OwnNormalizer(gymnasium.ObservationWrapper[Any, Any, Any]):
    def __init__(self, env: Any, moments: OwnMoments | None = None) -> None:
        super().__init__(env)
        self.moments = moments or OwnMoments()

    def observation(self, observation: Any) -> Any:
        self.moments.update(observation)
        return (observation - self.moments.mean).astype(np.float32)


def walk(env: Any, steps: int = 5) -> None:
    env.reset(seed=1)
    for _ in range(steps):
        env.step(np.array([0.5], np.float32))


@pytest.mark.parametrize("make_it", [normalized, lambda: OwnNormalizer(faulty.Walk())])
def test_statistics_are_read_and_written(make_it: Any) -> None:
    one, other = make_it(), make_it()
    walk(one)
    statistics = read_statistics(one)
    write_statistics(other, statistics)
    again = read_statistics(other)
    assert statistics.keys() == again.keys()
    for name, array in statistics.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)
    np.testing.assert_array_equal(one.reset(seed=2)[0], other.reset(seed=2)[0])


@pytest.mark.parametrize("make_it", [normalized, lambda: OwnNormalizer(faulty.Walk())])
def test_frozen_statistics_are_constant_and_can_be_unfrozen(make_it: Any) -> None:
    env = make_it()
    moments = [name for name in read_statistics(env) if name.endswith(("mean", "var", "count"))]
    walk(env)
    before = read_statistics(env)
    freeze_statistics(env)
    walk(env)
    assert all(np.array_equal(read_statistics(env)[name], before[name]) for name in moments)
    write_statistics(env, before)
    walk(env)
    assert not all(np.array_equal(read_statistics(env)[name], before[name]) for name in moments)


def test_freezing_one_of_two_wrappers_with_shared_statistics_leaves_the_other_updating() -> None:
    common = OwnMoments()
    training, other = (OwnNormalizer(faulty.Walk(), common) for _ in range(2))
    freeze_statistics(other)
    walk(training)
    assert training.moments is common
    assert common.count == 6
    assert other.moments.count == 0


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_evaluations_use_the_statistics_of_the_first_environment(kind: str) -> None:
    training, other = make(normalized, 0, 2, vectorization=kind), make(normalized, 0, 1)
    try:
        training.reset()
        for _ in range(3):
            training.step(np.full((2, 1), 0.5, np.float32))
        saved = statistics_of(saved_statistics(training), 0)
        share_statistics(training, other)
        other.reset()
        other.step(np.zeros((1, 1), np.float32))
        moments = {
            name: array
            for name, array in statistics_of(saved_statistics(other), 0).items()
            if "_rms." in name
        }
        assert len(moments) == 6
        for name, array in moments.items():
            np.testing.assert_array_equal(array, saved[name], err_msg=name)
        restore_statistics(other, {f"statistics.0.{name}": array for name, array in saved.items()})
        other.reset()
        assert (
            statistics_of(saved_statistics(other), 0)["1.obs_rms.count"]
            == saved["1.obs_rms.count"] + 1
        )
    finally:
        training.close()
        other.close()


def test_rows_of_a_vector_environment_have_their_own_statistics() -> None:
    env = SyncVectorEnv([normalized] * 2)
    env.reset(seed=[1, 2])
    env.step(np.zeros((2, 1), np.float32))
    rows = [read_statistics(env, row) for row in range(2)]
    assert rows[0].keys() == rows[1].keys()
    assert not np.array_equal(rows[0]["1.obs_rms.mean"], rows[1]["1.obs_rms.mean"])


def test_statistics_cannot_be_shared_with_an_instance_that_has_others() -> None:
    assert why_not_shared(NormalizeReward(faulty.Walk()), NormalizeReward(faulty.Walk())) is None
    for pair in (
        (NormalizeReward(faulty.Walk()), faulty.Walk()),
        (faulty.Walk(), NormalizeReward(faulty.Walk())),
    ):
        reason = "the running statistics of NormalizeReward cannot be shared with another instance"
        assert str(why_not_shared(*pair)).startswith(reason)


def test_statistics_lost_with_a_worker_are_a_fault() -> None:
    """Those at the beginning of its episode are unknown if it is lost just before."""
    environments = AsyncEnvironments(normalized, 2, 0, "episode", Supervision(restart=True))
    try:
        environments.reset()
        saved = saved_statistics(environments)
        environments.remote[1]._process.kill()
        environments._starts.keep([1])
        with pytest.raises(
            EnvironmentFault,
            match="the running statistics of NormalizeReward, NormalizeObservation with it",
        ):
            environments.step(np.zeros((2, 1), np.float32))
    finally:
        environments.close()
    others = make(normalized, 0, 2)
    restore_statistics(
        others,
        {name: array for name, array in saved.items() if not name.startswith("statistics.1.")},
    )
    for name, array in statistics_of(saved_statistics(others), 1).items():
        np.testing.assert_array_equal(array, saved[f"statistics.0.{name}"], err_msg=name)


def test_without_the_statistics_of_their_start_episodes_are_not_restored() -> None:
    """As in older checkpoints: new episodes begin with the saved statistics."""
    used, other = make(normalized, 0, 2), make(normalized, 0, 2)
    used.reset()
    for _ in range(3):
        used.step(np.zeros((2, 1), np.float32))
    arrays = {name: np.array(array) for name, array in used.arrays().items()}
    assert other.restore({n: x for n, x in arrays.items() if not n.startswith("starts.0.")}) == [0]
    for env, more in ((0, 1), (1, 0)):  # the reset is an update
        count = statistics_of(saved_statistics(other), env)["1.obs_rms.count"]
        assert count == statistics_of(arrays, env)["1.obs_rms.count"] + more


@pytest.mark.parametrize("mode", list(gymnasium.vector.AutoresetMode))
def test_rows_of_a_vector_wrapper_are_not_written_to_another_number_of_them(mode: Any) -> None:
    many, one = (
        vector.NormalizeReward(SyncVectorEnv([faulty.Walk] * count, autoreset_mode=mode))
        for count in (3, 1)
    )
    many.reset(seed=1)
    many.step(many.action_space.sample())
    write_statistics(one, read_statistics(many), frozen=True)
    assert one.return_rms.var == many.return_rms.var
    assert one.accumulated_reward.shape == (1,)
    one.reset(seed=1)
    for _ in range(3):
        one.step(one.action_space.sample())
    assert one.return_rms.count == many.return_rms.count
