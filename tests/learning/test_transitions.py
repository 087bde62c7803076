"""What a hand-written loop passes to `observe`: refused where no algorithm could learn from it."""

from typing import Any

import gymnasium
import numpy as np
import pytest

from footlight.errors import UserError
from footlight.learning.agent import Agent

SEEN = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
BOX = gymnasium.spaces.Box(-2, 2, (1,), np.float32)
SOME = gymnasium.spaces.MultiDiscrete([2, 3])
BITS = gymnasium.spaces.MultiBinary(2)
ZERO = np.zeros(3, np.float32)


def new_agent(acted: gymnasium.Space[Any], num_envs: int = 1) -> Agent:
    algorithm = "sac" if isinstance(acted, gymnasium.spaces.Box) else "a2c"
    few: dict[str, Any] = {"hidden_sizes": (4,), "total_steps": 100, "compile": "off"}
    return Agent(algorithm, SEEN, acted, seed=0, num_envs=num_envs, **few)


def passed(**changed: Any) -> tuple[Any, ...]:
    given = {"observation": ZERO, "action": [0.5], "reward": 1.0, "next_observation": ZERO,
             "terminated": False, "truncated": False, "valid": None}  # fmt: skip
    return tuple((given | changed).values())


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"action": 0.5}, r"the action is 0\.5 - this agent takes actions of shape \(1,\)"),
        ({"action": [0.5, 0.5]}, r"takes actions of shape \(1,\)"),
        ({"action": ["left"]}, r"takes actions of shape \(1,\)"),
        ({"action": [np.nan]}, "is not an action of the space"),
        ({"reward": np.nan}, "the reward is nan - rewards must be finite float32 numbers"),
        ({"reward": np.inf}, "finite float32 numbers"),
        ({"reward": 1e39}, r"the reward is 1e\+39 - rewards must be finite float32 numbers"),
        ({"reward": "1"}, "the reward is '1' - rewards must be numbers"),
        ({"reward": "x"}, "the reward is 'x'"),
        ({"reward": None}, "the reward is None"),
        ({"reward": [1.0, 2.0]}, "got 2 rewards - this agent has num_envs=1"),
        ({"terminated": "no"}, "terminated is 'no' - it must be True or False"),
        ({"truncated": None}, "truncated is None - it must be True or False"),
        ({"truncated": 2}, "truncated is 2"),
        ({"truncated": [True, False]}, "got 2 of truncated"),
        ({"valid": "yes"}, "valid is 'yes'"),
    ],
)
def test_what_does_not_fit_is_refused_and_not_stored(changed: dict[str, Any], error: str) -> None:
    agent = new_agent(BOX)
    with pytest.raises(UserError, match=error):
        agent.observe(*passed(**changed))
    assert agent.num_steps == 0


@pytest.mark.parametrize("action", [[2, 0], [-1, 0], [0, 3], [0.5, 0], 1, [[0, 1], [0, 1]]])
def test_choices_beyond_their_options_are_refused(action: Any) -> None:
    agent = new_agent(SOME)
    with pytest.raises(UserError, match=r"the action is|got 2 transitions"):
        agent.observe(*passed(action=action))
    assert agent.num_steps == 0


@pytest.mark.parametrize(
    "action", [[2, 0], [0, -1], [0.5, 0], [1.0, np.nan], np.array([255, 0], np.uint8), 1]
)
def test_bits_other_than_0_and_1_are_refused(action: Any) -> None:
    agent = new_agent(BITS)
    with pytest.raises(UserError, match="the action is"):
        agent.observe(*passed(action=action))
    assert agent.num_steps == 0


@pytest.mark.parametrize("action", [[1, 0], [True, False], np.array([0, 1], np.int8)])
def test_bits_are_taken(action: Any) -> None:
    agent = new_agent(BITS)
    agent.observe(*passed(action=action))
    assert agent.num_steps == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"action": np.array([[0.5]])},
        {"action": [9.0]},  # clipped, as an environment does
        {"reward": np.array([1])},
        {"terminated": np.array([True]), "truncated": 0},
        {"terminated": 1, "truncated": 0.0},
        {"valid": [True]},
    ],
)
def test_other_forms_of_one_transition_are_taken(changed: dict[str, Any]) -> None:
    agent = new_agent(BOX)
    agent.observe(*passed(**changed))
    assert agent.num_steps == 1


def test_a_transition_of_each_environment() -> None:
    agent = new_agent(SOME, num_envs=2)
    two = np.stack([ZERO, ZERO])
    flags = {"terminated": [False, True], "truncated": [False, False], "valid": [True, False]}
    agent.observe(*passed(observation=two, next_observation=two, action=[[0, 2], [1, 0]],
                          reward=[0, 1], **flags))  # fmt: skip
    assert agent.num_steps == 1
