"""Actions between [-1, 1] and the environment's bounds: exact at both ends, and back."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import vector

from footlight.environments.serial import SerialEnvironments
from footlight.environments.vector import VectorEnvironments
from footlight.errors import UserError
from footlight.types import BoxAction
from tolerance import assert_close


def box(low: Any, high: Any, dtype: Any = np.float32) -> BoxAction:
    return BoxAction(low=np.array(low, dtype), high=np.array(high, dtype))


def test_by_hand() -> None:
    # [-3, 10]: the middle is 3.5 and half the width 6.5: 3.5 + 6.5 * 0.5 = 6.75
    action = box([-3], [10]).to_environment(np.array([[-1], [-0.5], [0], [0.5], [1]], np.float32))
    assert action.tolist() == [[-3], [0.25], [3.5], [6.75], [10]]
    assert action.dtype == np.float32


def test_environment_receives_both_bounds_and_nothing_beyond(counting_env: Any) -> None:
    class Recording(counting_env):  # type: ignore[misc, valid-type]
        action_space = gymnasium.spaces.Box(-3, 10, (1,), np.float32)
        met: list[float]

        def step(self, action: Any) -> Any:
            assert self.action_space.contains(action)
            self.met.append(action.item())
            return super().step(action)

    env = Recording()
    env.met = []
    environments = SerialEnvironments([env], 0, "episode")
    environments.reset()
    bounds = environments.spaces.action
    assert isinstance(bounds, BoxAction)
    units = [-1, 1, -1 - 1e-6, 1 + 1e-6, -5, 5, *np.linspace(-1, 1, 101)]
    for unit in units:
        environments.step(bounds.to_environment(np.array([[unit]], np.float32)))
    assert env.met[:6] == [-3, 10, -3, 10, -3, 10]
    assert env.met[6:] == sorted(env.met[6:])
    assert (min(env.met), max(env.met)) == (-3, 10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("low", "high"),
    [(-2, 2), (-3, 10), (0, 1), (-0.4, 0.4), (0.001, 1000), (-0.1, 0.7), (-1, 0.3), (5, 5.1)],
)
def test_bounds_are_reached_exactly(low: float, high: float, dtype: Any) -> None:
    bounds = box([low], [high], dtype)
    ends = bounds.to_environment(np.array([[-1], [1]], np.float32))
    assert ends.dtype == dtype
    assert ends[:, 0].tolist() == [bounds.low[0], bounds.high[0]]


def test_bounds_are_reached_exactly_whatever_they_are() -> None:
    generator = np.random.default_rng(0)
    ends = np.sort(generator.normal(size=(2, 1000)) * 10 ** generator.uniform(-3, 3, 1000), axis=0)
    bounds = box(*ends)
    low, high = bounds.to_environment(np.array([[-1] * 1000, [1] * 1000], np.float32))
    assert np.array_equal(low, bounds.low)
    assert np.array_equal(high, bounds.high)
    between = bounds.to_environment(generator.uniform(-1, 1, (50, 1000)).astype(np.float32))
    assert ((between >= bounds.low) & (between <= bounds.high)).all()


@pytest.mark.parametrize(
    ("low", "high"),
    [([-3], [10]), ([-1, 0, -200], [1, 0.5, 100]), ([[-1, 0], [2, -9]], [[1, 5], [4, 9]])],
)
def test_round_trip_between_units(low: Any, high: Any) -> None:
    bounds, generator = box(low, high), np.random.default_rng(0)
    unit_EA = generator.uniform(-1, 1, (200, bounds.size)).astype(np.float32)
    action = bounds.to_environment(unit_EA)
    assert action.shape == (200, *bounds.shape)
    again_EA = bounds.from_environment(action)
    assert (again_EA.shape, again_EA.dtype) == ((200, bounds.size), np.float32)
    assert_close(again_EA, unit_EA)
    assert_close(bounds.to_environment(again_EA), action)


def test_conversion_back_by_hand() -> None:
    bounds = box([-3], [10])
    given = np.array(
        [[-3], [0.25], [3.5], [10], [-4], [11]], np.float32
    )  # the last two lie outside, and are cut off
    assert bounds.from_environment(given)[:, 0].tolist() == [-1, -0.5, 0, 1, -1, 1]


def test_dimensions_keep_their_order() -> None:
    bounds = box([[0, 10], [20, 30]], [[1, 11], [21, 31]])
    action = bounds.to_environment(np.array([[-1, 1, -1, 1]], np.float32))
    assert action.tolist() == [[[0, 11], [20, 31]]]
    assert bounds.from_environment(action).tolist() == [[-1, 1, -1, 1]]


def test_wide_bounds_do_not_overflow() -> None:
    most = float(np.finfo(np.float32).max)
    assert box([-most], [most]).to_environment(np.array([[-1], [0], [1]], np.float32))[
        :, 0
    ].tolist() == [-most, 0, most]


class Lever(gymnasium.Env[Any, Any]):
    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-2, 3, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        return np.zeros(1, np.float32), float(action[0]), False, False, {}


def clipped_within_layers() -> gymnasium.Env[Any, Any]:
    """The wrappers of CleanRL's continuous PPO, in its order."""
    env = gymnasium.wrappers.RecordEpisodeStatistics(Lever())
    return gymnasium.wrappers.NormalizeObservation(gymnasium.wrappers.ClipAction(env))


@pytest.mark.parametrize(
    "make",
    [
        clipped_within_layers,
        lambda: vector.ClipAction(SyncVectorEnv([Lever])),
        lambda: SyncVectorEnv([clipped_within_layers]),
    ],
)
def test_bounds_are_those_that_actions_are_clipped_to(make: Any) -> None:
    env = make()
    is_vector = isinstance(env, gymnasium.vector.VectorEnv)
    environments: Any = (VectorEnvironments if is_vector else SerialEnvironments)(
        env if is_vector else [env], 0, "episode"
    )
    environments.reset()
    assert environments.action_space == Lever.action_space
    step = environments.step(environments.spaces.action.to_environment(np.ones((1, 1), np.float32)))
    assert step.reward.tolist() == [3.0]


def test_layer_that_changes_actions_keeps_the_declared_bounds() -> None:
    space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    env = gymnasium.wrappers.TransformAction(
        gymnasium.wrappers.ClipAction(Lever()), lambda action: 100 * action, space
    )
    with pytest.raises(UserError, match=r"no finite bounds in dimension .* leave out ClipAction"):
        SerialEnvironments([env], 0, "episode")
