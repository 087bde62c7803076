"""Autoreset modes that vector environments declare, and those that follow an older interface."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from footlight.environments.autoreset import SeedForEach, autoreset_mode, has_rows
from footlight.environments.vector import VectorEnvironments
from footlight.errors import UserError

Counting = type[gymnasium.Env[Any, Any]]
MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]


@pytest.mark.parametrize("mode", [None, "Next", "same_step", 1])
def test_unknown_mode_is_refused(counting_env: Counting, mode: Any) -> None:
    env = SyncVectorEnv([counting_env])
    env.metadata = {**env.metadata, "autoreset_mode": mode}
    remedy = (
        r"set it to the environment's gymnasium\.vector\.AutoresetMode: "
        r"docs/environments\.md#vector-environments"
    )
    with pytest.raises(UserError, match=rf"autoreset_mode'\] is {mode!r} - .* - {remedy}"):
        VectorEnvironments(env, 0, "episode")
    env.metadata.pop("autoreset_mode")
    with pytest.raises(UserError, match="is None"):
        VectorEnvironments(env, 0, "episode")


@pytest.mark.parametrize("mode", MODES)
def test_mode_may_be_given_by_name(counting_env: Counting, mode: AutoresetMode) -> None:
    env = SyncVectorEnv([counting_env], autoreset_mode=mode)
    for word in (mode.name, mode.value):
        env.metadata = {**env.metadata, "autoreset_mode": word}
        assert VectorEnvironments(env, 0, "episode").mode == mode


class Older(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """Its spaces are those of one environment, as before Gymnasium 1.0."""

    num_envs = 3
    observation_space = gymnasium.spaces.Box(-5, 5, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(4)


def test_older_interface_is_refused_where_it_was_not_translated() -> None:
    with pytest.raises(
        UserError,
        match=r"Older has no single_observation_space .* docs/interoperability\.md#pettingzoo",
    ):
        VectorEnvironments(Older(), 7, "episode")


def test_only_vector_environments_of_single_ones_have_rows(counting_env: Counting) -> None:
    assert has_rows(SyncVectorEnv([counting_env]))
    assert has_rows(gymnasium.wrappers.vector.NormalizeObservation(SyncVectorEnv([counting_env])))
    assert not has_rows(
        gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="vector_entry_point")
    )
    processes = AsyncVectorEnv([counting_env])
    assert has_rows(processes)
    processes.close()


def test_class_with_the_attribute_takes_a_seed_for_each(counting_env: Counting) -> None:
    class Seeded(SyncVectorEnv):
        takes_seed_for_each = True

    assert isinstance(Seeded([counting_env]), SeedForEach)
    assert not isinstance(SyncVectorEnv([counting_env]), SeedForEach)
    assert autoreset_mode(Seeded([counting_env])) == AutoresetMode.NEXT_STEP
