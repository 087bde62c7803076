"""Probe worlds in a Dict: observations belong to their space and tell the number."""

import numpy as np
import pytest

from footlight.environments import dict_probes
from footlight.environments.spaces import describe


@pytest.mark.parametrize(
    "make",
    [
        dict_probes.constant_reward,
        dict_probes.observed_reward,
        dict_probes.delayed_reward,
        dict_probes.best_action,
        dict_probes.follow_observation,
    ],
)
@pytest.mark.parametrize("discrete", [False, True])
def test_observations_are_in_the_space(make: type[dict_probes.InDict], discrete: bool) -> None:
    env = make(discrete)
    assert [*describe(env.observation_space, env.action_space).observation] == [
        "sign",
        "size.bits",
        "size.value",
    ]
    observation, _ = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    after = env.step(env.action_space.sample())[0]
    assert env.observation_space.contains(after)


def test_leaves_tell_the_number_together() -> None:
    seen = dict_probes.as_dict(np.array([-0.5], np.float32))
    assert (seen["sign"], seen["size"]["value"].tolist()) == (0, [0.5])
    assert seen["size"]["bits"].tolist() == [1, 0]
