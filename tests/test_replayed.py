"""Recorded updates have the bits of eager ones, on batches other than the one of the recording."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from learned_agents import ACTED, FIELDS, SEEN
from replayed import record

from footlight.algorithms import ALGORITHMS, config_class
from footlight.config.fields import fields as fields_of
from footlight.learning.agent import Agent
from footlight.trees import tree_items


def learned(name: str, compile: Any) -> Agent:
    chooses = name in ("replay-actor-critic", "sac-discrete")
    space = gymnasium.spaces.Discrete(3) if chooses else ACTED
    fields = {"hidden_sizes": (8, 8), "normalize_rewards": True} | FIELDS[name]
    if "updates_per_step" in fields_of(config_class(name)):
        fields |= {"updates_per_step": 0.25}
    agent = Agent(name, SEEN, space, seed=1, compile=compile, notice=pytest.fail, **fields)
    stream = np.random.default_rng(0)
    for step in range(40):
        seen, following = stream.uniform(-1, 1, (2, 3)).astype(np.float32)
        action = agent.act(seen, explore=True)
        agent.observe(seen, action, float(stream.normal()), following, step % 8 == 7, False)
    return agent


@pytest.mark.usefixtures("replayed_updates")
@pytest.mark.parametrize("name", ALGORITHMS)
def test_replayed_updates_equal_eager_ones(name: str) -> None:
    eager, replayed = learned(name, "off"), learned(name, "on")
    assert replayed.learner.compilation.steps
    assert eager.num_updates == replayed.num_updates > 2
    wanted = tree_items(eager.state)
    for leaf, found in tree_items(replayed.state).items():
        assert np.array_equal(np.asarray(found), np.asarray(wanted[leaf])), leaf
    assert eager.metrics() == replayed.metrics()


def test_recording_changes_nothing_and_depends_on_no_number() -> None:
    numbers, factors = torch.arange(1.0, 4.0), torch.ones(3)

    def scale(x: torch.Tensor, y: torch.Tensor) -> None:
        x[1:].mul_(y[1:] + y.sum())

    step = record(scale, [numbers, factors])
    assert numbers.tolist() == [1, 2, 3]
    factors.mul_(2)
    step()
    assert numbers.tolist() == [1, 2 * 8, 3 * 8]
    with pytest.raises(AssertionError, match="depends on numbers"):
        record(lambda x, y: x.mul_(float(y.sum())), [numbers, factors])
    held = numbers.clone()
    with pytest.raises(AssertionError, match="a constant"):
        record(lambda x: x.add_(held), [factors])
