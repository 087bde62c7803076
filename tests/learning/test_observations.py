"""Observations as users pass them: one or a batch, converted or refused."""

import re
from typing import Any

import gymnasium
import numpy as np
import pytest

from footlight.environments.spaces import describe
from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.learning.observations import as_batch, is_batch
from footlight.types import Spaces

FLOATS = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
BYTES = gymnasium.spaces.Box(0, 255, (3,), np.uint8)
PARTS = gymnasium.spaces.Dict({"near": FLOATS, "far": gymnasium.spaces.Box(-1, 1, ())})
ACTIONS = gymnasium.spaces.Box(-2, 2, (2,), np.float32)
ZERO = np.zeros(3, np.float32)


def agent_for(algorithm: str, observed: Any = FLOATS, acted: Any = ACTIONS) -> Agent:
    return Agent(algorithm, observed, acted, compile="off", hidden_sizes=(8,))


def spaces_of(observed: gymnasium.Space[Any]) -> Spaces:
    return describe(observed, ACTIONS)


def ways(agent: Agent) -> list[Any]:
    """The ways to ask an agent for an action."""
    return [
        agent.policy.act,
        agent.act,
        lambda observation: agent.act(observation, explore=True),
        agent.policy.predict,
    ]


def test_one_observation_becomes_a_batch_of_one_in_the_stored_dtype() -> None:
    batch = as_batch([0, 1, 2], spaces_of(FLOATS))
    assert batch.tolist() == [[0, 1, 2]]
    assert batch.dtype == np.float32


def test_a_batch_of_the_stored_dtype_is_not_copied() -> None:
    given = np.zeros((5, 3), np.float32)
    assert as_batch(given, spaces_of(FLOATS)) is given


def test_parts_of_a_dict_become_records() -> None:
    spaces = spaces_of(PARTS)
    one = as_batch({"near": ZERO, "far": 0.5}, spaces)
    two = as_batch({"near": np.stack([ZERO, ZERO + 1]), "far": np.array([0.5, 0.25])}, spaces)
    assert one.shape == (1,)
    assert two["near"].tolist() == [[0, 0, 0], [1, 1, 1]]
    assert np.shares_memory(as_batch(two, spaces), two)
    with pytest.raises(
        UserError, match="the observation has the parts 'near' - the policy expects"
    ):
        as_batch({"near": ZERO}, spaces)


@pytest.mark.parametrize(
    ("observation", "space", "expected"),
    [
        (ZERO, FLOATS, False),
        ([ZERO, ZERO], FLOATS, True),
        ({"near": ZERO, "far": 0.5}, PARTS, False),
        ({"near": np.stack([ZERO, ZERO]), "far": np.ones(2)}, PARTS, True),
    ],
)
def test_is_batch(observation: Any, space: Any, expected: bool) -> None:
    assert is_batch(observation, spaces_of(space)) == expected


@pytest.mark.parametrize(
    ("observation", "words"),
    [
        ([0, np.nan, 0], "observation[1] is nan"),
        ([0, 0, -np.inf], "observation[2] is -inf"),
        ([[0, 0, 0], [0, np.inf, 0]], "observation[1, 1] is inf"),
        (np.full((50, 3), np.nan), "observation[0, 0] is nan"),
        ([1e300, 0, 0], "observation[0] is 1e+300 - the policy needs finite float32 numbers"),
        (["a", "b", "c"], "dtype <U1"),
        ([1j, 0, 0], "dtype complex128"),
        (None, "dtype object"),
        ([[0], [0, 1]], "not an array"),
        ([0, 0], "shape (2,)"),
        (0.0, "shape ()"),
    ],
)
def test_act_refuses_what_training_refuses(observation: Any, words: str) -> None:
    for act in ways(agent_for("sac")):
        with pytest.raises(UserError) as refused:
            act(observation)
        assert words in str(refused.value)
        assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("observation", "words"),
    [
        ([0, 256, 0], "observation[1] is 256"),
        ([0, 0, -1], "observation[2] is -1"),
        (np.array([0.5, 0, 0]), "observation[0] is 0.5"),
        (np.array([[0, 0, 0], [0, 0, np.nan]]), "observation[1, 2] is nan"),
    ],
)
def test_act_refuses_what_an_integer_space_cannot_hold(observation: Any, words: str) -> None:
    agent = agent_for("a2c", BYTES, gymnasium.spaces.Discrete(3))
    for act in ways(agent):
        with pytest.raises(UserError) as refused:
            act(observation)
        assert words in str(refused.value)
        assert "uint8" in str(refused.value)
    same_numbers = np.array([1.0, 255.0, 0.0]), np.array([1, 255, 0], np.uint8)
    assert len({int(agent.act(numbers)) for numbers in same_numbers}) == 1


CHOICE = gymnasium.spaces.Discrete(3, start=-2)
CHOICES = gymnasium.spaces.MultiDiscrete([[3, 2]], start=[[1, 0]])


@pytest.mark.parametrize(
    ("space", "observation", "words"),
    [
        (CHOICE, 1, "observation is 1 - the policy knows -2 to 0 - check its source"),
        (CHOICE, np.array([0, -3]), "observation[1] is -3 - the policy knows -2 to 0"),
        (CHOICES, [[0, 1]], "observation[0, 0] is 0 - the policy knows 1 to 3"),
        (CHOICES, np.full((50, 1, 2), 2), "observation[0, 0, 1] is 2 - the policy knows 0 to 1"),
        (
            gymnasium.spaces.Dict({"a": CHOICE, "b": CHOICES}),
            {"a": -2, "b": [[1, -1]]},
            "observation's part b[0, 1] is -1 - the policy knows 0 to 1",
        ),
    ],
)
def test_act_refuses_choices_outside_their_space(space: Any, observation: Any, words: str) -> None:
    for act in ways(agent_for("a2c", space, gymnasium.spaces.Discrete(3))):
        with pytest.raises(UserError, match=re.escape(words)):
            act(observation)


def test_texts_are_no_part_of_an_observation() -> None:
    text = gymnasium.spaces.Dict({"near": FLOATS, "mission": gymnasium.spaces.Text(9)})
    agent = agent_for("a2c", text, gymnasium.spaces.Discrete(3))
    assert agent.act({"near": ZERO, "mission": "go"}) == agent.act({"near": ZERO})
    batch = {"near": np.stack([ZERO, ZERO]), "mission": ("go", "stop")}
    assert agent.policy.act(batch).shape == (2,)


def test_exploring_takes_an_observation_for_each_environment() -> None:
    space, box = gymnasium.spaces.Box(-1, 1, (3,)), gymnasium.spaces.Box(-1, 1, (2,))
    for algorithm in ("sac", "td3", "tqc", "ppo"):
        agent = Agent(algorithm, space, box, num_envs=3, compile="off")
        assert agent.act(np.zeros((3, 3)), explore=True).shape == (3, 2)
        for number in (0, 1, 2):
            with pytest.raises(
                UserError, match=rf"got {number} observations? .* num_envs=3 - pass"
            ):
                agent.act(np.zeros((number, 3)), explore=True)
        assert agent.act(np.zeros((2, 3))).shape == (2, 2)  # which remembers nothing


def test_component_of_a_part_or_of_a_number_is_named() -> None:
    number = gymnasium.spaces.Discrete(3)
    agent = Agent("ppo", number, number, compile="off")
    with pytest.raises(UserError, match=r"observation is 0\.5 - "):
        agent.act(0.5)
    agent = Agent("ppo", gymnasium.spaces.Dict(a=number), number, compile="off")
    with pytest.raises(UserError, match=r"observation's part a is 0\.5 - "):
        agent.act({"a": 0.5})


def test_observe_refuses_it_too() -> None:
    successor = np.array([0, np.nan, 0], np.float32)
    with pytest.raises(UserError, match=r"observation\[1\] is nan"):
        agent_for("sac").observe(ZERO, np.zeros(2, np.float32), 0.0, successor, False, False)


def test_large_finite_observations_are_accepted() -> None:
    largest = np.full((2, 3), 1e30)  # whose squares are too large for float32
    assert np.isfinite(agent_for("ppo").policy.act(largest * [[1], [-1]])).all()
