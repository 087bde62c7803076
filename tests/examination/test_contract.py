"""Violations of Gymnasium's contract, one call at a time."""

from typing import Any

import broken_environments as broken
import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from footlight.examination.contract import BrokenContractError, Contract

PUSH = np.zeros(1, np.float32)


def checks_after(contract: Contract, steps: int = 10) -> list[str]:
    contract.reset(1)
    for _ in range(steps):
        contract.step(PUSH)
    return [f"{each.severity} {each.check}" for each in contract.findings()]


def test_answers_are_returned_as_numbers() -> None:
    contract = Contract(broken.Healthy())
    assert contract.reset(1).observation[""].shape == (3,)
    answer = contract.step(PUSH)
    assert answer.reward < 0
    assert (answer.terminated, answer.truncated, answer.says_time_limit) == (False,) * 3
    assert checks_after(contract) == []


def test_examples_are_counted() -> None:
    contract = Contract(broken.OutsideSpace())
    assert checks_after(contract) == ["warning observation-outside-space"]
    (found,) = contract.findings()
    assert "in 11 of 11 calls" in found.evidence
    assert "its bounds are -5 and 5" in found.evidence


def test_a_rare_observation_beyond_its_bounds_is_a_note() -> None:
    class Rare(broken.Healthy):
        def observation(self) -> Any:
            return super().observation() + np.float32(100 if self.time == 7 else 0)

    assert checks_after(Contract(Rare()), 200) == ["note observation-outside-space"]


def test_parts_are_named() -> None:
    class Parts(broken.Healthy):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = Dict(place=Box(-5, 5, (3,), np.float32), room=Discrete(2))

        def observation(self) -> Any:
            return {"place": super().observation(), "room": 5}

    contract = Contract(Parts())
    assert checks_after(contract) == ["critical observation-outside-space"]
    assert "part 'room'" in next(iter(contract.findings())).title


def test_fractions_in_integers_are_critical() -> None:
    class Integers(broken.Healthy):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = Box(-5, 5, (3,), np.int64)

    assert checks_after(Contract(Integers())) == ["critical observation-dtype"]


@pytest.mark.parametrize("reward", [None, "1.0", np.zeros(2)])
def test_a_reward_that_is_no_number_ends_the_play(reward: Any) -> None:
    class Wrong(broken.Healthy):
        def reward(self) -> Any:
            return reward

    contract = Contract(Wrong())
    contract.reset(1)
    with pytest.raises(BrokenContractError):
        contract.step(PUSH)
    assert [each.check for each in contract.findings()] == ["reward-not-a-scalar"]


def test_numbers_of_numpy_are_scalars() -> None:
    class Numpy(broken.Healthy):
        def reward(self) -> Any:
            return np.float32(1)

        def step(self, action: Any) -> Any:
            observation, reward, terminated, truncated, info = super().step(action)
            return observation, reward, np.bool_(terminated), truncated, info

    assert checks_after(Contract(Numpy())) == []


@pytest.mark.usefixtures("ctrl_c_interrupts")
def test_an_interruption_is_not_a_fault() -> None:
    class Interrupted(broken.Healthy):
        def step(self, action: Any) -> Any:
            raise KeyboardInterrupt

    contract = Contract(Interrupted())
    contract.reset(1)
    with pytest.raises(KeyboardInterrupt):
        contract.step(PUSH)


def test_wrappers_are_seen_through() -> None:
    env = gymnasium.wrappers.TimeLimit(broken.OldStep(), 20)
    contract = Contract(env)
    contract.reset(1)
    with pytest.raises(BrokenContractError):
        contract.step(PUSH)
    (found,) = contract.findings()
    assert "before version 0.26" in found.title
