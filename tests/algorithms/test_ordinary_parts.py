"""The parts of an algorithm in ordinary PyTorch."""

import gymnasium
import numpy as np
from own_examples import TorchA2C

import footlight
from footlight.algorithms.ordinary_parts import Acting, LiveNetworks, Seed, StateHolder, Valuing


def test_a_seed_is_one_number_of_the_stream() -> None:
    found = Seed().empty()
    Seed().fill(found, np.random.default_rng(3))
    assert found.tolist() == [np.random.default_rng(3).integers(2**63)]


def test_an_example_holds_its_state_and_decides_by_its_policy() -> None:
    seen, choice = gymnasium.spaces.Box(-1, 1, (4,), np.float32), gymnasium.spaces.Discrete(2)
    agent = footlight.Agent(TorchA2C, seen, choice)
    assert isinstance(agent.algorithm, StateHolder)
    assert isinstance(agent.networks, LiveNetworks)
    assert [*agent.networks.modules] == ["policy", "critic"]
    assert not issubclass(TorchA2C, Acting | Valuing)
