"""Another environment like the given one: what is repeated, and what cannot be."""

import re
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import vector

from footlight.environments.make import make_one
from footlight.environments.remake import SingleRow
from footlight.environments.running_statistics import freeze_statistics
from footlight.environments.source import EnvironmentSource
from footlight.errors import UserError

Counting = type[gymnasium.Env[Any, Any]]
Register = Callable[..., str]


def test_remake_makes_an_equal_environment(counting_env: Counting, register: Register) -> None:
    name = register("Count-v0", counting_env, max_episode_steps=5)
    env = gymnasium.make(name, disable_env_checker=True)
    for source in (name, counting_env, env):
        again = EnvironmentSource.of(source).remake()
        assert again is not None
        other = make_one(again)
        assert other is not source
        assert isinstance(other.unwrapped, counting_env)
    with pytest.raises(UserError, match="without a spec"):
        EnvironmentSource.of(counting_env()).remake()


def test_remake_keeps_arguments_and_wrappers(register: Register, counting_env: Counting) -> None:
    name = register("Count-v0", counting_env, max_episode_steps=5)
    env = gymnasium.wrappers.RescaleAction(
        gymnasium.make(name, who=4), np.float32(-2), np.float32(2)
    )
    again = EnvironmentSource.of(env).remake()
    assert again is not None
    other: Any = make_one(again)
    assert other.unwrapped.who == 4
    assert other.action_space == env.action_space
    assert other.spec.max_episode_steps == 5


def test_remake_of_a_vector_environment_is_a_single_environment() -> None:
    together = gymnasium.make_vec(
        "Pendulum-v1",
        2,
        vectorization_mode="sync",
        wrappers=[gymnasium.wrappers.FlattenObservation],
    )
    again = EnvironmentSource.of(together).remake()
    assert again is not None
    other = make_one(again)
    assert type(other.unwrapped) is type(gymnasium.make("Pendulum-v1").unwrapped)
    assert gymnasium.wrappers.FlattenObservation.__name__ in str(
        other
    )  # it is seen as the policy was trained to see it
    together.close()


def test_remake_renders_only_on_request() -> None:
    env = gymnasium.make("Pendulum-v1", render_mode="rgb_array")
    for render_mode in (None, "rgb_array"):
        again = EnvironmentSource.of(env).remake(render_mode)
        assert again is not None
        assert make_one(again, render_mode).render_mode == render_mode


# Vector environments


def pendulums(num_envs: int = 2, **more: Any) -> VectorEnv[Any, Any, Any]:
    return gymnasium.make_vec("Pendulum-v1", num_envs, vectorization_mode="sync", **more)


WIDE = Box(-1e3, 1e3, (3,), np.float32)
WRAPPED: dict[str, Callable[[], VectorEnv[Any, Any, Any]]] = {
    "TransformObservation": lambda: vector.TransformObservation(
        pendulums(), lambda o: o * 100, single_observation_space=WIDE
    ),
    "NormalizeObservation": lambda: vector.NormalizeObservation(pendulums()),
    "FlattenObservation": lambda: vector.FlattenObservation(pendulums()),
    "RescaleAction": lambda: vector.RescaleAction(pendulums(), -1, 1),
    "TransformReward": lambda: vector.TransformReward(pendulums(), lambda r: r * 0.01),
    "ClipReward": lambda: vector.ClipReward(pendulums(), -1, 0),
    "NormalizeReward": lambda: vector.NormalizeReward(pendulums()),
    "RecordEpisodeStatistics": lambda: vector.RecordEpisodeStatistics(pendulums()),
    "two": lambda: vector.RescaleAction(
        vector.TransformReward(pendulums(), lambda r: r * 0.01), -1, 1
    ),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_wrappers_of_a_vector_environment_are_copied_around_a_single_row(name: str) -> None:
    given = WRAPPED[name]()
    other = EnvironmentSource.of(given).make_another()
    assert other.observation_space == given.single_observation_space
    assert other.action_space == given.single_action_space
    for env in (given, other):
        freeze_statistics(env)
    seen, _ = given.reset(seed=[3, 3])
    np.testing.assert_allclose(other.reset(seed=3)[0], seen[0], rtol=1e-6)
    action = np.array([0.5], np.float32)
    for _ in range(3):
        observation, reward, terminated, truncated, _ = other.step(action)
        seen, rewards, *_ = given.step(np.array([action, action]))
        assert reward == pytest.approx(rewards[0], rel=1e-6)
        assert (terminated, truncated) == (False, False)
        np.testing.assert_allclose(observation, seen[0], rtol=1e-5)


@pytest.mark.parametrize("kind", [dict, tuple])
def test_parts_of_a_single_row_are_those_of_one_environment(kind: type) -> None:
    class Parts(gymnasium.ObservationWrapper[Any, Any, Any]):
        def __init__(self) -> None:
            super().__init__(gymnasium.make("Pendulum-v1"))
            place, speed = Box(-1, 1, (2,), np.float32), Box(-8, 8, (1,), np.float32)
            self.observation_space = gymnasium.spaces.Dict(place=place, speed=speed)
            if kind is tuple:
                self.observation_space = gymnasium.spaces.Tuple([place, speed])

        def observation(self, observation: Any) -> Any:
            parts = {"place": observation[:2], "speed": observation[2:]}
            return parts if kind is dict else tuple(parts.values())

    row = SingleRow(vector.RecordEpisodeStatistics(SyncVectorEnv([Parts])))
    single = Parts()
    action = np.array([0.5], np.float32)
    found = [row.reset(seed=3)[0], row.step(action)[0]]
    flat = gymnasium.vector.VectorEnv()
    flat.single_observation_space, flat.single_action_space = row.observation_space, None
    named = {"place": np.ones((1, 2)), "speed": np.zeros((1, 1))}  # as tensors are named, by dots
    leaves = named if kind is dict else dict(enumerate(named.values()))
    expected = {"place": [1, 1], "speed": [0]}
    whole = SingleRow(flat)._only_row({str(name): leaf for name, leaf in leaves.items()})
    np.testing.assert_equal(whole, expected if kind is dict else tuple(expected.values()))
    for one, other in zip(found, [single.reset(seed=3)[0], single.step(action)[0]], strict=True):
        assert row.observation_space.contains(one)
        assert type(one) is kind
        np.testing.assert_equal(one, other)


def test_copy_of_a_wrapper_shares_no_mutable_state() -> None:
    given = vector.NormalizeObservation(pendulums())
    other = EnvironmentSource.of(given).make_another()
    before = given.obs_rms.mean.copy()
    other.reset(seed=0)
    np.testing.assert_array_equal(given.obs_rms.mean, before)


def test_rows_of_a_vector_environment_are_made_by_their_function(
    counting_env: Counting,
) -> None:
    given = SyncVectorEnv([lambda: counting_env(who=4)] * 2)  # type: ignore[call-arg]
    another: Any = EnvironmentSource.of(given).make_another().unwrapped
    assert another.who == 4


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_last_observation_belongs_to_its_episode(
    counting_env: Counting, mode: AutoresetMode
) -> None:
    given = vector.TransformReward(
        SyncVectorEnv([counting_env] * 2, autoreset_mode=mode), lambda r: r
    )
    other = EnvironmentSource.of(given).make_another()
    assert isinstance(other, SingleRow)
    other.reset(seed=0)
    assert other.step(np.zeros(1))[0].tolist() == [0, 0, 1]
    observation, _, terminated, _, _ = other.step(np.zeros(1))
    assert observation.tolist() == [0, 0, 2]
    assert terminated
    assert other.reset()[0].tolist() == [0, 1, 0]


def test_native_vector_environment_is_made_with_one_row() -> None:
    given = gymnasium.make_vec("CartPole-v1", 3, vectorization_mode="vector_entry_point")
    other = EnvironmentSource.of(given).make_another()
    assert isinstance(other, SingleRow)
    assert type(other.env) is type(given)
    assert other.reset(seed=0)[0].shape == (4,)


class Locked(vector.TransformReward):
    def __init__(self, env: Any) -> None:
        super().__init__(env, lambda reward: reward)
        self.generator = (number for number in range(3))  # which cannot be copied


class Bare(VectorEnv[Any, Any, Any]):
    num_envs = 2


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (lambda: Locked(pendulums()), "Locked cannot be copied"),
        (
            Bare,
            "the vector environment Bare has no spec and cannot be made again - give a function",
        ),
    ],
)
def test_reason_why_an_environment_cannot_be_made_again(given: Any, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        EnvironmentSource.of(given()).make_another()


class RecordVideo(gymnasium.wrappers.RecordVideo):  # type: ignore[type-arg]
    """Without the package that encodes."""

    def __init__(self, env: Any) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        gymnasium.Wrapper.__init__(self, env)


def test_recorders_of_files_are_left_out() -> None:
    def recorded() -> gymnasium.Env[Any, Any]:
        env = gymnasium.make("Pendulum-v1", render_mode="rgb_array")
        return gymnasium.wrappers.FlattenObservation(RecordVideo(env))

    for source in (recorded(), recorded, SyncVectorEnv([recorded])):
        assert re.match(
            "<FlattenObservation<TimeLimit", str(EnvironmentSource.of(source).make_another())
        )
